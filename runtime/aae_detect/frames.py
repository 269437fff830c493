"""What a source gives: frames, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One picture from a source.

    Frames compare by identity: an array has no single truth value.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16] | None
    """As the source gave it: HxW gray, HxWx3 BGR or HxWx4 BGRA, uint8 or uint16; None where it could not be read."""

    index: int
    """Counts the source's frames from 0; a gap means that frames were dropped."""

    captured_at: datetime
    """Moment of capture, with time zone."""

    source: str
    """The source's name, for people; never holds a password."""

    problem: str = ""
    """Why `image` is None; empty otherwise."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


@runtime_checkable
class FrameSource(Protocol):
    """Anything that gives frames: a camera, a stream, a file, a folder, or a fake in a test."""

    name: str
    """For people; never holds a password."""

    live: bool
    """True where time passes outside (camera, stream): old frames may be dropped. False where every frame counts."""

    fps: float
    """Nominal frames per second, for a saved video; 0.0 where the source does not tell."""

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end.

        Raises:
            SourceError: the source has failed and will give no more frames.
        """

    def close(self) -> None:
        """Release the device or file; may be called more than once."""

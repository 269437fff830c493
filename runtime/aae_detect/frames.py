"""What a source gives: frames, one at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Frame:
    """One picture from a source.

    Frames compare by identity: an array has no single truth value.
    """

    image: Pixels | None
    """As the source gave it: HxW gray, HxWx3 BGR or HxWx4 BGRA, uint8 or uint16; None where it could not be read."""

    index: int
    """Counts the source's frames from 0; a gap means that frames were dropped."""

    captured_at: datetime
    """Moment of capture, with time zone."""

    source: str
    """The source's name, for people; never holds a password."""

    problem: str = ""
    """Why `image` is None; empty otherwise."""

    read_ns: int = field(default_factory=time.monotonic_ns)
    """When the read that gave it returned, on the clock of `time.monotonic_ns`, which all processes share."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True)
class Signal:
    """A live source was lost, or is back: what a watched source gives between frames."""

    lost: bool
    reason: str
    """Why it was lost, for people; empty when it is back."""

    at: datetime
    source: str
    outage_s: float = 0.0
    """How long it was away, seconds, when it is back."""


@runtime_checkable
class FrameSource(Protocol):
    """Anything that gives frames: a camera, a stream, a file, a folder, or a fake in a test.

    A live one whose `close`, called in another thread, makes a `read` that waits return None, says so with an attribute
    `close_wakes_read = True`; others are closed once their read has returned.
    """

    name: str
    """For people; never holds a password."""

    live: bool
    """True where time passes outside (camera, stream): old frames may be dropped. False where every frame counts."""

    fps: float
    """Nominal frames per second, for a saved video; 0.0 where the source does not tell."""

    def read(self) -> Frame | Signal | None:
        """Return the next frame, or None at the end; a source that outlives its camera also says when that is gone.

        Raises:
            SourceError: the source has failed and will give no more frames.
        """

    def close(self) -> None:
        """Release the device or file; may be called more than once."""

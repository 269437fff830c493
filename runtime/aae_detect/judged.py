"""A judged frame as outputs get it, and what an output is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aae_detect.detection import Detection, Verdict
from aae_detect.frames import Frame, Signal

if TYPE_CHECKING:
    from aae_detect.detector import Detector
    from aae_detect.news import News


@dataclass(frozen=True, eq=False)
class Judged:
    """A frame with all that is known of it."""

    frame: Frame
    image_bgr: NDArray[np.uint8] | None
    """The frame as HxWx3 uint8; None where it could not be read."""

    detection: Detection | None
    """None where the frame could not be judged."""

    reason: str
    """Why it could not be judged; empty otherwise."""

    fps: float | None
    """Frames of this source judged per second, over the last second or so."""

    age_ms: float
    """From the return of the read that gave the frame to its verdict."""

    event: dict[str, Any]
    """The frame's JSON line."""

    detector: Detector | None = None
    """Who judged: another one once a new model was taken."""

    @property
    def verdict(self) -> Verdict:
        """The detection's verdict; UNKNOWN without one."""
        return self.detection.verdict if self.detection else Verdict.UNKNOWN


class Output(Protocol):
    """Something that takes judged frames: a file, a window, a folder. Subclass it to get what has a body here."""

    dropped: int = 0
    """Frames, and what else it was told, that it could not take in time."""

    def wants(self, judged: Judged) -> bool:
        """Whether `take` would do anything with the frame; what nobody wants takes no place in a queue."""
        del judged
        return True

    def take(self, judged: Judged) -> bool:
        """Use the frame; return False to end the loop, as a window does when its user quits."""

    def signal(self, signal: Signal) -> None:
        """Hear that a camera was lost, or is back."""
        del signal

    def tell(self, news: News) -> None:
        """Hear what the line is told, that something drifts, or that there is a new model."""
        del news

    def close(self) -> None:
        """Finish what was begun: a video plays only once it is closed."""

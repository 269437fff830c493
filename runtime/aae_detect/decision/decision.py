"""What the line is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aae_detect.detection import Verdict


@dataclass(frozen=True)
class Decision:
    """What the line is told."""

    source: str
    verdict: Verdict
    stop: bool
    """Whether the line has to stop, or the part be rejected: NG, and UNKNOWN where that is to be safe."""

    at: datetime
    """Capture of the last frame that it rests on; where it rests on none, when it was decided."""

    first_frame: int | None
    last_frame: int | None
    """None where it rests on no frame: none came in time, or the camera was lost."""

    frames: int
    """Frames that it rests on."""

    ng_frames: int
    score: float | None
    """Highest of them; None where none could be judged."""

    part: str = ""
    """Counts the parts from 1, or what the trigger said; empty where frames are decided on."""

    @property
    def occasions(self) -> frozenset[str]:
        """What it is an occasion for, of `rules.OCCASIONS`: its verdict, and `stop` or `pass`."""
        return frozenset((self.verdict.value, "stop" if self.stop else "pass"))

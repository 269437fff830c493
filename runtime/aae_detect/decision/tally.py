"""The frames that a decision rests on, as numbers: pictures that are kept while a part stays would fill the memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from aae_detect.detection import Verdict
from aae_detect.judged import Judged


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """What is remembered of a frame."""

    index: int
    captured_at: datetime
    source: str
    verdict: Verdict
    """By the rules; the detection's may be another."""

    score: float | None
    """None where it could not be judged."""

    @classmethod
    def of(cls, judged: Judged, verdict: Verdict) -> SeenFrame:
        """Take what is remembered, and nothing that holds a picture."""
        frame, detection = judged.frame, judged.detection
        score = None if detection is None else detection.score
        return cls(frame.index, frame.captured_at, frame.source, verdict, score)


@dataclass
class Tally:
    """Counts frames; as small after a day as after one."""

    begun_at_s: float = 0.0
    """When the part was triggered or first seen, on the clock of `time.monotonic`."""

    part: str = ""
    """Its name or number; empty where frames are decided on."""

    frames: int = 0
    ng_frames: int = 0
    unknown_frames: int = 0
    score: float | None = None
    """Highest; None where none could be judged."""

    first: SeenFrame | None = None
    last: SeenFrame | None = None

    @classmethod
    def of(cls, frames: Iterable[SeenFrame]) -> Tally:
        """Count frames that follow each other."""
        tally = cls()
        for seen in frames:
            tally.add(seen)
        return tally

    def add(self, seen: SeenFrame) -> None:
        """Count the next frame."""
        self.frames += 1
        self.ng_frames += seen.verdict is Verdict.NG
        self.unknown_frames += seen.verdict is Verdict.UNKNOWN
        if seen.score is not None:
            self.score = seen.score if self.score is None else max(self.score, seen.score)
        self.first, self.last = self.first or seen, seen

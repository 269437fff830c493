"""What happened to a stream, for the last words of a run and its exit code."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from aae_detect.detection import Verdict
from aae_detect.errors import SourceError
from aae_detect.judged import Judged

_KEPT_TIMES = 10_000
"""Times kept for the summary, so that a year of frames takes no more memory than an hour."""


@dataclass
class Summary:
    """What happened to one stream, or to all, for the last words of a run."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    unreadable: int = 0
    dropped: int = 0
    """Frames that came while others were judged."""
    outages: int = 0
    """Times that the camera was lost."""
    failure: SourceError | None = None
    """Why the source ended before its time."""
    seconds: float = 0.0
    total_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))
    age_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))

    def count(self, judged: Judged) -> None:
        """Note a frame."""
        self.verdicts[judged.verdict] += 1
        self.unreadable += judged.image_bgr is None
        self.age_ms.append(judged.age_ms)
        if judged.detection is not None:
            self.total_ms.append(judged.detection.latency_ms.total)

    @property
    def frames(self) -> int:
        """Frames that were judged or could not be."""
        return self.verdicts.total()

    @property
    def exit_code(self) -> int:
        """The first that holds: 4 the source failed; 3 something was NG; 4 a picture was unreadable; 1 UNKNOWN; 0."""
        if self.failure is not None:
            return self.failure.exit_code
        if self.verdicts[Verdict.NG]:
            return 3
        if self.unreadable:
            return SourceError.exit_code
        return 1 if self.verdicts[Verdict.UNKNOWN] else 0

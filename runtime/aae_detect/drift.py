"""Whether parts or light slowly become others than those of the calibration: advice, never a change of the threshold.

Each frame's p-value becomes a normal score, which good frames like those of the calibration have 0 of on average. Two
running means watch it, a slow one for what creeps and a fast one for what has jumped; what they may be off grows with
what the calibration itself does not know, 2 / sqrt(n). Lightness and sharpness are watched in the same way, and say
whether it is the light that changed ("recalibrate") or the parts ("retrain").

The limits were chosen by simulation: in eleven of twelve weeks of a part per second none is reached by chance, of 300
calibration frames, and in the twelfth it is told once; where scores creep up they are reached before twice as many good
parts are rejected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aae_detect.frame_reference import FrameReference
from aae_detect.frame_statistics import FrameStatistics
from aae_detect.good_scores import GoodScores

Advice = Literal["recalibrate", "retrain", "none"]

SLOW_FRAMES, FAST_FRAMES = 2500, 300
"""Independent frames that the running means look back on."""

_SLOW_LIMIT, _FAST_LIMIT = 0.08, 0.3
"""Standard deviations that a mean may be off, beside what the calibration does not know."""

_UNKNOWN = 2.0
"""Standard errors of the calibration that are allowed for."""

_LIGHT_LIMIT = 2.0
"""Spreads by which lightness or sharpness have to be off on average, for the light to be what has changed."""

_BACK = 0.6
"""Share of a limit below which it is over."""


@dataclass(frozen=True)
class Drift:
    """What has changed, told once when it begins and once when it is over."""

    source: str
    advice: Advice
    """`recalibrate`: the light changed; `retrain`: the parts did; `none`: it is over."""

    at: datetime
    shift: float
    """By how many standard deviations scores lie above those of the calibration on average."""

    light_shift: float
    """The same of lightness or of sharpness, whichever is farther off."""


class _Mean:
    """A running mean, exponentially weighted."""

    def __init__(self, frames: float) -> None:
        self._weight = 1 / frames
        # What was not seen yet counts as usual: an early mean of few frames must not cry wolf.
        self._value = 0.0

    def take(self, value: float) -> float:
        self._value += self._weight * (value - self._value)
        return self._value


class DriftWatch:
    """Watches one source."""

    def __init__(
        self,
        good_scores: GoodScores,
        reference: FrameReference,
        effective_count: int,
        threshold: float = math.inf,
        interval_s: float = 0.0,
    ) -> None:
        """Take what is usual.

        Args:
            good_scores: Of the calibration.
            reference: Of its frames.
            effective_count: What its frames are worth as a number of independent ones; the frames that come follow each
                other as those did.
            threshold: Frames with a higher score are not watched.
            interval_s: From one of its frames to the next, seconds. Frames that come faster show the same part more
                often than its own did, so only as many are watched; 0: not known, and all are.
        """
        count = len(good_scores.ordered)
        stretch = count / max(1, effective_count)
        self._good, self._reference = good_scores, reference
        normal = _normal_scores(count)
        reached = count - np.searchsorted(good_scores.ordered, good_scores.ordered, side="left")
        below = np.asarray(good_scores.ordered) <= threshold
        # What is accepted lies lower than all that is good: by 0.2 standard deviations where a tenth is rejected.
        self._normal = normal - (normal[reached[below]].mean() if below.any() else 0.0)
        unknown = _UNKNOWN / math.sqrt(max(1, effective_count))
        self._limits = _SLOW_LIMIT + unknown, _FAST_LIMIT + unknown
        self._means = _Mean(SLOW_FRAMES * stretch), _Mean(FAST_FRAMES * stretch)
        self._light = _Mean(FAST_FRAMES * stretch)
        self._sharpness = _Mean(FAST_FRAMES * stretch)
        self._interval_ns, self._due_ns = round(interval_s * 1e9), 0
        self.advice: Advice = "none"
        """What holds now, as it was told last."""

    def take(
        self, score: float, statistics: FrameStatistics, source: str, at: datetime, read_ns: int = 0
    ) -> Drift | None:
        """Take a judged frame, and when it was read, on the clock of `time.monotonic`; return news, mostly none."""
        if self._interval_ns:
            # Half an interval early is in time: frames that tremble about the calibration's rate all count.
            if read_ns < self._due_ns - self._interval_ns // 2:
                return None
            self._due_ns = max(self._due_ns, read_ns) + self._interval_ns
        ordered = self._good.ordered
        reached = len(ordered) - int(np.searchsorted(ordered, score, side="left"))
        shifts = [mean.take(self._normal[reached]) for mean in self._means]
        lightness = _off(float(statistics.small.mean()), self._reference.usual_lightness)
        sharpness = _off(statistics.sharpness, self._reference.usual_sharpness)
        light = _farther(self._light.take(lightness), self._sharpness.take(sharpness))
        over = max(abs(shift) / limit for shift, limit in zip(shifts, self._limits, strict=True))
        other_light = abs(light) / _LIGHT_LIMIT
        advice = self.advice
        if other_light > 1:
            advice = "recalibrate"
        elif over > 1 and advice == "none":
            advice = "retrain"
        elif max(over, other_light) < _BACK:
            advice = "none"
        if advice == self.advice:
            return None
        self.advice = advice
        return Drift(source, advice, at, round(float(_farther(*shifts)), 3), round(light, 3))


def _farther(first: float, second: float) -> float:
    return first if abs(first) >= abs(second) else second


def _off(value: float, usual: tuple[float, float]) -> float:
    """Return by how many spreads a value lies off what is usual; far ones count no more than ten."""
    middle, spread = usual
    return min(10.0, max(-10.0, (value - middle) / spread))


def _normal_scores(count: int) -> NDArray[np.float64]:
    """Return the normal score of a value that so many of `count` good ones reach, (count + 1,)."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(1 - (reached + 0.5) / (count + 1)) for reached in range(count + 1)])

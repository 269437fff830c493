"""What lies beyond the highest score that was seen: a generalised Pareto tail (peaks over threshold, Pickands 1975).

Above a high level, the excesses of nearly every distribution follow P(excess > x) = (1 + shape x / scale)^(-1 / shape).
The shape is estimated by Zhang & Stephens (2009, Technometrics 51), which never fails to give one, and drawn towards
an exponential tail (shape 0), because a few dozen excesses say little about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRIOR_COUNT = 10
"""Excesses that the exponential tail counts for, as in Pareto smoothed importance sampling (arXiv 1507.02646)."""

MOST_SHAPE = 0.5
"""Heavier tails are not believed: scores grow by their logarithm where they are large."""


@dataclass(frozen=True)
class Tail:
    """The upper end of a distribution."""

    level: float
    """Where it begins."""

    share: float
    """Probability of lying above the level, 0 to 1."""

    scale: float
    shape: float

    def probability_above(self, value: float) -> float:
        """Return the probability of a value above this one, which lies at or above the level."""
        if self.scale <= 0:  # all that lie there are the same: nothing is known of what comes behind
            return self.share
        excess = max(0.0, value - self.level) / self.scale
        if abs(self.shape) < 1e-6:
            return self.share * math.exp(-excess)
        inside = 1 + self.shape * excess
        return self.share * inside ** (-1 / self.shape) if inside > 0 else 0.0

    def value_at(self, probability: float) -> float:
        """Return the value that is exceeded with this probability, which is at most `share`."""
        fewer = math.log(self.share / probability)
        if abs(self.shape) < 1e-6:
            return self.level + self.scale * fewer
        return self.level + self.scale * math.expm1(self.shape * fewer) / self.shape


def fit_tail(ordered: NDArray[np.float64]) -> Tail:
    """Fit the tail of values.

    Args:
        ordered: (n,) ascending, n at least 1. The largest fifth is taken, or 3 sqrt(n) of them if that is fewer.
    """
    count = len(ordered)
    number = math.ceil(min(0.2 * count, 3 * math.sqrt(count)))
    if count < 3:
        return Tail(float(ordered[-1]), 1 / (count + 1), 0.0, 0.0)
    level = float((ordered[-number - 1] + ordered[-number]) / 2)
    excesses = ordered[-number:] - level
    mean = float(excesses.mean())
    shape = number * _shape(excesses) / (number + PRIOR_COUNT)
    shape = min(max(shape, -MOST_SHAPE), MOST_SHAPE)
    # The scale that keeps the mean of the excesses, scale / (1 - shape).
    return Tail(level, number / count, mean * (1 - shape), shape)


def _shape(excesses: NDArray[np.float64]) -> float:
    """Estimate the shape of ascending excesses above 0, as a mean over likely values of -shape / scale."""
    count = len(excesses)
    largest, quartile = float(excesses[-1]), float(excesses[int(count / 4 + 0.5) - 1 if count > 1 else 0])
    if count < 5 or quartile <= 0:
        return 0.0
    number = 30 + int(math.sqrt(count))
    steps = np.arange(1, number + 1)
    candidates = 1 / largest + (1 - np.sqrt(number / (steps - 0.5))) / (3 * quartile)
    candidates = candidates[np.abs(candidates) > 1e-12]
    shapes = np.log1p(-candidates[:, None] * excesses).mean(axis=1)
    likelihoods = count * (np.log(-candidates / shapes) - shapes - 1)
    weights = np.exp(likelihoods - likelihoods.max())
    chosen = float((weights * candidates).sum() / weights.sum())
    return float(np.log1p(-chosen * excesses).mean())

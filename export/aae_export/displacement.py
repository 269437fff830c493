"""How far another precision moves the scores of the same pictures, and what that costs.

A change that all scores share costs nothing: the threshold moves along. What is left is measured beside the distance
that tells pictures apart. Unlike the AUROC, which only notices when two pictures change places, it sees every picture
move, and so tells a small harm from none with few of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_export.separation import measure_scores

_RESAMPLES, _SEED, _LEVEL = 1000, 20260002, 0.95
_LEAST_SPREAD = 1e-9

_ODD = 10
"""Median distances from the middle: nearly seven standard deviations, where scores are Gaussian."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """Scores of the same pictures by two detectors."""

    good: tuple[Scores, Scores]
    """Before and after, (N,) each."""

    defective: tuple[Scores, Scores]

    @property
    def shift(self) -> float:
        """Median change of a good picture's score."""
        return float(np.median(self.good[1] - self.good[0]))

    @property
    def spread(self) -> float:
        """Standard deviation of the good pictures' scores before, without odd ones: one of them would excuse all."""
        far = np.abs(self.good[0] - np.median(self.good[0]))
        usual = self.good[0][far <= _ODD * np.median(far)] if np.median(far) > 0 else self.good[0]
        return max(float(usual.std()), _LEAST_SPREAD)

    @property
    def score_noise(self) -> float:
        """Median distance of good pictures' changes from the shift, in spreads."""
        return float(np.median(np.abs(self.good[1] - self.good[0] - self.shift))) / self.spread

    @property
    def displacement(self) -> float:
        """Root mean square of what all changes lack of the shift, each beside what tells the picture from good ones.

        That is its distance from the middle of the good pictures, and their spread at the least. Noise of this size r,
        drawn for each picture anew, takes at most 0.28 r^2 from the AUROC between good pictures of a Gaussian spread
        and defective ones, wherever those lie.
        """
        middle = np.median(self.good[0])
        relative = [
            (after - before - self.shift) / np.maximum(self.spread, np.abs(before - middle))
            for before, after in (self.good, self.defective)
        ]
        return float(np.sqrt(np.mean(np.square(np.concatenate(relative)))))

    @property
    def auroc(self) -> tuple[float, float]:
        """Of both detectors."""
        before, after = (float(_pairs(*scores).mean()) for scores in zip(self.good, self.defective, strict=True))
        return before, after

    @property
    def loss(self) -> float:
        """AUROC lost; below 0 where it was won."""
        before, after = self.auroc
        return before - after

    @property
    def loss_interval(self) -> tuple[float, float]:
        """Bootstrap interval of `loss`, 95 %: good and defective pictures are redrawn, each with both its scores."""
        change = -np.diff([_pairs(*scores) for scores in zip(self.good, self.defective, strict=True)], axis=0)[0]
        rng = np.random.default_rng(_SEED)
        rows, columns = (rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES) for count in change.shape)
        losses = ((rows @ change) * columns).sum(axis=1) / change.size
        low, high = np.percentile(losses, [50 * (1 - _LEVEL), 50 * (1 + _LEVEL)])
        return float(low), float(high)


class Yardstick:
    """Pictures that the fp32 detector has scored, to measure other precisions with."""

    def __init__(self, fp32: bytes, good: Sequence[NDArray[np.uint8]], defective: Sequence[NDArray[np.uint8]]) -> None:
        """Score model inputs, HxWx3 uint8 BGR; good ones, and some with defects."""
        self._pictures = good, defective
        self._before = measure_scores(fp32, good), measure_scores(fp32, defective)

    def measure(self, model: bytes) -> Paired:
        """Score them with another detector."""
        good, defective = (measure_scores(model, pictures) for pictures in self._pictures)
        return Paired((self._before[0], good), (self._before[1], defective))


def _pairs(good: Scores, defective: Scores) -> Scores:
    """Return for each pair (good, defective) whether it is told apart: 1, 0, or a half where scores are equal."""
    gap = defective[None, :] - good[:, None]
    return np.asarray((np.sign(gap) + 1) / 2)

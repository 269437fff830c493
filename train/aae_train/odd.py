"""Odd ones among the good pictures: nobody's folder of good parts is clean.

Each picture is compared with all the others, place by place: mean and spread of the descriptors there, without the
picture itself. What stands out is how unusual its places are, in a power mean: with few pictures over all places
together, because the spread of a single place is hardly known; with many more and more at the worst place, because a
defect is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_train.descriptors import describe, share_with_neighbours
from aae_train.loader import Store

MOST_PICTURES = 1000
"""Of more, so many are looked at, evenly spread."""

FEWEST_PICTURES = 8
"""Of fewer, nobody can say what is usual."""

ODD = 5.0
"""From here on a picture is named to the user, in robust standard deviations of the pictures."""

MOST_NAMED = 12
_FINEST_STEP, _COARSEST_STEP = 8, 32
_MOST_PLACES = 48
"""A side; of larger pictures the places are larger, or a thousand of them would fill the memory."""

_POWERS, _PICTURES_A_POWER = (4.0, 12.0), 16
_PRIOR_COUNT = 4
_SPREAD_FLOOR = 0.3
_WHITENING_FLOOR = 0.01


@dataclass(frozen=True)
class OddOnes:
    """Good pictures, the least usual first."""

    numbers: tuple[int, ...]
    oddness: tuple[float, ...]
    """How far from the others, in robust standard deviations of all pictures; from `ODD` on it deserves a look."""

    @property
    def named(self) -> tuple[int, ...]:
        """The pictures that deserve a look, at most twelve."""
        return tuple(n for n, odd in zip(self.numbers, self.oddness, strict=True) if odd >= ODD)[:MOST_NAMED]


def rank_odd_ones(store: Store, numbers: Sequence[int]) -> OddOnes:
    """Rank good pictures by how unlike the others they look.

    Args:
        store: All pictures.
        numbers: Those to compare; at most 1,000 are looked at, and of fewer than 8 none is called odd.
    """
    if len(numbers) < FEWEST_PICTURES:
        return OddOnes((), ())
    chosen = [numbers[i] for i in np.linspace(0, len(numbers) - 1, min(MOST_PICTURES, len(numbers))).astype(int)]
    unusual = _deviations(_whiten(describe((store[number] for number in chosen), _step(store[chosen[0]].shape))))
    low, high = _POWERS
    power = float(np.clip(len(chosen) / _PICTURES_A_POWER, low, high))
    together = (unusual**power).mean(axis=(1, 2)) ** (1 / power)
    oddness = _standardise(together)
    order = np.argsort(-oddness, kind="stable")
    return OddOnes(tuple(chosen[i] for i in order), tuple(round(float(oddness[i]), 2) for i in order))


def rank_again(odd: OddOnes, scores: Sequence[float]) -> OddOnes:
    """Rank again when there is a detector: what it sees counts as much as how the pictures compare with each other.

    Args:
        odd: From `rank_odd_ones`.
        scores: Anomaly scores of its pictures, in its order.
    """
    oddness = np.maximum(odd.oddness, _standardise(np.asarray(scores, np.float64)))
    order = np.argsort(-oddness, kind="stable")
    return OddOnes(tuple(odd.numbers[i] for i in order), tuple(round(float(oddness[i]), 2) for i in order))


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle)) + 1e-3 * abs(middle) + 1e-12
    return np.asarray((values - middle) / spread)


def _step(shape: tuple[int, ...]) -> int:
    """Return the pixels a side of a place, for pictures of a shape."""
    step = _FINEST_STEP
    while step < _COARSEST_STEP and max(shape[:2]) > _MOST_PLACES * step:
        step *= 2
    return step


def _whiten(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = descriptors.reshape(-1, descriptors.shape[-1]).astype(np.float64)
    mean = rows.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov((rows - mean).T))
    scale = 1 / np.sqrt(np.maximum(variances, 0) + _WHITENING_FLOOR * variances.mean() + 1e-12)
    return np.asarray((descriptors - mean) @ (directions * scale), np.float32)


def _deviations(descriptors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the root mean square deviation of each place (N, h, w) from what the other pictures have there."""
    total = descriptors.sum(axis=0, dtype=np.float64)
    squares = np.square(descriptors, dtype=np.float64).sum(axis=0)
    others = len(descriptors) - 1
    weight = others / (others + _PRIOR_COUNT)
    found = np.empty(descriptors.shape[:3])
    for number, own in enumerate(descriptors):
        mean = weight * share_with_neighbours((total - own) / others)
        square = weight * share_with_neighbours((squares - np.square(own)) / others) + (1 - weight)
        variance = np.maximum(square - np.square(mean), _SPREAD_FLOOR**2)
        found[number] = np.sqrt((np.square(own - mean) / variance).mean(axis=2))
    return found

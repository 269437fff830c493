"""Odd ones among the good pictures: nobody's folder of good parts is clean.

Each picture is compared with all the others, place by place: mean and spread of the descriptors there, without the
picture itself. What stands out is how unusual its places are, in a power mean: with few pictures over all places
together, because the spread of a single place is hardly known; with many more and more at the worst place, because a
defect is small.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from aae_train.descriptors import CHANNELS, describe, share_with_neighbours
from aae_train.loader import Store

MOST_PICTURES = 1000
"""Of more, so many are looked at, evenly spread, and all of those that must be."""

FEWEST_PICTURES = 8
"""Of fewer, nobody can say what is usual."""

ODD = 5.0
"""From here on a picture is named to the user, in robust standard deviations of the pictures."""

MOST_NAMED = 12
_FINEST_STEP, _COARSEST_STEP = 8, 32
_MOST_PLACES = 48
"""A side; of larger pictures the places are larger."""

_MOST_BYTES = 512 * 2**20
"""Of all descriptors; where many large pictures would take more, places grow beyond the usual coarsest step."""

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
    def found(self) -> tuple[int, ...]:
        """All pictures that deserve a look; none of them may set a threshold."""
        return tuple(n for n, odd in zip(self.numbers, self.oddness, strict=True) if odd >= ODD)

    @property
    def named(self) -> tuple[int, ...]:
        """Those that the user is told of, at most twelve."""
        return self.found[:MOST_NAMED]


def rank_odd_ones(store: Store, numbers: Sequence[int], needed: Collection[int] = ()) -> OddOnes:
    """Rank good pictures by how unlike the others they look.

    Args:
        store: All pictures.
        numbers: Those to compare; at most 1,000 are looked at, and of fewer than 8 none is called odd.
        needed: Those of them that are looked at in any case, however many: what may set the threshold.
    """
    if len(numbers) < FEWEST_PICTURES:
        return OddOnes((), ())
    chosen = _choose(numbers, needed)
    step = _step(store[chosen[0]].shape[:2], len(chosen))
    described = describe((_fill_up(store[number], step) for number in chosen), step)
    _whiten(described)
    unusual = _deviations(described)
    low, high = _POWERS
    power = float(np.clip(len(chosen) / _PICTURES_A_POWER, low, high))
    together = (unusual**power).mean(axis=(1, 2)) ** (1 / power)
    oddness = _standardise(together)
    order = np.argsort(-oddness, kind="stable")
    return OddOnes(tuple(chosen[i] for i in order), tuple(round(float(oddness[i]), 2) for i in order))


def rank_again(odd: OddOnes, scores: Sequence[float], learned: Collection[int] = ()) -> OddOnes:
    """Rank again when there is a detector: what it sees counts as much as how the pictures compare with each other.

    Args:
        odd: From `rank_odd_ones`.
        scores: Anomaly scores of its pictures, in its order.
        learned: Pictures that the detector learned from. Their scores are lower, so they are compared among themselves,
            or the others would be odd for being fresh; of fewer than 8 of a kind, scores say nothing.
    """
    oddness, values = np.array(odd.oddness), np.asarray(scores, np.float64)
    known = np.isin(odd.numbers, list(learned))
    for alike in (known, ~known):
        if alike.sum() >= (FEWEST_PICTURES if known.any() else 1):
            oddness[alike] = np.maximum(oddness[alike], _standardise(values[alike]))
    order = np.argsort(-oddness, kind="stable")
    return OddOnes(tuple(odd.numbers[i] for i in order), tuple(round(float(oddness[i]), 2) for i in order))


def _choose(numbers: Sequence[int], needed: Collection[int]) -> list[int]:
    """Choose the pictures to look at, in their order."""
    if len(numbers) <= MOST_PICTURES:
        return list(numbers)
    asked = set(needed)
    others = [number for number in numbers if number not in asked]
    room = min(max(0, MOST_PICTURES - (len(numbers) - len(others))), len(others))
    taken = asked | {others[i] for i in np.linspace(0, len(others) - 1, room).astype(int)}
    return [number for number in numbers if number in taken]


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle)) + 1e-3 * abs(middle) + 1e-12
    return np.asarray((values - middle) / spread)


def _step(size_hw: tuple[int, ...], count: int) -> int:
    """Return the pixels a side of a place, for so many pictures of a size."""
    step = _FINEST_STEP
    while step < _COARSEST_STEP and max(size_hw) > _MOST_PLACES * step:
        step *= 2
    while step < min(size_hw) and count * CHANNELS * 4 * prod(-(-side // step) for side in size_hw) > _MOST_BYTES:
        step *= 2
    return step


def _fill_up(picture: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Repeat the last rows and columns of a picture up to a whole number of places, so that none of it is left out."""
    missing = tuple(-side % step for side in picture.shape[:2])
    return np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else picture


def _whiten(descriptors: NDArray[np.float32]) -> None:
    """Whiten in place, one picture at a time: in double precision all of them would take their memory several times."""
    mean = descriptors.mean(axis=(0, 1, 2), dtype=np.float64)
    products = np.zeros((len(mean), len(mean)))
    for own in descriptors:
        rows = (own - mean).reshape(-1, len(mean))
        products += rows.T @ rows
    variances, directions = np.linalg.eigh(products / (prod(descriptors.shape[:3]) - 1))
    scale = 1 / np.sqrt(np.maximum(variances, 0) + _WHITENING_FLOOR * variances.mean() + 1e-12)
    for own in descriptors:
        own[:] = (own - mean) @ (directions * scale)


def _deviations(descriptors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the root mean square deviation of each place (N, h, w) from what the other pictures have there."""
    total = descriptors.sum(axis=0, dtype=np.float64)
    squares = np.zeros_like(total)
    for own in descriptors:
        squares += np.square(own, dtype=np.float64)
    others = len(descriptors) - 1
    weight = others / (others + _PRIOR_COUNT)
    found = np.empty(descriptors.shape[:3])
    for number, own in enumerate(descriptors):
        mean = weight * share_with_neighbours((total - own) / others)
        square = weight * share_with_neighbours((squares - np.square(own)) / others) + (1 - weight)
        variance = np.maximum(square - np.square(mean), _SPREAD_FLOOR**2)
        found[number] = np.sqrt((np.square(own - mean) / variance).mean(axis=2))
    return found

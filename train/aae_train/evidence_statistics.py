"""How the evidence behaves on good pictures: what is usual, and what is much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

PRIOR_COUNT = 8
"""A place's own statistics count as much as the whole map's once this many pictures stand behind them."""

NEIGHBOURHOOD_SIGMA = 2.0
"""Cells over which neighbouring places share their statistics: parts never lie on the very same pixel."""

SPREAD_FLOOR = 0.7
"""Smallest spread, as a share of the whole map's: a place that never varied in few pictures will vary later. Chosen
with the neighbourhood on the demo camera's seeds 100, 101 and 104: against 0.25 and 1.5, 95 % of the defective parts
are found instead of 89 % at the same false-reject rate."""

_LEAST_OF_STD = 0.25
"""Smallest robust spread of the largest values, as a share of their standard deviation."""

_LEAST_WIDTH = 0.1
"""In standard deviations of all places: two pictures whose largest values agree by chance tell no spread."""


@dataclass(frozen=True)
class Statistics:
    """Centre and spread of the evidence, each (1, K, h, w) per place or (1, K, 1, 1) for all places, float32."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    def standardise(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardise evidence (N, K, h, w), as the detector's graph does."""
        standardised: NDArray[np.float32] = (evidence - self.centre) / self.spread
        return standardised


def fit_places(evidence: NDArray[np.float32]) -> Statistics:
    """Estimate centre and spread per place, shrunk towards the whole map's where pictures are few.

    For evidence that good parts give more of in some places than in others, such as edges that are hard to draw.

    Args:
        evidence: (N, K, h, w) of good pictures that the model was not trained on.
    """
    count = len(evidence)
    overall, overall_square = _moments(evidence)
    own_weight = count / (count + PRIOR_COUNT)
    places_mean = evidence.mean(axis=0, dtype=np.float64)
    places_square = np.zeros_like(places_mean)
    for own in evidence:  # squares of all at once would take twice their memory
        places_square += np.square(own, dtype=np.float64) / count
    mean = own_weight * _share(places_mean) + (1 - own_weight) * overall
    square = own_weight * _share(places_square) + (1 - own_weight) * overall_square
    floor = SPREAD_FLOOR**2 * (overall_square - overall**2) + 1e-12
    spread = np.sqrt(np.maximum(square - mean**2, floor))
    return Statistics(mean[np.newaxis].astype(np.float32), spread[np.newaxis].astype(np.float32))


def fit_tails(evidence: NDArray[np.float32]) -> Statistics:
    """Scale each kind so that 0 is the middle of the largest values that good pictures give, and 1 their spread.

    For evidence that is already measured by what is usual at its place. Kinds whose tails differ can be added then:
    what counts is how far a kind goes beyond what it does on good pictures anyway. Doing it place by place once more
    costs more than it brings: on kinds of synthetic defects that were held out of training, six sets, image
    AUROC is 88.3 without and 84.6 with it, pixel AP 63.2 and 60.3.

    Args:
        evidence: As with `fit_places`.
    """
    overall, overall_square = _moments(evidence)
    spread = np.sqrt(overall_square - overall**2 + 1e-12)
    largest = evidence.max(axis=(2, 3)).astype(np.float64)  # (N, K)
    middle, width = _middle_and_width((largest - overall[:, 0, 0]) / spread[:, 0, 0])  # (K,)
    centre = overall + middle[:, None, None] * spread
    return Statistics(
        centre[np.newaxis].astype(np.float32), (spread * width[:, None, None])[np.newaxis].astype(np.float32)
    )


def _moments(evidence: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and mean square of each kind, (K, 1, 1), one picture at a time: maps of large ones are large."""
    means = [own.mean(axis=(1, 2), dtype=np.float64) for own in evidence]
    squares = [np.square(own, dtype=np.float64).mean(axis=(1, 2)) for own in evidence]
    mean, square = np.mean(means, axis=0), np.mean(squares, axis=0)
    return mean[:, None, None], square[:, None, None]


def _middle_and_width(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return median and spread of each column; one odd picture among the good ones must not set the scale."""
    middle = np.median(values, axis=0)
    robust = 1.4826 * np.median(np.abs(values - middle), axis=0)
    return middle, np.maximum(np.maximum(robust, _LEAST_OF_STD * values.std(axis=0)), _LEAST_WIDTH)


def _share(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur (K, h, w) over neighbouring places."""
    sigma = NEIGHBOURHOOD_SIGMA
    blurred = [cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for plane in places]
    return np.stack(blurred).astype(np.float64)

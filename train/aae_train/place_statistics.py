"""How the evidence behaves on good pictures, place by place."""

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
"""In standard deviations of a place: two pictures whose largest values agree by chance say nothing of their spread."""


@dataclass(frozen=True)
class PlaceStatistics:
    """Centre and spread of the evidence per place, each (1, K, h, w) float32."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    def standardise(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardise evidence (N, K, h, w), as the detector's graph does."""
        standardised: NDArray[np.float32] = (evidence - self.centre) / self.spread
        return standardised


def fit_statistics(evidence: NDArray[np.float32], by_tails: bool = False) -> PlaceStatistics:
    """Estimate centre and spread per place, shrunk towards the whole map's where pictures are few.

    Args:
        evidence: (N, K, h, w) of good pictures that the model was not trained on.
        by_tails: Whether each kind is then scaled once more, so that 0 is the middle of the largest values that it
            takes on a good picture, and 1 their spread. Kinds whose tails differ can be added then: what counts is how
            far a kind goes beyond what it does on good pictures anyway.
    """
    count = len(evidence)
    kinds = evidence.shape[1]
    values = evidence.astype(np.float64)
    overall = values.mean(axis=(0, 2, 3)).reshape(kinds, 1, 1)
    overall_square = np.square(values).mean(axis=(0, 2, 3)).reshape(kinds, 1, 1)
    own_weight = count / (count + PRIOR_COUNT)
    mean = own_weight * _share(values.mean(axis=0)) + (1 - own_weight) * overall
    square = own_weight * _share(np.square(values).mean(axis=0)) + (1 - own_weight) * overall_square
    floor = SPREAD_FLOOR**2 * (overall_square - overall**2) + 1e-12
    spread = np.sqrt(np.maximum(square - mean**2, floor))
    if by_tails:
        largest = ((values - mean) / spread).max(axis=(2, 3))  # (N, K)
        middle, width = _middle_and_width(largest)
        mean, spread = mean + middle[:, None, None] * spread, spread * width[:, None, None]
    return PlaceStatistics(mean[np.newaxis].astype(np.float32), spread[np.newaxis].astype(np.float32))


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

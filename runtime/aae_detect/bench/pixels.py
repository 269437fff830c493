"""Pixel figures over any number of pictures, exact, in memory that does not grow with the pictures.

A curve over thresholds turns only where a defective pixel's score lies. So it is enough to know, for every distinct
score of a defective pixel, how many pixels outside the defects have that very score, and how many lie between it and
the next. Defective pixels are few; the others are counted picture by picture and never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.bench.aupro import aupro_of_counts, region_weights
from aae_detect.bench.metrics import Counts, auroc_of_counts, average_precision_of_counts

MAX_DISTINCT = 2**21
"""Distinct scores of defective pixels kept apart; takes about 300 MB at the most."""

Picture = tuple[NDArray[np.float32], NDArray[np.bool_]]
Keys = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """Pixels by score, lowest score first.

    The cells take turns: between two scores of defective pixels (no defective pixel there), then at one, and so on.
    """

    positives: Counts
    """(cells,) defective pixels."""

    weights: NDArray[np.float64]
    """(cells,) sum of the shares that defective pixels have of their regions."""

    negatives: Counts
    """(cells,) pixels outside every region."""

    regions: int
    """8-connected regions of the masks."""

    dropped_bits: int
    """0: exact. Otherwise scores that agree in all but this many of their 32 bits were taken as equal."""

    def auroc(self) -> float:
        """Area under the pixels' ROC curve, 0 to 1; NaN unless both kinds of pixels are there."""
        return auroc_of_counts(self.positives, self.negatives)

    def average_precision(self) -> float:
        """Average precision over the pixels, 0 to 1; NaN unless both kinds of pixels are there."""
        return average_precision_of_counts(self.positives, self.negatives)

    def aupro(self, limit: float) -> float:
        """Area under the per-region overlap up to a false-positive rate, 0 to 1; NaN where undefined."""
        return aupro_of_counts(self.weights, self.negatives, limit)

    def error_bound(self, limit: float) -> float:
        """Return how far `auroc`, `average_precision` and `aupro(limit)` can lie off their exact values; 0 if exact.

        Inside a cell the order of its pixels is unknown. The bound takes the best and the worst order.
        """
        outside, inside = float(self.negatives.sum()), float(self.positives.sum())
        if not self.dropped_bits or not outside or not inside:
            return 0.0
        fpr_in_cell = self.negatives / outside
        roc = 0.5 * np.sum(self.positives / inside * fpr_in_cell)
        overlap = 0.5 * np.sum(self.weights / self.weights.sum() * fpr_in_cell) / limit
        found, called = self.positives[::-1], self.negatives[::-1]
        found_before, called_before = np.cumsum(found) - found, np.cumsum(called) - called
        best = (found_before + found) / np.maximum(1, found_before + found + called_before)
        worst = (found_before + 1) / (found_before + 1 + called_before + called)
        precision = np.sum(found / inside * (best - worst))
        return float(max(roc, overlap, precision))


def count_pixels(pictures: Callable[[], Iterable[Picture]], max_distinct: int = MAX_DISTINCT) -> PixelCounts:
    """Count the pixels of all pictures by score; goes through the pictures twice.

    Args:
        pictures: Starts a walk over all pictures, the same each time: the anomaly map (H, W) float32, all finite, and
            the mask (H, W), True where defective; all False for a good picture.
        max_distinct: Where defective pixels have more distinct scores than this, their lowest bits are dropped, one
            after the other, until they fit; `error_bound` then says what that can have cost.

    Raises:
        ValueError: a map is not finite, or differs in shape from its mask.
    """
    defects = _Defects(max_distinct)
    for anomaly_map, mask in pictures():
        if anomaly_map.shape != mask.shape:
            raise ValueError(f"a map has shape {anomaly_map.shape}, its mask {mask.shape}; expected the same")
        if mask.any():
            weights, regions = region_weights(mask)
            defects.add(_order_keys(anomaly_map[mask]), weights, regions)
    defects.merge()
    between_and_at = np.zeros(2 * len(defects.keys) + 1, np.int64)
    for anomaly_map, mask in pictures():
        keys = np.sort(_order_keys(anomaly_map[~mask]) >> defects.dropped_bits)
        cells = 2 * np.searchsorted(defects.keys, keys, side="left")
        cells += _is_among(keys, cells // 2, defects.keys)
        # The keys are sorted, so each cell is one run: count runs instead of touching every cell for every picture.
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        between_and_at[cells[starts]] += np.diff(starts, append=len(cells))
    positives = np.zeros_like(between_and_at)
    region_shares = np.zeros(len(between_and_at))
    positives[1::2], region_shares[1::2] = defects.counts, defects.weights
    return PixelCounts(positives, region_shares, between_and_at, defects.regions, defects.dropped_bits)


def _is_among(keys: Keys, places: NDArray[np.intp], known: Keys) -> NDArray[np.bool_]:
    """Say which keys are the very known key at the place where they would be put in."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    return np.asarray((places < len(known)) & (known[np.minimum(places, len(known) - 1)] == keys))


def _order_keys(scores: NDArray[np.float32]) -> Keys:
    """Take float32 to int32 in the same order, so that dropping low bits rounds down evenly at every magnitude."""
    if not np.isfinite(scores).all():
        raise ValueError("an anomaly map holds values that are not finite")
    bits = (scores.astype(np.float32, copy=False) + np.float32(0.0)).view(np.int32)  # + 0 makes -0 equal to 0
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


class _Defects:
    """Distinct scores of defective pixels, with counts and weights; coarsened where there are too many."""

    def __init__(self, max_distinct: int) -> None:
        self.keys: Keys = np.empty(0, np.int32)
        self.counts: Counts = np.empty(0, np.int64)
        self.weights: NDArray[np.float64] = np.empty(0)
        self.regions = 0
        self.dropped_bits = 0
        self._max_distinct = max_distinct
        self._new: list[tuple[Keys, NDArray[np.float64]]] = []
        self._new_size = 0

    def add(self, keys: Keys, weights: NDArray[np.float64], regions: int) -> None:
        self._new.append((keys >> self.dropped_bits, weights))
        self._new_size += len(keys)
        self.regions += regions
        if self._new_size > self._max_distinct:
            self.merge()

    def merge(self) -> None:
        keys = np.concatenate([self.keys, *(keys for keys, _ in self._new)])
        counts = np.concatenate([self.counts, np.ones(self._new_size, np.int64)])
        weights = np.concatenate([self.weights, *(weights for _, weights in self._new)])
        self._new, self._new_size = [], 0
        order = np.argsort(keys, kind="stable")
        self.keys, self.counts, self.weights = _sum_equal(keys[order], counts[order], weights[order])
        while len(self.keys) > self._max_distinct:
            self.dropped_bits += 1
            self.keys, self.counts, self.weights = _sum_equal(self.keys >> 1, self.counts, self.weights)


def _sum_equal(keys: Keys, counts: Counts, weights: NDArray[np.float64]) -> tuple[Keys, Counts, NDArray[np.float64]]:
    """Join runs of equal keys; the keys are sorted."""
    if not len(keys):
        return keys, counts, weights
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts, starts), np.add.reduceat(weights, starts)

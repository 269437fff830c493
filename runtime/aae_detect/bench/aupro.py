"""Area under the per-region overlap curve: how much of every defect is found, small ones counting like large ones.

P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger, C. Steger: The MVTec Anomaly Detection Dataset, IJCV 2021.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench.metrics import Counts


def region_weights(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
    """Give each defective pixel the share that it has of its region.

    Args:
        mask: (H, W), True where defective.

    Returns:
        1 / area of the pixel's 8-connected region for every True pixel, in row order; and the number of regions.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return 1.0 / stats[labels[mask], cv2.CC_STAT_AREA], count - 1


def aupro_of_counts(weights: NDArray[np.float64], negatives: Counts, limit: float) -> float:
    """Integrate the mean per-region overlap over the false-positive rate from 0 to `limit`, divided by `limit`.

    The curve has a point at every distinct score and straight lines between; at the limit it is cut on that line.

    Args:
        weights: Sum of `region_weights` per distinct score, lowest score first.
        negatives: Pixels outside every region per distinct score, those of good pictures included.
        limit: Highest false-positive rate, above 0, at most 1.

    Returns:
        0 to 1; NaN without a region or without a pixel outside.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"limit is {limit}, expected above 0 and at most 1")
    if weights.sum() == 0 or negatives.sum() == 0:
        return math.nan
    fpr = np.concatenate([[0.0], np.cumsum(negatives[::-1]) / negatives.sum()])
    overlap = np.concatenate([[0.0], np.cumsum(weights[::-1]) / weights.sum()])
    inside = int(np.searchsorted(fpr, limit, side="right"))
    if fpr[inside - 1] < limit:
        part = (limit - fpr[inside - 1]) / (fpr[inside] - fpr[inside - 1])
        at_limit = overlap[inside - 1] + part * (overlap[inside] - overlap[inside - 1])
        fpr = np.concatenate([fpr[:inside], [limit]])
        overlap = np.concatenate([overlap[:inside], [at_limit]])
    else:
        fpr, overlap = fpr[:inside], overlap[:inside]
    area = np.sum(np.diff(fpr) * (overlap[1:] + overlap[:-1])) / 2
    return float(area / limit)

"""How well scores tell two classes apart, and what a threshold makes of them.

Positives are the defective ones; a higher score means less like the good parts. All sums run over distinct scores, so
ties count as ties. A figure that is undefined, because one class is missing, is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]


def count_by_score(labels: ArrayLike, scores: ArrayLike) -> tuple[Counts, Counts]:
    """Count positives and negatives at every distinct score.

    Args:
        labels: (n,) booleans, True where defective.
        scores: (n,) finite floats.

    Returns:
        Positives and negatives per distinct score, lowest score first, each (distinct,) int64.

    Raises:
        ValueError: lengths differ, or a score is not finite.
    """
    truth, values = _checked(labels, scores)
    _, group = np.unique(values, return_inverse=True)
    group = group.reshape(-1)
    distinct = int(group.max()) + 1 if group.size else 0
    positives = np.bincount(group[truth], minlength=distinct)
    return positives.astype(np.int64), (np.bincount(group, minlength=distinct) - positives).astype(np.int64)


def auroc_of_counts(positives: Counts, negatives: Counts) -> float:
    """Area under the ROC curve from counts per distinct score, lowest first: P(positive > negative) + P(equal) / 2."""
    pairs = float(positives.sum()) * float(negatives.sum())
    if pairs == 0:
        return math.nan
    below = np.cumsum(negatives) - negatives
    return float(np.sum(positives * (below + 0.5 * negatives)) / pairs)


def average_precision_of_counts(positives: Counts, negatives: Counts) -> float:
    """Average precision from counts per distinct score, lowest first: the sum of precision times the rise in recall.

    The step sum over every distinct threshold, as scikit-learn defines it; no interpolation between the points.
    """
    total = float(positives.sum())
    if total == 0 or negatives.sum() == 0:
        return math.nan
    found = np.cumsum(positives[::-1])
    called = found + np.cumsum(negatives[::-1])
    precision = np.divide(found, called, out=np.zeros(len(found)), where=called > 0)
    return float(np.sum(precision * positives[::-1]) / total)


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, 0 to 1; NaN unless both classes are there. Arguments as `count_by_score`."""
    return auroc_of_counts(*count_by_score(labels, scores))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, 0 to 1; NaN unless both classes are there. Arguments as `count_by_score`."""
    return average_precision_of_counts(*count_by_score(labels, scores))


def f1_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """F1 = 2 TP / (2 TP + FP + FN) where score > threshold means NG; NaN without a positive."""
    truth, values = _checked(labels, scores)
    called = values > threshold
    if not truth.any():
        return math.nan
    return float(2 * np.sum(called & truth) / (np.sum(called) + np.sum(truth)))


def recall_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of the defective ones with score > threshold; NaN where there is none."""
    truth, values = _checked(labels, scores)
    return float(np.mean(values[truth] > threshold)) if truth.any() else math.nan


def false_reject_rate(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of the good ones with score > threshold; NaN where there is none."""
    truth, values = _checked(labels, scores)
    return math.nan if truth.all() else float(np.mean(values[~truth] > threshold))


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth, values = np.asarray(labels, np.bool_), np.asarray(scores, np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels have shape {truth.shape}, scores {values.shape}; expected (n,) for both")
    if not np.isfinite(values).all():
        raise ValueError("a score is not a finite number")
    return truth, values

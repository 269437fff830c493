"""How far apart two samples are, in figures that a person can read. numpy only: used in training and on exports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

_THUMBNAIL = 16
"""Pixels a side at which pictures are compared as wholes."""

_DETAIL = 64
"""Pixels a side at which fine detail is measured: noise of the camera is averaged away."""


def neighbour_accuracy(
    real: NDArray[np.floating], drawn: NDArray[np.floating], together: NDArray[np.integer] | None = None
) -> float:
    """Tell which of two samples a point is from by its nearest neighbour among all others.

    0.5 where the samples are alike, 1 where they are apart; below 0.5 where the drawn ones are copies of real ones
    (1-NN two-sample test: Lopez-Paz & Oquab, arXiv 1610.06545).

    Args:
        real: (N, D), N at least 2.
        drawn: (N, D): as many, so that guessing is right half of the time.
        together: (N,) numbers that are the same for drawn ones which are alike whatever they are drawn from, such as
            places of one picture; those are not compared with each other.

    Returns:
        Share that is told right, 0 to 1, the two samples counting alike.
    """
    points = np.concatenate([real, drawn]).astype(np.float64)
    points -= points.mean(axis=0)  # distances stay, and lose less to rounding
    squares = np.square(points).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    if together is not None:
        distances[len(real) :, len(real) :][together[:, None] == together[None, :]] = np.inf
    is_real = np.arange(len(points)) < len(real)
    told_right = is_real[distances.argmin(axis=1)] == is_real
    return float(0.5 * (told_right[is_real].mean() + told_right[~is_real].mean()))


def diversity(pictures: NDArray[np.uint8]) -> float:
    """Return the mean distance between pairs of pictures, root mean square in grey levels; 0 where all are the same.

    Args:
        pictures: (N, H, W, 3) uint8, N at least 2.
    """
    points = thumbnails(pictures) * np.sqrt(1.0 / (_THUMBNAIL * _THUMBNAIL * 3))
    squares = np.square(points).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * points @ points.T, 0))
    count = len(points)
    return float((distances.sum() - np.trace(distances)) / (count * (count - 1)))


def detail(pictures: NDArray[np.uint8]) -> float:
    """Return how much fine detail pictures show: the root mean square of their Laplacian at 64x64, grey levels.

    Args:
        pictures: (N, H, W, 3) uint8.
    """
    small = [cv2.resize(picture, (_DETAIL, _DETAIL), interpolation=cv2.INTER_AREA) for picture in pictures]
    edges = [cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F) for picture in small]
    return float(np.sqrt(np.mean([np.square(edge).mean() for edge in edges])))


def thumbnails(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shrink pictures (N, H, W, 3) uint8 to rows of numbers, (N, 16 * 16 * 3), grey levels."""
    small = [cv2.resize(p, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.stack(small).reshape(len(pictures), -1).astype(np.float64)

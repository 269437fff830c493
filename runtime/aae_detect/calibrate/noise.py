"""How much a camera's picture trembles by itself."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

_MOST_SIDE_PX = 512
"""Of the piece from the middle that is looked at; noise is the same elsewhere."""

_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""The difference of two Laplacians, which knows nothing of flat places, slopes and straight edges."""


def estimate_noise(image_bgr: NDArray[np.uint8]) -> float:
    """Estimate the noise of one picture (Immerkaer 1996, Computer Vision and Image Understanding 64).

    By the median of what the kernel leaves, where the paper takes the mean: texture and edges are in few places.

    Args:
        image_bgr: HxWx3 uint8, at least 3x3; smaller ones have none.

    Returns:
        Standard deviation of the lightness, gray levels. Compressed pictures have less than their sensor, and fine
        texture all over the picture counts as noise.
    """
    height, width = image_bgr.shape[:2]
    if min(height, width) < 3:
        return 0.0
    top, left = max(0, (height - _MOST_SIDE_PX) // 2), max(0, (width - _MOST_SIDE_PX) // 2)
    piece = image_bgr[top : top + _MOST_SIDE_PX, left : left + _MOST_SIDE_PX]
    gray = cv2.cvtColor(np.ascontiguousarray(piece), cv2.COLOR_BGR2GRAY).astype(np.float32)
    left_over = np.abs(cv2.filter2D(gray, cv2.CV_32F, _KERNEL)[1:-1, 1:-1])
    # Gray levels are whole numbers: a plain median would jump in steps of a sixth of a level, and know nothing below.
    spread = float(np.mean(np.sort(left_over, axis=None)[: left_over.size // 2 + 1]))
    return spread / _MEAN_OF_LOWER_HALF / math.sqrt(float((_KERNEL**2).sum()))


_MEAN_OF_LOWER_HALF = 2 * (1 - math.exp(-0.5 * 0.6744897501960817**2)) * math.sqrt(2 / math.pi)
"""Mean of |x| of a standard normal x over its lower half, |x| < 0.6745."""

"""Whether the picture has moved as a whole: phase correlation (Kuglin & Hines 1975) of small pictures."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

_WHITENING = 0.02
"""Added to the magnitudes, as a share of their mean: frequencies that hold only noise must not vote."""

LEAST_SURE = 0.06
"""Height of the correlation's peak below which two pictures have nothing in common. The very same have 0.2 to 1, more
the finer what they show; of noise, the highest of 64x64 places has 0.055."""

Spectrum = NDArray[np.float32]
"""(N, N, 2), real and imaginary part, as OpenCV has them."""


def spectrum_of(small: NDArray[np.uint8] | NDArray[np.float32]) -> Spectrum:
    """Return the spectrum of a small picture (N, N), with its rim faded out: what leaves there comes in nowhere."""
    level = np.asarray(small, np.float32)
    faded = (level - level.mean()) * _fade(len(small))
    return np.asarray(cv2.dft(faded, flags=cv2.DFT_COMPLEX_OUTPUT), np.float32)


@lru_cache(maxsize=4)
def _fade(side: int) -> NDArray[np.float32]:
    line = np.hanning(side).astype(np.float32)
    return np.outer(line, line)


def find_shift(of: Spectrum, against: Spectrum) -> tuple[float, float]:
    """Find how far one picture lies off the other.

    Returns:
        The distance, as a share of their side; and how sure that is, see `LEAST_SURE`.
    """
    cross = np.asarray(cv2.mulSpectrums(of, against, 0, conjB=True), np.float32)
    magnitude = np.asarray(cv2.magnitude(cross[:, :, 0], cross[:, :, 1]), np.float32)
    damped = magnitude + np.float32(_WHITENING * magnitude.mean() + 1e-12)
    correlation = cv2.dft(cross / damped[:, :, None], flags=cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)
    _, sure, _, (right, down) = cv2.minMaxLoc(correlation)
    side = len(of)
    return math.hypot(min(down, side - down), min(right, side - right)) / side, float(sure)

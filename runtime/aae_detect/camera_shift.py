"""Whether the picture has moved as a whole: phase correlation (Kuglin & Hines 1975) of small pictures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_WHITENING = 0.02
"""Added to the magnitudes, as a share of their mean: frequencies that hold only noise must not vote."""

LEAST_SURE = 0.06
"""Height of the correlation's peak below which two pictures have nothing in common. The very same have 0.2 to 1, more
the finer what they show; of noise, the highest of 64x64 places has 0.055."""

Spectrum = NDArray[np.complex64]


def spectrum_of(small: NDArray[np.uint8] | NDArray[np.float32]) -> Spectrum:
    """Return the spectrum of a small picture (N, N), with its rim faded out: what leaves there comes in nowhere."""
    side = len(small)
    fade = np.hanning(side).astype(np.float32)
    level = np.asarray(small, np.float32)
    spectrum: Spectrum = np.fft.rfft2((level - level.mean()) * np.outer(fade, fade)).astype(np.complex64)
    return spectrum


def find_shift(of: Spectrum, against: Spectrum) -> tuple[float, float]:
    """Find how far one picture lies off the other.

    Returns:
        The distance, as a share of their side; and how sure that is, see `LEAST_SURE`.
    """
    cross = of * against.conj()
    magnitude = np.abs(cross)
    cross = cross / (magnitude + _WHITENING * magnitude.mean() + 1e-12)
    side = len(of)
    correlation = np.fft.irfft2(cross, (side, side))
    peak = int(correlation.argmax())
    down, right = (min(place, side - place) for place in divmod(peak, side))
    return math.hypot(down, right) / side, float(correlation.flat[peak])

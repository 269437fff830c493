"""A few numbers that say whether a frame shows anything at all, and the same scene as ever.

They are taken from the picture that the model got, which is small and anti-aliased already, so they cost next to
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

SMALL = 64
"""Side of the reduced picture, pixels."""

BLOCKS = 8
"""Blocks of the reduced picture, a side."""

SATURATED = 250
"""Gray levels from which a channel holds no more."""


@dataclass(frozen=True)
class Light:
    """Whether there is enough of it, and not too much."""

    brightest: float
    """Gray level that one pixel in a hundred lies above, 0 to 255."""

    saturated: float
    """Share of the pixels with a channel at its end, 0 to 1."""


@dataclass(frozen=True, eq=False)
class FrameStatistics:
    """What is measured of a frame."""

    light: Light

    sharpness: float
    """Logarithm of what is fine against what is coarse: falls when the focus is lost, whatever the scene shows."""

    blue_cast: float
    red_cast: float
    """Logarithm of the mean of blue, and of red, against that of green."""

    small: NDArray[np.uint8]
    """SMALL x SMALL, gray."""

    block_means: NDArray[np.float32]
    """BLOCKS x BLOCKS, gray levels."""

    block_spreads: NDArray[np.float32]
    """BLOCKS x BLOCKS, standard deviations in gray levels."""


def measure_frame(input_bgr: NDArray[np.uint8]) -> FrameStatistics:
    """Measure a frame.

    Args:
        input_bgr: HxWx3 uint8, the frame as the model gets it (`Detection.input_bgr`).
    """
    gray = np.asarray(cv2.cvtColor(input_bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    blue, green, red, _ = cv2.mean(input_bgr)
    small = np.asarray(cv2.resize(gray, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.uint8)
    side = SMALL // BLOCKS
    blocks = small.reshape(BLOCKS, side, BLOCKS, side).astype(np.float32)
    return FrameStatistics(
        light=_light_of(input_bgr, gray),
        sharpness=_sharpness(gray),
        blue_cast=math.log((blue + 1) / (green + 1)),
        red_cast=math.log((red + 1) / (green + 1)),
        small=small,
        block_means=blocks.mean(axis=(1, 3)),
        block_spreads=blocks.std(axis=(1, 3)),
    )


def measure_light(input_bgr: NDArray[np.uint8]) -> Light:
    """Measure a frame's light alone; the argument is that of `measure_frame`."""
    return _light_of(input_bgr, np.asarray(cv2.cvtColor(input_bgr, cv2.COLOR_BGR2GRAY), np.uint8))


def _light_of(input_bgr: NDArray[np.uint8], gray: NDArray[np.uint8]) -> Light:
    counts = cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel()
    brightest = int(np.searchsorted(np.cumsum(counts), 0.99 * gray.size))
    below = cv2.inRange(input_bgr, (0, 0, 0), (SATURATED - 1,) * 3)  # 255 where no channel is at its end
    return Light(float(brightest), 1.0 - cv2.countNonZero(below) / gray.size)


def _sharpness(gray: NDArray[np.uint8]) -> float:
    """Compare the energy of the finest octave with that of the next but one."""
    half = cv2.resize(gray, (gray.shape[1] // 2, gray.shape[0] // 2), interpolation=cv2.INTER_AREA)
    quarter = cv2.resize(half, (gray.shape[1] // 4, gray.shape[0] // 4), interpolation=cv2.INTER_AREA)
    fine, coarse = (cv2.norm(cv2.Laplacian(level, cv2.CV_16S), cv2.NORM_L1) / level.size for level in (gray, quarter))
    return math.log((fine + 0.1) / (coarse + 0.1))

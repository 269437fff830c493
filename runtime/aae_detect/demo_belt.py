"""The demo camera's surroundings: a moving belt between two rails, its light, and the noise of its sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

_BELT_BGR = (74, 82, 66)
_BELT_LENGTH = 1920
_SEAM_SPACING = 640
_RAIL = 40
_NOISE_PICTURES = 2
_NOISE_SPARE = 96


class Belt:
    """Draws everything but the parts.

    Args:
        seed: decides grain, noise and the phase of the light.
        size_hw: height and width of a frame, pixels.
        scale: frame pixels per unit of length (one pixel of a 640x480 picture).
        noise: standard deviation of the sensor noise, grey levels.
    """

    def __init__(self, seed: int, size_hw: tuple[int, int], scale: float, noise: float) -> None:
        height, width = size_hw
        self._size_hw = size_hw
        self._seed = seed
        self._period = round(_BELT_LENGTH * scale)
        loop = _draw_loop(seed, height, self._period, scale)
        # One frame's width more, so that every view is one slice.
        self._loop = np.concatenate([loop] * (width // self._period + 1) + [loop[:, : width % self._period]], axis=1)
        self._rail, self._rail_h = _draw_rail(width, scale), round(_RAIL * scale)
        self._light = _draw_light(height, width, scale)
        self._phases = np.random.default_rng([seed, 5]).uniform(0, 2 * np.pi, 3)
        self._noise = _draw_noise(seed, size_hw, noise) if noise > 0 else None

    def background(self, shift: int) -> NDArray[np.uint8]:
        """Return belt and rails, HxWx3 BGR uint8, when the belt has come so many pixels to the right."""
        width = self._size_hw[1]
        start = -shift % self._period
        image = self._loop[:, start : start + width].copy()
        image[: self._rail_h] = self._rail
        image[-self._rail_h :] = self._rail[::-1]
        return image

    def expose(self, image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Return a scene as the camera sees it: light that breathes, darker corners, sensor noise."""
        slow, slower, quick = np.sin(2 * np.pi * index / np.array([170.0, 610.0, 43.0]) + self._phases)
        gain = 1 + 0.025 * slow + 0.02 * slower + 0.008 * quick
        lit = cv2.multiply(image, self._light, scale=gain / 255)
        if self._noise is None:
            return np.asarray(lit, np.uint8)
        draw = np.random.default_rng([self._seed, 4, index]).integers(0, [_NOISE_PICTURES, _NOISE_SPARE, _NOISE_SPARE])
        height, width = self._size_hw
        top, left = int(draw[1]), int(draw[2])
        grain = self._noise[int(draw[0])][top : top + height, left : left + width]
        return np.asarray(cv2.add(lit, grain, dtype=cv2.CV_8U), np.uint8)


def _draw_loop(seed: int, height: int, period: int, scale: float) -> NDArray[np.uint8]:
    """Draw the whole belt once round: woven grain, a few scuffs along the run, and seams across it."""
    rng = np.random.default_rng([seed, 6])
    # Three copies, of which the middle one is kept: blurring then runs on across the joint.
    fine = rng.standard_normal((height, period)).astype(np.float32)
    fine = np.asarray(cv2.GaussianBlur(np.tile(fine, (1, 3)), (0, 0), 0.9 * scale), np.float32)[:, period : 2 * period]
    streaks = rng.standard_normal((height, 1)).astype(np.float32)
    streaks = np.asarray(cv2.GaussianBlur(streaks, (0, 0), 2 * scale), np.float32)
    grain = 2.4 * fine / fine.std() + 1.2 * streaks / streaks.std()
    weave = 1.6 * np.sin(2 * np.pi * np.arange(period) * round(period / (8 * scale)) / period)
    grain = grain + weave[None, :]
    xs = np.arange(period, dtype=np.float32) / scale
    away = np.abs((xs + _SEAM_SPACING / 2) % _SEAM_SPACING - _SEAM_SPACING / 2)
    grain = grain + (8 * np.exp(-(((away - 4) / 1.5) ** 2)) - 16 * np.exp(-((away / 1.8) ** 2)))[None, :]
    loop = np.array(_BELT_BGR, np.float32) + grain[..., None]
    ys = np.arange(height, dtype=np.float32)
    edge = np.minimum(ys, height - 1 - ys) / scale - _RAIL
    loop *= (1 - 0.45 * np.exp(-np.clip(edge, 0, None) / 7))[:, None, None]  # the rails' shadow
    return np.asarray(np.clip(loop, 0, 255), np.uint8)


def _draw_rail(width: int, scale: float) -> NDArray[np.uint8]:
    """Draw the upper rail: an aluminium profile with a groove and bolts; the lower one is its mirror image."""
    height = round(_RAIL * scale)
    ys = np.arange(height, dtype=np.float32) / scale
    tone = 142 + 16 * np.cos(ys / 9) - 55 * np.exp(-(((ys - 15) / 2.5) ** 2)) - 60 * (ys > _RAIL - 4)
    tone = tone + 26 * np.exp(-(((ys - 19) / 1.2) ** 2))
    rail = np.repeat((tone[:, None, None] * np.array([1.03, 1.0, 0.97])).clip(0, 255).astype(np.uint8), width, axis=1)
    for x in np.arange(60 * scale, width, 130 * scale):
        for radius, value in ((5.5, 84), (4.2, 170)):
            centre = (round(x * 16), round(27.5 * scale * 16))
            cv2.circle(rail, centre, round(radius * scale * 16), (value,) * 3, -1, cv2.LINE_AA, 4)
    return rail


def _draw_light(height: int, width: int, scale: float) -> NDArray[np.uint8]:
    """Draw the fall of light: brightest a little left of the middle, darker in the corners."""
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = ((xs / width - 0.46) / 0.75) ** 2 + ((ys / height - 0.48) / 0.75) ** 2
    light = 252 * (1 - 0.24 * np.clip(distance, 0, 1))
    return np.asarray(np.repeat(light[..., None].astype(np.uint8), 3, axis=2))


def _draw_noise(seed: int, size_hw: tuple[int, int], noise: float) -> NDArray[np.int8]:
    """Draw a few pictures of noise, larger than a frame: each frame shows one of them at its own place."""
    rng = np.random.default_rng([seed, 3])
    shape = (_NOISE_PICTURES, size_hw[0] + _NOISE_SPARE, size_hw[1] + _NOISE_SPARE, 3)
    grain = rng.standard_normal(shape, np.float32)
    grain *= noise
    return np.clip(np.rint(grain), -127, 127).astype(np.int8)

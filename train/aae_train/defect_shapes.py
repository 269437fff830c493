"""Where a synthetic defect goes: blobs, scratches, hairlines, cracks, spots, smears and bands, drawn from noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

_Float = NDArray[np.float32]
_Path = NDArray[np.float64]

_BRANCHING = 0.08
"""Chance of a branch at every step of a crack."""

_MOST_BRANCHES = 12


@dataclass(frozen=True)
class Shape:
    """Where a defect goes."""

    top: int
    left: int
    alpha: NDArray[np.float32]
    """(h, w) float32, 0 to 1: how much of the fill shows."""

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that the shape covers."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def value_noise(rng: np.random.Generator, hw: tuple[int, int], cell_px: float, channels: int = 1) -> _Float:
    """Make smooth noise: random grids, enlarged and summed, each finer one at half the weight.

    Args:
        rng: Source of chance.
        hw: Size of the noise, pixels.
        cell_px: Size of the coarsest bumps, pixels.
        channels: 1 or 3.

    Returns:
        (h, w) or (h, w, 3) float32, about 0 to 1, mean about 0.5.
    """
    total = np.zeros((*hw, channels) if channels > 1 else hw, np.float32)
    weights = 0.0
    for octave in range(3):
        cell = max(1.0, cell_px / 2**octave)
        grid_hw = tuple(min(side, math.ceil(side / cell) + 1) for side in hw)
        grid = rng.random((*grid_hw, channels), dtype=np.float32)
        weight = 0.5**octave
        total += weight * cv2.resize(grid, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)
        weights += weight
    return np.asarray(total / weights, np.float32)


def _blob(rng: np.random.Generator, hw: tuple[int, int], area: float) -> Shape:
    """An irregular patch: noise that falls off from the centre, cut at the level that leaves the area."""
    aspect = math.exp(rng.uniform(-0.7, 0.7))
    box_h, box_w = _inside(hw, math.sqrt(area * 2.2 * aspect), math.sqrt(area * 2.2 / aspect))
    noise = value_noise(rng, (box_h, box_w), max(2.0, min(box_h, box_w) / rng.uniform(1.5, 5)))
    noise -= 0.8 * _distance((box_h, box_w), 0.0, 1.0) ** 2
    level = float(np.quantile(noise, 1 - min(0.6, area / (box_h * box_w))))
    softness = rng.uniform(0.02, 0.15)
    return _anywhere(rng, hw, np.clip((noise - level) / softness + 0.5, 0, 1))


def _scratch(rng: np.random.Generator, hw: tuple[int, int], area: float) -> Shape:
    """A thin line whose heading wanders."""
    side = min(hw)
    thickness = int(rng.integers(1, max(2, side // 85) + 1))
    length = min(max(area / thickness / 2, 0.08 * side), 1.2 * side)
    steps = max(4, int(length / 6))
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, rng.uniform(0, 0.15), steps))
    path = _walk(heading, length / steps)
    path += rng.uniform(0.1, 0.9, 2) * (hw[1], hw[0]) - path[steps // 2]
    return _lines([(path, thickness)], hw)


def _hairline(rng: np.random.Generator, hw: tuple[int, int], area: float) -> Shape:
    """A faint line a pixel wide, nearly straight, that fades in and out."""
    side = min(hw)
    length = min(max(area / 2, 0.15 * side), 1.2 * side)
    steps = max(6, int(length / 4))
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.03, steps))
    path = _walk(heading, length / steps)
    path += rng.uniform(0.1, 0.9, 2) * (hw[1], hw[0]) - path[steps // 2]
    line = _lines([(path, 1)], hw)
    fading = value_noise(rng, line.alpha.shape, max(4.0, length / 4))
    return Shape(line.top, line.left, line.alpha * np.clip(rng.uniform(0.4, 0.9) + fading - 0.5, 0, 1))


def _band(rng: np.random.Generator, hw: tuple[int, int], area: float) -> Shape:
    """A stripe from one side of the picture to the other: a missing thread, a streak of a roller."""
    height, width = hw
    down = bool(rng.random() < 0.5)
    along, across = (height, width) if down else (width, height)
    thickness = int(np.clip(area / along, 1, max(2, across // 12)))
    reach = int(min(across, thickness + 2 * (1 + 0.03 * across * rng.random())))
    drift = (value_noise(rng, (1, along), along / rng.uniform(0.5, 3))[0] - 0.5) * (reach - thickness)
    middle = (reach - 1) / 2 + drift
    offsets = np.abs(np.arange(reach, dtype=np.float32)[:, None] - middle[None])
    alpha = np.asarray(np.clip((thickness + 1) / 2 - offsets, 0, 1), np.float32)
    start = int(rng.integers(0, across - reach + 1))
    return Shape(0, start, np.ascontiguousarray(alpha.T)) if down else Shape(start, 0, alpha)


def _crack(rng: np.random.Generator, hw: tuple[int, int], area: float) -> Shape:
    """A ragged line that branches, thinner with every branch."""
    side = min(hw)
    stride = max(2.0, 5 * side / 256)
    thickness = int(rng.integers(1, max(2, side // 100) + 1))
    length = min(max(area / thickness / 2, 0.15 * side), 1.2 * side)
    start, heading = rng.uniform(0.1, 0.9, 2) * (hw[1], hw[0]), float(rng.uniform(0, 2 * math.pi))
    waiting = [(start, heading, max(3, int(length / stride)), thickness)]
    lines: list[tuple[_Path, int]] = []
    while waiting and len(lines) < _MOST_BRANCHES:
        start, heading, steps, thickness = waiting.pop(0)
        headings = heading + np.cumsum(rng.normal(0, 0.35, steps))
        path = start + np.concatenate([np.zeros((1, 2)), _walk(headings, stride)])
        lines.append((path, thickness))
        for place in np.flatnonzero(rng.random(steps) < _BRANCHING):
            aside = float(headings[place] + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2))
            left = int((steps - place) * rng.uniform(0.3, 0.9))
            if left >= 3:
                waiting.append((path[place], aside, left, max(1, thickness - 1)))
    return _lines(lines, hw)


def _spots(rng: np.random.Generator, hw: tuple[int, int], area: float) -> Shape:
    """One to five small round patches near each other."""
    number = int(rng.integers(1, 6))
    radius = max(1.0, math.sqrt(min(area, 0.01 * hw[0] * hw[1]) / number / math.pi))
    spread = radius * (2.0 if number == 1 else 3.0 + 2.0 * number**0.5)
    box_h, box_w = _inside(hw, spread * 2, spread * 2)
    canvas = np.zeros((box_h, box_w), np.uint8)
    for _ in range(number):
        radii = np.maximum(radius * rng.uniform(0.6, 1.3, 2), 0.8)
        room = np.array([box_w, box_h]) - 2 * radii
        centre = radii + rng.random(2) * np.maximum(room, 0)
        middle = (round(float(centre[0]) * 16), round(float(centre[1]) * 16))
        axes = (round(float(radii[0]) * 16), round(float(radii[1]) * 16))
        cv2.ellipse(canvas, middle, axes, float(rng.uniform(0, 180)), 0, 360, (255,), -1, cv2.LINE_AA, 4)
    return _anywhere(rng, hw, canvas.astype(np.float32) / np.float32(255))


def _smear(rng: np.random.Generator, hw: tuple[int, int], area: float) -> Shape:
    """A long patch with soft, uneven edges."""
    aspect = rng.uniform(1.5, 4.0)
    angle = rng.uniform(0, math.pi)
    half_short = max(1.0, math.sqrt(area / aspect / math.pi))
    half_long = half_short * aspect
    reach_y = math.hypot(half_long * math.sin(angle), half_short * math.cos(angle))
    reach_x = math.hypot(half_long * math.cos(angle), half_short * math.sin(angle))
    size = _inside(hw, 2.6 * reach_y, 2.6 * reach_x)
    radius = _distance(size, angle, aspect, half_long)
    uneven = value_noise(rng, size, max(2.0, half_short)) - 0.5
    return _anywhere(rng, hw, np.clip((1.15 - radius + 1.2 * uneven) / rng.uniform(0.15, 0.6), 0, 1))


# (rng, size of the picture, area of the shape in pixels) -> Shape
SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, int], float], Shape]] = {
    "blob": _blob,
    "scratch": _scratch,
    "spots": _spots,
    "smear": _smear,
    "crack": _crack,
    "hairline": _hairline,
    "band": _band,
}


def _walk(headings: _Path, stride: float) -> _Path:
    """Go a step in each direction, (n,) radians; returns where each step ends, (n, 2) x and y."""
    return np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0) * stride


def _lines(paths: list[tuple[_Path, int]], hw: tuple[int, int]) -> Shape:
    """Draw paths, (n, 2) x and y in pixels of the picture, each with its thickness; what leaves the picture is cut."""
    points = np.concatenate([path for path, _ in paths])
    margin = max(thickness for _, thickness in paths) + 2
    # A path may lie outside altogether; a box of at least 4x4 pixels is kept, and the caller sees that nothing shows.
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int) - margin, 0, (hw[1] - 4, hw[0] - 4))
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + margin, (left + 4, top + 4), (hw[1], hw[0]))
    canvas = np.zeros((int(bottom - top), int(right - left)), np.uint8)
    for path, thickness in paths:
        fixed = np.rint((path - (left, top)) * 16).astype(np.int32)  # OpenCV's fixed point: 4 bits of fraction
        cv2.polylines(canvas, [fixed], False, (255,), thickness, cv2.LINE_AA, 4)
    return Shape(int(top), int(left), canvas.astype(np.float32) / np.float32(255))


def _inside(hw: tuple[int, int], box_h: float, box_w: float) -> tuple[int, int]:
    """Round a box to pixels, at least 4x4 and no larger than the picture."""
    return min(hw[0], max(4, round(box_h))), min(hw[1], max(4, round(box_w)))


def _distance(hw: tuple[int, int], angle: float, aspect: float, half_long: float | None = None) -> _Float:
    """Give each pixel its distance from the centre, 1 on the ellipse; without `half_long`, 1 at the box's sides."""
    y = np.linspace(-1, 1, hw[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, hw[1], dtype=np.float32)[None, :]
    if half_long is not None:
        y, x = y * (hw[0] / 2 / half_long), x * (hw[1] / 2 / half_long)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = (y * math.cos(angle) - x * math.sin(angle)) * aspect
    return np.asarray(np.sqrt(along**2 + across**2), np.float32)


def _anywhere(rng: np.random.Generator, hw: tuple[int, int], alpha: _Float) -> Shape:
    """Put a shape at a random place, wholly inside the picture."""
    top = int(rng.integers(hw[0] - alpha.shape[0] + 1))
    left = int(rng.integers(hw[1] - alpha.shape[1] + 1))
    return Shape(top, left, np.asarray(alpha, np.float32))

"""Surfaces drawn from noise: clouds, speckle, weaves, cells, brushed metal, fallen leaves; no two are alike.

What the starting point is trained on (`make_starting_point.py`) must be ours to give away, and as varied as what users
will show: so it is drawn, by chance alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_train.defect_shapes import value_noise

Field = NDArray[np.float32]
"""(h, w) float32, mean 0.5; most of it lies between 0 and 1."""

_Raw = NDArray[Any]
"""(h, w), before its contrast is set; OpenCV's stubs do not know of which type."""

Painted = NDArray[np.float32]
"""(h, w, 3) float32 BGR, about 0 to 255."""

_FEWEST_LEAVES, _MOST_LEAVES = 4, 23
"""Per 64x64 pixels."""


def draw_surface(rng: np.random.Generator, side: int) -> Painted:
    """Draw a square surface.

    Args:
        rng: Source of chance.
        side: Pixels.

    Returns:
        (side, side, 3) float32 BGR.
    """
    if rng.random() < 0.12:
        return _leaves(rng, side)
    field = _field(rng, side)
    if rng.random() < 0.3:
        share = rng.uniform(0.3, 0.8)
        field = np.asarray(share * field + (1 - share) * _field(rng, side), np.float32)
    return _paint(field, draw_colours(rng, int(rng.integers(2, 4))))


def draw_colours(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw colours that go together, nearly grey ones in half of all cases; (count, 3) BGR, 0 to 255."""
    if rng.random() < 0.5:
        colours = rng.uniform(10, 245, (count, 1)) + rng.normal(0, 6, (1, 3))
    else:
        colours = rng.uniform(20, 235, 3) + rng.normal(0, rng.uniform(10, 70), (count, 3))
    return np.asarray(np.clip(colours, 0, 255))


def _field(rng: np.random.Generator, side: int) -> Field:
    kinds = (_clouds, _clouds, _speckle, _speckle, _weave, _weave, _cells, _brushed)
    return kinds[int(rng.integers(len(kinds)))](rng, side)


def _clouds(rng: np.random.Generator, side: int) -> Field:
    cell = _between(rng, 2, 80)
    squeezed = max(4, int(side / math.exp(rng.uniform(0, 3)))) if rng.random() < 0.35 else side
    field = cv2.resize(value_noise(rng, (side, squeezed), cell), (side, side), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.3:
        field = np.abs(field - 0.5)
    return _with_contrast(rng, _either_way(rng, field))


def _speckle(rng: np.random.Generator, side: int) -> Field:
    field = _noise(rng, side, _between(rng, 0.6, 4))
    if rng.random() < 0.5:
        spread = field.std()
        field = np.clip((field - rng.uniform(-1, 1.5) * spread) / (spread * rng.uniform(0.2, 1)), 0, 1)
    return _with_contrast(rng, field)


def _weave(rng: np.random.Generator, side: int) -> Field:
    """Waves that cross: threads, tiles, ribs, a chequerboard; bent a little, as cloth is."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bend, cell = rng.uniform(0, 12), rng.uniform(10, 60)
    x = x + bend * (value_noise(rng, (side, side), cell) - 0.5)
    y = y + bend * (value_noise(rng, (side, side), cell) - 0.5)
    angle = rng.uniform(0, math.pi)
    across, along = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    period = _between(rng, 4, 40)
    other = period * math.exp(rng.uniform(-0.7, 0.7))
    warp, weft = np.sin(2 * np.pi / period * across), np.sin(2 * np.pi / other * along)
    crossing = (
        warp,
        warp * weft,
        np.maximum(warp, weft),
        np.where((np.floor(across / period) + np.floor(along / other)) % 2 > 0, warp, weft),
    )[int(rng.integers(4))]
    if rng.random() < 0.3:
        crossing = np.clip(crossing * rng.uniform(2, 6), -1, 1)
    return _with_contrast(rng, crossing + rng.uniform(0, 0.5) * _speckle(rng, side))


def _cells(rng: np.random.Generator, side: int) -> Field:
    """Grains, pebbles or a cracked glaze: what lies nearest to each of many points."""
    count = int(_between(rng, 20, 1200) * (side / 256) ** 2)
    seeds = np.full((side, side), 255, np.uint8)
    seeds[tuple((rng.random((2, count)) * side).astype(int))] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    if rng.random() < 0.5:
        field = -distance
    else:
        seams = (cv2.Laplacian(label.astype(np.float32), cv2.CV_32F) != 0).astype(np.float32)
        field = -cv2.GaussianBlur(seams, (0, 0), rng.uniform(0.6, 2))
    if rng.random() < 0.4:
        shade = rng.random(int(label.max()) + 1).astype(np.float32)
        field = field / (field.std() + 1e-6) + rng.uniform(0, 3) * shade[label]
    return _with_contrast(rng, field)


def _brushed(rng: np.random.Generator, side: int) -> Field:
    strokes = cv2.GaussianBlur(_noise(rng, side, 0.0), (0, 0), sigmaX=rng.uniform(5, 30), sigmaY=0.6)
    rows = rng.standard_normal((side, 1)).astype(np.float32)
    return _with_contrast(rng, _either_way(rng, strokes / strokes.std() + rng.uniform(0, 0.3) * rows))


def _leaves(rng: np.random.Generator, side: int) -> Painted:
    """Discs, ellipses or polygons of all sizes that lie over each other, as grit, chips or foliage do."""
    colours = draw_colours(rng, 6)
    surface = np.zeros((side, side, 3), np.float32) + colours[0].astype(np.float32)
    corners = int(rng.choice([3, 4, 5, 6, 24]))
    flatness = rng.uniform(0.3, 1)
    smallest = rng.uniform(2, 6)
    for _ in range(int(rng.integers(_FEWEST_LEAVES, _MOST_LEAVES) * (side / 64) ** 2)):
        radius = min(60.0, smallest / (math.sqrt(rng.random()) + 0.03))
        turn = rng.uniform(0, 2 * math.pi)
        angles = np.linspace(0, 2 * math.pi, corners, endpoint=False) + rng.uniform(0, 1 / corners, corners)
        leaf = radius * np.stack([np.cos(angles), flatness * np.sin(angles)], axis=1)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        points = np.rint((leaf @ rotation + rng.uniform(-5, side + 5, 2)) * 8).astype(np.int32)
        colour = colours[int(rng.integers(6))] + rng.normal(0, 8, 3)
        cv2.fillPoly(surface, [points], colour.tolist(), cv2.LINE_8, 3)
    return surface


def _paint(field: Field, colours: NDArray[np.float64]) -> Painted:
    """Give a field the colours (n, 3) from its low to its high places, blending between."""
    place = np.clip(field, 0, 1) * (len(colours) - 1)
    below = np.minimum(place.astype(int), len(colours) - 2)
    share = (place - below)[..., None]
    return np.asarray(colours[below] * (1 - share) + colours[below + 1] * share, np.float32)


def _with_contrast(rng: np.random.Generator, field: _Raw) -> Field:
    spread = rng.uniform(0.03, 0.25)
    return np.asarray(0.5 + spread * (field - field.mean()) / (field.std() + 1e-6), np.float32)


def _noise(rng: np.random.Generator, side: int, sigma: float) -> Field:
    noise = rng.standard_normal((side, side)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise, np.float32)


def _either_way(rng: np.random.Generator, field: _Raw) -> _Raw:
    return field if rng.random() < 0.5 else field.T


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a length, evenly over its logarithm."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))

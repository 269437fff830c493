"""What can be wrong with a part of the demo camera: a person sees it at 640x480, and may miss it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

DEFECTS = ("scratch", "dent", "stain", "missing_hole")


def draw_defect(
    kind: str, colour: NDArray[np.uint8], depth: NDArray[np.float32], unit: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a copy of a part's surface with one defect on it.

    Args:
        kind: `scratch`, `dent` or `stain`; a missing hole is no change of the surface and is drawn with the part.
        colour: HxWx3 BGR uint8, the good surface.
        depth: HxW float32, distance to the part's nearest edge in pixels, 0 where there is no metal.
        unit: pixels of this drawing per unit of length.
        rng: decides place, size and strength.
    """
    if kind == "scratch":
        outline, width = _choose_scratch(depth, unit, rng)
        reach = 3 * width
    else:
        width = 0.0
        radius = rng.uniform(11, 18 if kind == "dent" else 20) * unit
        outline = _ring(_pick(depth, 0.8 * radius, rng), radius, 0.0 if kind == "dent" else 0.16, rng)
        reach = 6 * unit
    # Only the defect's surroundings are worked on: a camera has a few milliseconds for a frame.
    size_xy = np.array(depth.shape[::-1])
    left, top = np.clip(np.floor(outline.min(axis=0) - reach), 0, size_xy).astype(int)
    right, bottom = np.clip(np.ceil(outline.max(axis=0) + reach), 0, size_xy).astype(int)
    patch = colour[top:bottom, left:right].astype(np.float32)
    points = outline - (left, top)
    if kind == "scratch":
        patch = _scratch(patch, points, width, rng)
    elif kind == "dent":
        patch = _dent(patch, points, rng)
    else:
        patch = _stain(patch, points, unit, rng)
    changed = colour.copy()
    changed[top:bottom, left:right] = np.clip(patch, 0, 255)
    return changed


def _pick(depth: NDArray[np.float32], at_least: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return x, y of a random place at least so far from every edge, or as far as the part allows."""
    at_least = min(at_least, 0.9 * float(depth.max()))
    rows, columns = rng.integers(0, depth.shape[0], 4096), rng.integers(0, depth.shape[1], 4096)
    fits = np.flatnonzero(depth[rows, columns] >= at_least)
    if not len(fits):
        rows, columns = np.nonzero(depth >= at_least)
        fits = np.arange(len(rows))
    return np.array([columns[fits[0]], rows[fits[0]]], np.float64)


def _choose_scratch(
    depth: NDArray[np.float32], unit: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Return a bent line, (points, 2), and its width; most of it lies on metal, or there would be nothing to see."""
    length, width = rng.uniform(48, 84) * unit, rng.uniform(3.4, 5.0) * unit
    chosen, chosen_share = np.zeros((13, 2)), -1.0
    for _ in range(16):
        headings = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.5, 0.5) * np.linspace(-0.5, 0.5, 13)
        steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * length / 13
        points = _pick(depth, 6 * unit, rng) + np.cumsum(steps, axis=0)
        inside = np.clip(np.round(points).astype(int), 0, np.array(depth.shape[::-1]) - 1)
        share = float((depth[inside[:, 1], inside[:, 0]] > 2 * unit).mean())
        if share > chosen_share:
            chosen, chosen_share = points, share
        if share > 0.95:
            break
    return chosen, width


def _ring(
    centre_xy: NDArray[np.float64], radius: float, raggedness: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a closed outline around a centre, (points, 2)."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    reach = np.ones_like(angles)
    for waves in (2, 3, 5):
        reach += raggedness * rng.uniform(0.3, 1) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    return np.asarray(centre_xy + radius * reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _scratch(
    patch: NDArray[np.float32], points: NDArray[np.float64], width: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a dark groove with a bright burr beside it, or a line of bare bright metal with a shadow."""
    groove = _line(patch.shape, points, width)
    side = _line(patch.shape, points + np.array([0.8, 0.8]) * width, 0.6 * width)
    if rng.random() < 0.5:
        patch = patch * (1 - np.float32(rng.uniform(0.5, 0.75)) * groove) + 60 * side
    else:
        patch = (patch + np.float32(rng.uniform(0.7, 0.95)) * groove * (255 - patch)) * (1 - 0.5 * side)
    return patch


def _line(shape: tuple[int, ...], points: NDArray[np.float64], width: float) -> NDArray[np.float32]:
    layer = np.zeros(shape[:2], np.uint8)
    cv2.polylines(layer, [_fixed(points)], False, (255,), max(1, round(width)), cv2.LINE_AA, 4)
    return np.asarray(layer[..., None] / np.float32(255), np.float32)


def _dent(patch: NDArray[np.float32], outline: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Press in a hollow: its near wall lies in shadow, its far wall catches the light."""
    x, y = outline.mean(axis=0)
    radius = float(np.ptp(outline[:, 0])) / 2
    ys, xs = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]]
    along_x, along_y = (xs - x) / radius, (ys - y) / (radius * rng.uniform(0.8, 1.0))
    hollow = np.clip(1 - along_x**2 - along_y**2, 0, 1) ** 1.5
    light = rng.uniform(0.55, 0.9) * (along_x + along_y) * hollow * 2 - 0.22 * hollow
    return np.asarray(patch * (1 + light[..., None]), np.float32)


def _stain(
    patch: NDArray[np.float32], outline: NDArray[np.float64], unit: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Spill a blot of rust or oil with a ragged, soft edge."""
    layer = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillPoly(layer, [_fixed(outline)], (255,), cv2.LINE_AA, 4)
    blot = np.asarray(cv2.GaussianBlur(layer, (0, 0), 1.4 * unit), np.float32)[..., None] / 255
    taken = np.array([(0.75, 0.55, 0.30), (0.62, 0.60, 0.58)][int(rng.integers(2))], np.float32)
    return np.asarray(patch * (1 - rng.uniform(0.75, 1.0) * blot * taken), np.float32)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return points as OpenCV draws them with `shift=4`: sixteenths of a pixel."""
    return np.round(points * 16).astype(np.int32)

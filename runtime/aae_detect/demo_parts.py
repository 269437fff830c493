"""The parts that pass the demo camera: their shapes, their metal, and what can be wrong with them.

Lengths are in units of one pixel of a 640x480 picture. A part is drawn once, upright, for small pictures at twice the
wanted resolution; turning it and shrinking it to the picture's resolution is one warp, which also smooths its edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.demo_defects import DEFECTS, draw_defect

HALF_SIDE = 128
"""A part, however turned, and its shadow fit in a square of twice this side."""

MAX_TURN_DEG = 3.0
SHAPES = ("disc", "nut", "plate", "gear")

_SHADOW_SHIFT = (7, 9)
_TINTS_BGR = {"disc": (176, 172, 168), "nut": (124, 168, 180), "plate": (188, 180, 166), "gear": (150, 144, 142)}


@dataclass(frozen=True)
class Metal:
    """A good part without a shadow, upright, at `_oversampling` times the picture's resolution."""

    colour: NDArray[np.uint8]
    """HxWx3 BGR; holds sensible values beyond the part's edge too."""

    cover: NDArray[np.uint8]
    """HxW, 255 where there is metal, 0 in holes and outside."""

    depth: NDArray[np.float32]
    """HxW, distance to the nearest edge, pixels of this drawing."""


@dataclass(frozen=True)
class Sprite:
    """A part as it is put onto the picture: `picture * keep / 255 + add`."""

    add: NDArray[np.uint8]
    """HxWx3 BGR, the part's own light."""

    keep: NDArray[np.uint8]
    """HxWx3, how much of the belt stays visible, 0 to 255; shadows lie between."""

    box_xywh: tuple[int, int, int, int]
    """Box around the metal, sprite pixels, without the shadow."""

    defect: str | None
    defect_mask: NDArray[np.uint8]
    """HxW, 255 where this part differs from the same part without its defect."""


def possible_defects(shape: str) -> tuple[str, ...]:
    """Say what can be wrong with a shape: a nut has no hole that could be missing, for without it it is no nut."""
    return tuple(kind for kind in DEFECTS if kind != "missing_hole" or len(_holes(shape)) > 1)


def make_sprite(
    shape: str, scale: float, turn_deg: float, gain: float, defect: str | None, rng: np.random.Generator
) -> Sprite:
    """Draw one part.

    Args:
        shape: one of `SHAPES`.
        scale: picture pixels per unit.
        turn_deg: how far the part is turned.
        gain: brightness of its metal, about 1.
        defect: one of `possible_defects(shape)`, or None.
        rng: decides where the defect lies and how strong it is.
    """
    good = _metal(shape, scale, None)
    add, keep, cover = _turn(good.colour, good.cover, scale, turn_deg, gain)
    mask = np.zeros(cover.shape, np.uint8)
    if defect is not None:
        if defect == "missing_hole":
            bad = _metal(shape, scale, int(rng.integers(1, len(_holes(shape)))))
            bad_colour, bad_cover = bad.colour, bad.cover
        else:
            bad_colour = draw_defect(defect, good.colour, good.depth, _oversampling(scale) * scale, rng)
            bad_cover = good.cover
        bad_add, bad_keep, _ = _turn(bad_colour, bad_cover, scale, turn_deg, gain)
        mask = _visible_change(cv2.absdiff(add, bad_add), cv2.absdiff(keep, bad_keep), scale)
        add = np.asarray(cv2.copyTo(bad_add, mask, add), np.uint8)
        keep = np.asarray(cv2.copyTo(bad_keep, mask, keep), np.uint8)
    x, y, width, height = (int(value) for value in cv2.boundingRect((cover > 32).astype(np.uint8)))
    return Sprite(add, keep, (x, y, width, height), defect, mask)


def _visible_change(add: NDArray[Any], keep: NDArray[Any], scale: float) -> NDArray[np.uint8]:
    """Return a defect's ground truth: the pixels that it changes so that a camera can see it, with gaps closed."""
    # What shines through is dark belt, so a change there counts for a third.
    blue, green, red = cv2.split(add)
    change = cv2.max(cv2.max(blue, cv2.max(green, red)), cv2.extractChannel(keep, 0) // 3)
    reach = 2 * max(1, round(1.5 * scale)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    seen = (np.asarray(change) >= 6).astype(np.uint8) * 255
    return np.asarray(cv2.morphologyEx(seen, cv2.MORPH_CLOSE, kernel), np.uint8)


def _turn(
    colour: NDArray[np.uint8], cover: NDArray[np.uint8], scale: float, turn_deg: float, gain: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Turn a part, shrink it to picture pixels, and put its shadow under it; returns add, keep, cover."""
    side = sprite_side(scale)
    centre = ((cover.shape[1] - 1) / 2, (cover.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, turn_deg, side / cover.shape[0])
    matrix[0, 2] += (side - 1) / 2 - centre[0]
    matrix[1, 2] += (side - 1) / 2 - centre[1]
    solid = np.asarray(cv2.warpAffine(cover, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
    solid = np.asarray(cv2.GaussianBlur(solid, (3, 3), 0.6), np.uint8)
    light = np.asarray(cv2.warpAffine(colour, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
    add = np.asarray(cv2.multiply(light, cv2.merge([solid] * 3), scale=gain / 255), np.uint8)

    shift_x, shift_y = (round(value * scale) for value in _SHADOW_SHIFT)
    shadow = np.zeros_like(solid)
    shadow[shift_y:, shift_x:] = solid[:-shift_y, :-shift_x]
    shadow = np.asarray(cv2.GaussianBlur(shadow, (0, 0), 5 * scale), np.uint8)
    belt = np.asarray(cv2.multiply(255 - solid, 255 - shadow // 2, scale=1 / 255), np.uint8)
    return add, np.asarray(cv2.merge([belt] * 3), np.uint8), solid


def sprite_side(scale: float) -> int:
    """Return the side of a sprite in picture pixels."""
    return round(2 * HALF_SIDE * scale)


def _oversampling(scale: float) -> int:
    """Large pictures need no finer drawing, and at 4K it would cost hundreds of megabytes."""
    return 2 if scale < 1.5 else 1


@lru_cache(maxsize=24)
def _metal(shape: str, scale: float, missing: int | None) -> Metal:
    """Draw a good part upright, or one without one of its holes."""
    side = _oversampling(scale) * sprite_side(scale)
    unit = side / (2 * HALF_SIDE)
    cover = np.zeros((side, side), np.uint8)
    _fill(cover, _outline(shape), unit, 255)
    for number, (x, y, radius) in enumerate(_holes(shape)):
        if number != missing:
            _fill(cover, _circle(x, y, radius), unit, 0)
    depth = np.asarray(cv2.distanceTransform((cover > 127).astype(np.uint8), cv2.DIST_L2, 5), np.float32)

    height = 5 * np.sin(np.clip(depth / (5 * unit), 0, 1) * np.pi / 2)
    tone: NDArray[np.float32] = np.ones((side, side), np.float32)
    for polygon, rise, factor in _reliefs(shape):
        layer = np.zeros((side, side), np.uint8)
        _fill(layer, polygon, unit, 255)
        soft = np.asarray(cv2.GaussianBlur(layer, (0, 0), 1.2 * unit), np.float32) / np.float32(255)
        height = height + rise * soft
        tone *= 1 + np.float32(factor - 1) * soft
    height = np.asarray(cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.8 * unit), np.float32)
    slope_y, slope_x = np.gradient(height, 1 / unit)
    tone *= 1 + np.float32(0.34) * np.tanh(0.9 * (slope_x + slope_y))
    tone *= _finish(shape, side, unit)
    colour = tone[..., None] * np.array(_TINTS_BGR[shape], np.float32)
    return Metal(np.clip(colour, 0, 255).astype(np.uint8), cover, depth)


def _finish(shape: str, side: int, unit: float) -> NDArray[np.float32]:
    """Return the brushed or turned surface as a factor around 1: the same for every part of a shape."""
    rng = np.random.default_rng([7, SHAPES.index(shape)])
    rows = rng.standard_normal(2 * HALF_SIDE).astype(np.float32)
    ys, xs = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(unit) - HALF_SIDE
    if shape == "plate":  # brushed along its length, lit a little more from the top
        lines = np.interp(ys.ravel(), np.arange(2 * HALF_SIDE) - HALF_SIDE, rows).reshape(side, side)
        return np.asarray(1 + 0.022 * lines - 0.0009 * ys - 0.0004 * xs, np.float32)
    # Turned on a lathe: fine rings, and the double fan of light that such rings throw back.
    rings = np.interp(np.hypot(xs, ys).ravel(), np.arange(2 * HALF_SIDE), rows).reshape(side, side)
    fan = np.cos(2 * (np.arctan2(ys, xs) + math.radians(55)))
    return np.asarray(1 + 0.018 * rings + 0.09 * fan * np.clip(np.hypot(xs, ys) / 30, 0, 1), np.float32)


def _fill(canvas: NDArray[np.uint8], polygon: NDArray[np.float64], unit: float, value: int) -> None:
    points = np.round((polygon + HALF_SIDE) * unit * 16 - 8).astype(np.int32)
    cv2.fillPoly(canvas, [points], (value,), lineType=cv2.LINE_AA, shift=4)


def _circle(x: float, y: float, radius: float) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def _polygon(corners: int, radius: float, start_deg: float) -> NDArray[np.float64]:
    angles = np.radians(start_deg + np.arange(corners) * 360 / corners)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _rounded(half_width: float, half_height: float, radius: float) -> NDArray[np.float64]:
    angles = np.linspace(0, np.pi / 2, 12)
    arcs = []
    for number, (sign_x, sign_y) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        centre = np.array([sign_x * (half_width - radius), sign_y * (half_height - radius)])
        turned = angles + number * np.pi / 2
        arcs.append(centre + radius * np.stack([np.cos(turned), np.sin(turned)], axis=1))
    return np.concatenate(arcs)


def _outline(shape: str) -> NDArray[np.float64]:
    if shape == "disc":
        return _circle(0, 0, 90)
    if shape == "nut":
        return _polygon(6, 94, 30)
    if shape == "plate":
        return _rounded(92, 62, 16)
    pitch = 2 * np.pi / 12
    tooth = np.array([(-0.30, 78), (-0.17, 94), (0.17, 94), (0.30, 78)])
    angles = (np.arange(12)[:, None] + tooth[None, :, 0]) * pitch
    return np.stack([tooth[:, 1] * np.cos(angles), tooth[:, 1] * np.sin(angles)], axis=2).reshape(-1, 2)


def _holes(shape: str) -> list[tuple[float, float, float]]:
    """Return x, y and radius of each hole, the one that is never missing first."""
    if shape == "disc":
        return [(0, 0, 24), *((float(x), float(y), 9.5) for x, y in _polygon(6, 64, 0))]
    if shape == "nut":
        return [(0, 0, 42)]
    if shape == "plate":
        return [(0, 0, 20), *((x, y, 11.0) for x in (-68.0, 68.0) for y in (-39.0, 39.0))]
    return [(0, 0, 17), *((float(x), float(y), 13.0) for x, y in _polygon(5, 50, -90))]


def _reliefs(shape: str) -> list[tuple[NDArray[np.float64], float, float]]:
    """Return raised and sunken areas: outline, height, and brightness factor."""
    if shape == "disc":
        return [(_circle(0, 0, 42), 5, 1.08), (_circle(0, 0, 33), -3, 0.94)]
    if shape == "nut":
        return [(_circle(0, 0, 79), 4, 1.12), (_circle(0, 0, 52), -4, 0.72)]
    if shape == "plate":
        return [(_rounded(48, 34, 12), 3, 1.05)]
    return [(_circle(0, 0, 71), -4, 0.88), (_circle(0, 0, 30), 5, 1.2)]

"""Products drawn by chance: a way to make any number of pictures of good ones, which differ as real ones differ.

Of a surface, every picture shows another piece. Of parts, every picture shows the same ones, a little moved, turned or
bent, on a ground that stays or moves; light, focus and noise are those of one camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_train.defect_shapes import value_noise
from drawn.surfaces import Painted, draw_colours, draw_surface

SIDE = 256
"""Pixels a side of a picture."""

_CANVAS = 640
"""Pixels a side of what pieces are cut from."""

_SUBPIXEL_BITS = 3

Outline = NDArray[np.float64]
"""(k, 2): a closed curve around 0, radius about 1; x and y."""


@dataclass(frozen=True, eq=False)
class Cloth:
    """What covers an area: each picture shows another piece of it, or all the same."""

    canvas: Painted
    moves: bool

    def cut(self, rng: np.random.Generator) -> Painted:
        """Return a piece, (256, 256, 3)."""
        top, left = rng.integers(0, _CANVAS - SIDE, 2) if self.moves else (0, 0)
        return self.canvas[top : top + SIDE, left : left + SIDE].copy()


@dataclass(frozen=True, eq=False)
class Mark:
    """A print or a hole on a part."""

    outline: Outline
    """In radii of the part, from its centre."""
    colour: Painted
    """(3,) BGR."""


@dataclass(frozen=True, eq=False)
class Part:
    """One thing in the picture."""

    outline: Outline
    centre: NDArray[np.float64]
    radius: float
    cloth: Cloth
    marks: tuple[Mark, ...]
    rim_px: float
    """How far the shading of the rim reaches inwards; 0 for none."""
    rim_gain: float

    def put(self, picture: Painted, rng: np.random.Generator, play: Play) -> None:
        """Draw it into a picture."""
        turn, scale = rng.normal(0, play.turn), self.radius * math.exp(rng.normal(0, play.scale))
        centre = self.centre + rng.normal(0, play.shift_px, 2)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        phases = rng.uniform(0, 2 * math.pi, 4)
        angles = np.arctan2(self.outline[:, 1], self.outline[:, 0])
        waves = [np.cos(n * angles + phase) * rng.normal(0, play.bend / n) for n, phase in enumerate(phases, 2)]
        bent = self.outline * (1 + np.sum(waves, axis=0))[:, None]
        inside = _fill(picture, self.cloth.cut(rng), bent @ rotation * scale + centre)
        if self.rim_px:
            depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
            picture += (self.rim_gain * np.exp(-depth / self.rim_px) * (inside > 0))[..., None]
        for mark in self.marks:
            _fill(picture, np.zeros_like(picture) + mark.colour, mark.outline @ rotation * scale + centre)


@dataclass(frozen=True)
class Play:
    """How much good parts differ: standard deviations."""

    turn: float
    scale: float
    shift_px: float
    bend: float


@dataclass(frozen=True)
class Camera:
    """How the pictures are taken."""

    gain: float
    gain_spread: float
    offset: float
    shade: float
    """How much of the light differs over the picture, and from picture to picture."""
    blur_px: float
    noise: float
    coarse_noise: bool
    gray: bool

    def take(self, scene: Painted, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Take a picture."""
        picture: NDArray[Any] = scene * self.gain * math.exp(rng.normal(0, self.gain_spread))
        if self.shade:
            picture *= 1 + self.shade * (value_noise(rng, (SIDE, SIDE), SIDE) - 0.5)[..., None]
        picture += self.offset
        if self.blur_px:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur_px)
        channels = 1 if self.gray else 3
        if self.gray:
            picture = picture.mean(axis=2, keepdims=True)
        noise = rng.standard_normal((SIDE, SIDE, channels)).astype(np.float32)
        if self.coarse_noise:
            noise = 1.6 * cv2.GaussianBlur(noise, (0, 0), 0.7).reshape(noise.shape)
        taken = np.clip(picture + self.noise * noise, 0, 255).astype(np.uint8)
        return np.repeat(taken, 3, axis=2) if self.gray else taken


@dataclass(frozen=True, eq=False)
class Product:
    """What is made: any number of pictures of good ones."""

    ground: Cloth
    parts: tuple[Part, ...]
    play: Play
    camera: Camera

    def picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Draw a good one, (256, 256, 3) uint8 BGR."""
        scene = self.ground.cut(rng)
        for part in self.parts:
            part.put(scene, rng, self.play)
        return self.camera.take(scene, rng)


def draw_product(rng: np.random.Generator) -> Product:
    """Draw a product: half are surfaces, half are parts."""
    with_parts = rng.random() < 0.5
    return Product(
        ground=_cloth(rng, moves=rng.random() < 0.5 if with_parts else rng.random() < 0.8),
        parts=_parts(rng) if with_parts else (),
        play=Play(
            turn=_sometimes(rng, 0.3, 0.08),
            scale=_sometimes(rng, 0.3, 0.03),
            shift_px=_sometimes(rng, 0.7, 4.0),
            bend=_sometimes(rng, 0.3, 0.06),
        ),
        camera=Camera(
            gain=rng.uniform(0.4, 1.25),
            gain_spread=_sometimes(rng, 0.7, 0.15),
            offset=rng.uniform(-20, 30),
            shade=_sometimes(rng, 0.6, 0.5),
            blur_px=_sometimes(rng, 0.5, 1.4),
            noise=rng.uniform(0, 7),
            coarse_noise=rng.random() < 0.4,
            gray=rng.random() < 0.4,
        ),
    )


def _cloth(rng: np.random.Generator, moves: bool) -> Cloth:
    canvas = draw_surface(rng, _CANVAS)
    if rng.random() < 0.25:  # nearly plain
        canvas = canvas.mean(axis=(0, 1)) + 0.1 * (canvas - canvas.mean(axis=(0, 1)))
    return Cloth(canvas, bool(moves))


def _parts(rng: np.random.Generator) -> tuple[Part, ...]:
    """One large part, a few, or a tray of many like ones."""
    if rng.random() < 0.6:
        count, radius = int(rng.integers(1, 3)), rng.uniform(50, 120)
        centres = SIDE / 2 + rng.normal(0, 8 if count == 1 else 60, (count, 2))
    else:
        count, radius = int(rng.integers(3, 16)), rng.uniform(12, 40)
        across = math.ceil(math.sqrt(count))
        cells = np.array([(number % across, number // across) for number in range(count)])
        in_rows = rng.random() < 0.5
        centres = (cells + 0.5) * SIDE / across if in_rows else rng.uniform(radius, SIDE - radius, (count, 2))
    outline, cloth = _outline(rng), _cloth(rng, moves=rng.random() < 0.5)
    marks = tuple(_mark(rng) for _ in range(int(rng.integers(0, 6))))
    rim_px, rim_gain = (rng.uniform(2, 15), rng.uniform(-70, 70)) if rng.random() < 0.6 else (0.0, 0.0)
    return tuple(Part(outline, centre, radius, cloth, marks, rim_px, rim_gain) for centre in centres)


def _mark(rng: np.random.Generator) -> Mark:
    place = rng.uniform(-0.6, 0.6, 2)
    return Mark(_outline(rng) * rng.uniform(0.05, 0.3) + place, draw_colours(rng, 1)[0].astype(np.float32))


def _outline(rng: np.random.Generator) -> Outline:
    """A disc, a rounded box, a pebble, a gear or a polygon."""
    t = np.linspace(0, 2 * math.pi, 96, endpoint=False)
    kind, corners = int(rng.integers(5)), int(rng.integers(3, 9))
    if kind == 1:
        box = [np.sign(np.cos(t)) * np.abs(np.cos(t)) ** 0.3, np.sign(np.sin(t)) * np.abs(np.sin(t)) ** 0.3]
        return np.stack(box, axis=1) * [1, rng.uniform(0.3, 1)]
    radius = np.ones_like(t)
    if kind == 2:
        for n in range(2, 7):
            radius += rng.normal(0, 0.25 / n) * np.cos(n * t + rng.uniform(0, 2 * math.pi))
    elif kind == 3:
        radius = 1 + rng.uniform(0.05, 0.3) * np.sign(np.sin((corners + 2) * t))
    elif kind == 4:
        radius = np.cos(math.pi / corners) / np.cos(t % (2 * math.pi / corners) - math.pi / corners)
    turn = rng.uniform(0, 2 * math.pi)
    return np.stack([radius * np.cos(t + turn), radius * np.sin(t + turn)], axis=1)


def _fill(picture: Painted, cloth: Painted, outline: Outline) -> NDArray[np.uint8]:
    """Lay a cloth over what an outline (pixels) encloses; returns where, (256, 256), 255 inside."""
    inside = np.zeros(picture.shape[:2], np.uint8)
    points = np.rint(outline * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(inside, [points], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    picture += (cloth - picture) * (inside.astype(np.float32) / 255)[..., None]
    return inside


def _sometimes(rng: np.random.Generator, chance: float, most: float) -> float:
    return float(rng.uniform(0, most)) if rng.random() < chance else 0.0

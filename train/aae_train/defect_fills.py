"""What a synthetic defect puts in its place: foreign texture, moved or turned pixels, blur, gain, stains, dents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_train.defect_shapes import value_noise

_Float = NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """What a fill works on."""

    before: NDArray[np.float32]
    """(h, w, 3), 0 to 255, BGR: the box of the defect, unchanged."""

    picture: NDArray[np.uint8]
    """HxWx3 uint8 BGR: the whole picture, unchanged."""

    foreign: NDArray[np.uint8] | None
    """Another HxWx3 uint8 BGR picture, of any size."""

    strength: float
    """0 (subtle) to 1 (as strong as the fill can be)."""

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of the box."""
        return self.before.shape[0], self.before.shape[1]


def _texture(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """Something foreign: another picture's texture in wrong colours, or noise."""
    if canvas.foreign is not None and rng.random() < 0.5:
        drawn = _turned(rng, canvas.foreign, canvas.hw, (0.5, 2.0))[:, :, rng.permutation(3)]
        if rng.random() < 0.5:
            drawn = 255 - drawn
    else:
        cell = math.exp(rng.uniform(math.log(1.5), math.log(max(3.0, max(canvas.hw) / 2))))
        coloured = rng.random() < 0.4
        noise = value_noise(rng, canvas.hw, cell, 3 if coloured else 1).reshape(*canvas.hw, -1)
        drawn = rng.uniform(0, 255, 3).astype(np.float32) + (noise - 0.5) * np.float32(rng.uniform(40, 300))
    return _blend(canvas.before, np.clip(drawn, 0, 255), 0.3 + 0.7 * canvas.strength)


def _moved(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """The part's own pixels from elsewhere, turned and scaled (CutPaste, arXiv 2104.04015)."""
    return _blend(canvas.before, _turned(rng, canvas.picture, canvas.hw, (0.6, 1.6)), 0.4 + 0.6 * canvas.strength)


def _blurred(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """The texture wiped away."""
    sigma = (1.5 + 5 * canvas.strength) * min(canvas.picture.shape[:2]) / 256
    return np.asarray(cv2.GaussianBlur(canvas.before, (0, 0), max(1.0, sigma)), np.float32).reshape(canvas.before.shape)


def _gain(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """Darker or brighter, the texture kept; partly by addition, because black times anything is black."""
    change = canvas.strength if rng.random() < 0.5 else -canvas.strength
    return np.asarray(canvas.before * np.float32(1 + 0.6 * change) + np.float32(60 * change), np.float32)


def _stain(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """A colour laid over the part, thicker here and thinner there."""
    cover = np.clip(value_noise(rng, canvas.hw, max(2.0, max(canvas.hw) / 3)) + 0.25, 0, 1)[:, :, None]
    colour = rng.uniform(0, 255, 3).astype(np.float32)
    return np.asarray(
        canvas.before + (colour - canvas.before) * cover * np.float32(0.25 + 0.6 * canvas.strength), np.float32
    )


def _erased(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """What was there is missing: the rim of the box, drawn smoothly over it, with a little noise."""
    height, width = canvas.hw
    before = canvas.before
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    top, bottom = before[:1].mean(axis=1, keepdims=True), before[-1:].mean(axis=1, keepdims=True)
    left, right = before[:, :1].mean(axis=0, keepdims=True), before[:, -1:].mean(axis=0, keepdims=True)
    smooth = (top * (1 - down) + bottom * down + left * (1 - across) + right * across) / 2
    noise = rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(0, 4))
    return _blend(before, smooth + noise, 0.4 + 0.6 * canvas.strength)


def _warped(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """Bent: every pixel taken from a few pixels beside."""
    height, width = canvas.hw
    reach = (2 + 10 * canvas.strength) * min(canvas.picture.shape[:2]) / 256
    bumps = max(3.0, max(canvas.hw) / 2)
    right, down = ((value_noise(rng, canvas.hw, bumps) - 0.5) * np.float32(4 * reach) for _ in range(2))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bent = cv2.remap(canvas.before, x + right, y + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(bent, np.float32).reshape(canvas.before.shape)


def _dented(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """A dent or a bump under light from one side: one flank brighter, the other darker, the texture kept."""
    height, width = canvas.hw
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = rng.uniform(0, 2 * math.pi)
    flank = 2.3 * (x * math.cos(angle) + y * math.sin(angle)) * np.exp(1 - 2.5 * (x * x + y * y))
    level = (10 + 45 * canvas.strength) * flank
    return np.asarray(canvas.before + level[:, :, None], np.float32)


def _roughened(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """The texture stronger than it should be, with grain of its own."""
    flat = cv2.GaussianBlur(canvas.before, (0, 0), math.exp(rng.uniform(math.log(1.0), math.log(6.0))))
    flat = np.asarray(flat, np.float32).reshape(canvas.before.shape)
    grain = rng.standard_normal(canvas.hw, np.float32)
    size = rng.uniform(0.0, 2.0)
    if size > 0.4:
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), size), np.float32) * np.float32(2 * size)
    stronger = flat + (canvas.before - flat) * np.float32(1 + 3 * canvas.strength * rng.random())
    return np.asarray(stronger + grain[:, :, None] * np.float32(4 + 26 * canvas.strength * rng.random()), np.float32)


def _misplaced(rng: np.random.Generator, canvas: Canvas) -> _Float:
    """What belongs there, but turned about its middle, or mirrored."""
    height, width = canvas.hw
    if rng.random() < 0.3:
        return np.ascontiguousarray(canvas.before[:, ::-1] if rng.random() < 0.5 else canvas.before[::-1])
    angle = float(rng.uniform(10, 350))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, float(rng.uniform(0.85, 1.2)))
    turned = cv2.warpAffine(canvas.before, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, np.float32).reshape(canvas.before.shape)


# (rng, canvas) -> (h, w, 3) float32; may leave 0 to 255
FILLS: dict[str, Callable[[np.random.Generator, Canvas], _Float]] = {
    "texture": _texture,
    "moved": _moved,
    "blur": _blurred,
    "gain": _gain,
    "stain": _stain,
    "erased": _erased,
    "warped": _warped,
    "dented": _dented,
    "roughened": _roughened,
    "misplaced": _misplaced,
}


def _blend(before: _Float, drawn: _Float, opacity: float) -> _Float:
    return np.asarray(before + (drawn - before) * np.float32(opacity), np.float32)


def _turned(
    rng: np.random.Generator, source: NDArray[np.uint8], hw: tuple[int, int], scales: tuple[float, float]
) -> _Float:
    """Cut a window out of a picture at a random place, angle and scale; float32 (h, w, 3)."""
    angle = float(rng.uniform(0, 360))
    scale = math.exp(rng.uniform(math.log(scales[0]), math.log(scales[1])))
    x, y = rng.uniform(0.2, 0.8, 2) * (source.shape[1], source.shape[0])
    matrix = cv2.getRotationMatrix2D((float(x), float(y)), angle, scale)
    matrix[:, 2] += (hw[1] / 2 - x, hw[0] / 2 - y)
    cut = cv2.warpAffine(source, matrix, (hw[1], hw[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cut, np.float32)

"""Small changes that leave a good part good: what a camera on a line does anyway."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError

SYMMETRIES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "mirror_x": lambda picture: picture[:, ::-1],
    "mirror_y": lambda picture: picture[::-1],
    "half": lambda picture: picture[::-1, ::-1],
    "quarter": lambda picture: np.rot90(picture),
}
"""Left and right exchanged, top and bottom exchanged, a half turn, and a quarter turn, which needs a square picture."""

_BLURRED, _NOISY, _COMPRESSED = 0.3, 0.4, 0.25
"""Shares of the pictures."""


@dataclass(frozen=True)
class AugmentConfig:
    """How far a good picture may be changed.

    The defaults suit every part. Symmetries and rotation are off, because on many parts a turned or mirrored feature is
    the defect; `changes.learn_changes` switches on what the good pictures show, and what any camera does.
    """

    shift: float = 0.02
    """Largest shift along each axis, as a share of that axis, 0 to 0.25."""

    brightness: float = 0.05
    """Largest change of the gain: 0.05 multiplies by 0.95 to 1.05; 0 to 0.5."""

    symmetries: tuple[str, ...] = ()
    """Of `SYMMETRIES`; each picture gets one of them, or none, with equal chance."""

    rotation_deg: float = 0.0
    """Largest rotation about the centre, either way, degrees, 0 to 180."""

    gamma: float = 0.0
    """Standard deviation of the logarithm of the exponent that brightness is raised to, 0 to 0.5: exposure."""

    blur_px: float = 0.0
    """Largest standard deviation of a blur, pixels of the model's input, 0 to 5: focus."""

    noise: float = 0.0
    """Largest standard deviation of sensor noise, gray levels, 0 to 30."""

    jpeg_quality: int = 100
    """Lowest quality that pictures are compressed with, 10 to 100; 100 compresses none: streams and archives."""

    def __post_init__(self) -> None:
        for name, value, most in (
            ("gamma", self.gamma, 0.5),
            ("blur_px", self.blur_px, 5.0),
            ("noise", self.noise, 30.0),
            ("shift", self.shift, 0.25),
            ("brightness", self.brightness, 0.5),
            ("rotation_deg", self.rotation_deg, 180.0),
        ):
            if not 0 <= value <= most:
                raise ConfigError(f"augmentation {name} is {value}, expected 0 to {most:g}")
        if not 10 <= self.jpeg_quality <= 100:
            raise ConfigError(f"augmentation jpeg_quality is {self.jpeg_quality}, expected 10 to 100")
        if unknown := sorted(set(self.symmetries) - set(SYMMETRIES)):
            raise ConfigError(f"augmentation symmetries name {', '.join(unknown)}, expected {', '.join(SYMMETRIES)}")


def augment(
    picture: NDArray[np.uint8], rng: np.random.Generator, config: AugmentConfig | None = None
) -> NDArray[np.uint8]:
    """Change a picture a little.

    Args:
        picture: HxWx3 uint8, left as it is.
        rng: The only source of chance; the same state gives the same picture, and the number of values drawn does
            not depend on `config`.
        config: How far; None means the defaults.

    Returns:
        A new HxWx3 uint8 array. What moved in at the edges is the mirrored picture.
    """
    config = config or AugmentConfig()
    height, width = picture.shape[:2]
    shift_y, shift_x, gain, angle = rng.uniform(-1, 1, 4)
    again = int(rng.integers(2**63))
    symmetry = (None, *config.symmetries)[int(rng.random() * (len(config.symmetries) + 1))]
    if symmetry is not None:
        picture = SYMMETRIES[symmetry](picture)
    if config.rotation_deg:
        picture = turn(picture, angle * config.rotation_deg)
    # Whole pixels: a shift by parts of a pixel would blur, and the model would learn that sharp is abnormal.
    down = round(shift_y * config.shift * height)
    right = round(shift_x * config.shift * width)
    if down or right:
        rows, columns = abs(down), abs(right)
        framed = cv2.copyMakeBorder(
            np.ascontiguousarray(picture), rows, rows, columns, columns, borderType=cv2.BORDER_REFLECT_101
        ).astype(np.uint8, copy=False)
        picture = framed[rows - down : rows - down + height, columns - right : columns - right + width]
    return _photograph(
        np.ascontiguousarray(picture), 1 + gain * config.brightness, config, np.random.default_rng(again)
    )


def _photograph(
    picture: NDArray[np.uint8], gain: float, config: AugmentConfig, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Take the picture again: exposure, focus and noise as another moment, or another camera, would give them."""
    if config.blur_px and rng.random() < _BLURRED:
        sigma = float(rng.uniform(0.3, max(0.3, config.blur_px)))
        picture = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101).astype(np.uint8)
    exponent = math.exp(float(rng.normal(0, config.gamma))) if config.gamma else 1.0
    levels = np.clip(np.rint((np.arange(256) / 255) ** exponent * 255 * gain), 0, 255).astype(np.uint8)
    picture = np.asarray(cv2.LUT(picture, levels), np.uint8)
    if config.noise and rng.random() < _NOISY:
        # The same in all channels: a gray camera's noise has no colour.
        noise = rng.standard_normal((*picture.shape[:2], 1), np.float32) * np.float32(rng.uniform(0, config.noise))
        # Rounded and cut off in one go.
        picture = np.asarray(cv2.add(picture, np.repeat(noise, 3, axis=2), dtype=cv2.CV_8U), np.uint8)
    if config.jpeg_quality < 100 and rng.random() < _COMPRESSED:
        quality = int(rng.integers(config.jpeg_quality, 96))
        packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return picture


def cut_tile(picture: NDArray[np.uint8], side: int | None, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut `side` x `side` pixels out of HxWx3, at a random place; None leaves the picture as it is."""
    if side is None:
        return picture
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def turn(picture: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Turn a picture about its centre; the corners are filled with the mirrored picture."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    # Cubic: a linear one would wipe away the finest texture, and the model would learn that sharp is abnormal.
    turned = cv2.warpAffine(
        np.ascontiguousarray(picture), matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return turned.astype(np.uint8, copy=False)

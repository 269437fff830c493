"""Small changes that leave a good part good: what a camera on a line does anyway."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError


@dataclass(frozen=True)
class AugmentConfig:
    """How far a good picture may be changed.

    The defaults suit every part. Flips and rotation are off, because on many parts a turned or mirrored feature is
    the defect.
    """

    shift: float = 0.02
    """Largest shift along each axis, as a share of that axis, 0 to 0.25."""

    brightness: float = 0.05
    """Largest change of the gain: 0.05 multiplies by 0.95 to 1.05; 0 to 0.5."""

    flip_horizontal: bool = False
    """Mirror left and right in half of the pictures."""

    flip_vertical: bool = False
    """Mirror top and bottom in half of the pictures."""

    rotation_deg: float = 0.0
    """Largest rotation about the centre, either way, degrees, 0 to 180."""

    def __post_init__(self) -> None:
        for name, value, most in (
            ("shift", self.shift, 0.25),
            ("brightness", self.brightness, 0.5),
            ("rotation_deg", self.rotation_deg, 180.0),
        ):
            if not 0 <= value <= most:
                raise ConfigError(f"augmentation {name} is {value}, expected 0 to {most:g}")


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
    mirror_x, mirror_y = rng.random(2) < 0.5
    if config.flip_horizontal and mirror_x:
        picture = picture[:, ::-1]
    if config.flip_vertical and mirror_y:
        picture = picture[::-1]
    if config.rotation_deg:
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle * config.rotation_deg, 1.0)
        turned = cv2.warpAffine(np.ascontiguousarray(picture), turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        picture = turned.astype(np.uint8, copy=False)
    # Whole pixels: a shift by parts of a pixel would blur, and the model would learn that sharp is abnormal.
    down = round(shift_y * config.shift * height)
    right = round(shift_x * config.shift * width)
    if down or right:
        rows, columns = abs(down), abs(right)
        framed = cv2.copyMakeBorder(
            np.ascontiguousarray(picture), rows, rows, columns, columns, borderType=cv2.BORDER_REFLECT_101
        ).astype(np.uint8, copy=False)
        picture = framed[rows - down : rows - down + height, columns - right : columns - right + width]
    brightened = cv2.convertScaleAbs(np.ascontiguousarray(picture), alpha=1 + gain * config.brightness)
    return brightened.astype(np.uint8, copy=False)

"""Where in the pictures to look, as training knows it: one mask in the model's input, for all pictures.

Outside, pictures are painted before anything looks at them, in training and in the exported graph alike. So what lies
there cannot count, not even by what it does to the places beside it.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError

PAINT = 127
"""Gray level of what is painted over."""


def encode_inside(inside: NDArray[np.bool_]) -> str:
    """Write a mask (H, W) as text: base64 of a PNG."""
    png = cv2.imencode(".png", inside.astype(np.uint8) * 255)[1]
    return base64.b64encode(png.tobytes()).decode("ascii")


@lru_cache(maxsize=4)
def decode_inside(text: str, input_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Read what `encode_inside` wrote; do not write into it.

    Raises:
        ConfigError: it is damaged, of another size, or leaves nothing.
    """
    try:
        png = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        picture = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
    except (binascii.Error, ValueError, cv2.error):
        picture = None
    if picture is None or picture.shape != input_hw or not picture.any():
        raise ConfigError(f"the settings' mask is no picture of {input_hw[0]}x{input_hw[1]} with something to see")
    inside = np.asarray(picture > 0)
    inside.setflags(write=False)
    return inside


def paint(picture: NDArray[np.uint8], inside: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Paint over what lies outside; returns a picture HxWx3 of its own, or the same one where there is no mask."""
    if inside is None:
        return picture
    return np.where(inside[:, :, None], picture, np.uint8(PAINT))


def inside_of(store: object) -> NDArray[np.bool_] | None:
    """Return the mask of a store of pictures; a plain array of pictures has none."""
    found: NDArray[np.bool_] | None = getattr(store, "inside", None)
    return found


def cells_of(inside: NDArray[np.bool_], cell_px: int) -> NDArray[np.bool_]:
    """Say which cells have a pixel inside, (H / cell, W / cell)."""
    height, width = inside.shape
    return np.asarray(inside.reshape(height // cell_px, cell_px, width // cell_px, cell_px).any(axis=(1, 3)))

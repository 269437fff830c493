"""A frame number that a program can read from the picture, to prove which frame arrived at the end of a stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 40
"""32 bits of frame number, then 8 bits of check."""


def stamp_counter(image: NDArray[np.uint8], index: int) -> None:
    """Write a frame number into the top edge of a picture, as a row of 40 black and white blocks.

    Args:
        image: HxW or HxWxC uint8, at least 160 wide; changed in place.
        index: frame number, from 0; the lowest 32 bits are written.
    """
    width = image.shape[1]
    side = _block_height(width)
    number = index & 0xFFFFFFFF
    code = number << 8 | _check(number)
    for place in range(_BITS):
        value = 255 if code >> (_BITS - 1 - place) & 1 else 0
        image[:side, place * width // _BITS : (place + 1) * width // _BITS] = value


def read_counter(image: NDArray[np.uint8]) -> int | None:
    """Read the frame number that `stamp_counter` wrote, also after compression or resizing.

    Returns:
        The number's lowest 32 bits, or None where the picture holds none that can be read without doubt.
    """
    width = image.shape[1]
    side = _block_height(width)
    if width < 160 or image.shape[0] < side:
        return None
    code = 0
    for place in range(_BITS):
        left, right = place * width / _BITS, (place + 1) * width / _BITS
        margin = (right - left) / 4
        block = image[side // 4 : max(side // 4 + 1, side - side // 4), round(left + margin) : round(right - margin)]
        mean = float(block.mean())
        if 90 < mean < 165:
            return None
        code = code << 1 | (mean > 127)
    number = code >> 8
    return number if _check(number) == code & 0xFF else None


def _block_height(width: int) -> int:
    return max(4, width // _BITS)


def _check(number: int) -> int:
    """Return the check byte; the constant makes an all-black and an all-white row invalid."""
    return 0xA5 ^ number & 0xFF ^ number >> 8 & 0xFF ^ number >> 16 & 0xFF ^ number >> 24

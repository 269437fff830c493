"""Text and frames of the overlay, readable on any picture: light on a dark backing, in sizes given in pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

Box = tuple[int, int, int, int]
"""Left, top, width, height, pixels."""

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL_PX = 22
"""Height of a capital letter at font scale 1."""


def plain(text: str) -> str:
    """Return text as the font can draw it: ASCII on one line, anything else as `?`."""
    return " ".join(text.splitlines()).encode("ascii", "replace").decode()


def number(value: float, like: float) -> str:
    """Write a value with as many decimals as give another one three significant digits.

    The digits follow from `like`, which does not change from frame to frame, so that numbers do not jump about.
    """
    if not math.isfinite(value):
        return "-"
    size = abs(like) if math.isfinite(like) and like else 1.0
    decimals = 2 - math.floor(math.log10(size))
    if decimals > 6 or abs(value) >= 1e7:
        return f"{value:.2e}"
    return f"{value:.{max(0, decimals)}f}"


def text_width(text: str, capital_px: float) -> int:
    """Width of a text in pixels, for capitals of the height given."""
    return int(cv2.getTextSize(text, _FONT, capital_px / _CAPITAL_PX, _stroke(capital_px))[0][0]) + 1


def put_text(picture: NDArray[np.uint8], text: str, x: int, top: int, capital_px: float, colour: Colour) -> None:
    """Write a text, in place; `top` is where its capitals begin."""
    at = (x, top + round(capital_px))
    cv2.putText(picture, text, at, _FONT, capital_px / _CAPITAL_PX, colour, _stroke(capital_px), cv2.LINE_AA)


def _stroke(capital_px: float) -> int:
    return max(1, round(capital_px / 10))


def put_label(picture: NDArray[np.uint8], text: str, box: Box, capital_px: float) -> None:
    """Write a text in white into a box of the size that `label_size` gives, in place."""
    x, y, _, height = box
    put_text(picture, text, x + round(capital_px / 2), y + round((height - capital_px) / 2), capital_px, WHITE)


def label_size(text: str, capital_px: float) -> tuple[int, int]:
    """Width and height of a label's box, with room around the text."""
    return text_width(text, capital_px) + 2 * round(capital_px / 2), round(1.9 * capital_px)


def shorten(text: str, capital_px: float, max_width: int) -> str:
    """Return text cut to a width, with dots where something is missing; empty where not even those fit."""
    if text_width(text, capital_px) <= max_width:
        return text
    for length in range(len(text) - 1, 0, -1):
        cut = text[:length].rstrip() + "..."
        if text_width(cut, capital_px) <= max_width:
            return cut
    return ""


def wrap(text: str, capital_px: float, max_width: int) -> list[str]:
    """Break text between words into lines of at most a width; a word that is too long is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, capital_px) <= max_width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, capital_px, max_width))
    return lines


def dim(picture: NDArray[np.uint8], box: Box, share: float) -> None:
    """Darken a box of the picture to a share of its brightness, in place; the box is cut at the picture's edges."""
    x, y, width, height = box
    patch = picture[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    if patch.size:
        cv2.convertScaleAbs(patch, patch, alpha=share)


def put_border(picture: NDArray[np.uint8], thickness: int, colour: Colour) -> None:
    """Draw a frame along the picture's edges, in place."""
    for edge in (picture[:thickness], picture[-thickness:], picture[:, :thickness], picture[:, -thickness:]):
        edge[:] = colour


def overlap(first: Box, second: Box) -> int:
    """Area that two boxes share, pixels."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(0, width) * max(0, height)

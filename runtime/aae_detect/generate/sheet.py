"""Draws a sheet of small pictures: titled sections of evenly spaced cells, dark text on a light ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.geometry import resize
from aae_detect.overlay_text import Colour, plain, put_text, shorten, text_width, wrap

WIDTH = 1240
"""Pixels that the cells of a row may take together."""

GAP = 6
MARGIN = 32

LONGEST_CELL = 243
"""Five of them make a row."""

_INK: Colour = (30, 30, 30)
_GREY: Colour = (105, 105, 105)
_GROUND, _EDGE = 250, 205

_TITLE_PX, _HEADING_PX, _TEXT_PX, _CAPTION_PX = 17, 12, 10, 8
"""Heights of capital letters."""

_LEAST_WIDTH = 760
"""So that the title fits above a single small picture."""


@dataclass(frozen=True)
class Section:
    """A part of the sheet under a heading of its own."""

    title: str
    note: str
    """One or two sentences below the heading."""

    cells: Sequence[NDArray[np.uint8]]
    """hxwx3 uint8 BGR, all of one size, row by row."""

    columns: int

    captions: Sequence[str] = ()
    """Text below each cell; none, or one per cell."""


def cell_size(picture_hw: tuple[int, int], room_hw: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the largest cell within a room that keeps a picture's shape.

    A picture that has to grow grows by a whole factor, so that its pixels are seen as they are.
    """
    scale = min(room_hw[0] / picture_hw[0], room_hw[1] / picture_hw[1])
    if scale >= 1:
        scale = int(scale)
    return max(1, round(picture_hw[0] * scale)), max(1, round(picture_hw[1] * scale))


def arrange(count: int, picture_hw: tuple[int, int], height: int) -> tuple[int, tuple[int, int]]:
    """Choose columns and cells for a number of pictures: large, within `WIDTH` and a height, and in full rows.

    Returns:
        Columns, and height and width of a cell.
    """
    cells = {}
    for columns in range(1, min(count, WIDTH // (GAP + 1)) + 1):
        room_w = min((WIDTH + GAP) // columns - GAP, LONGEST_CELL)
        cell_h, cell_w = cell_size(picture_hw, (LONGEST_CELL, room_w))
        if -(-count // columns) * (cell_h + GAP) - GAP <= height:
            cells[columns] = cell_h, cell_w
    largest = max(cell_h * cell_w for cell_h, cell_w in cells.values())

    def filled(columns: int) -> float:
        """Share of the rows, as wide as the sheet, that pictures cover."""
        return count * cells[columns][1] / (-(-count // columns) * WIDTH)

    # Half the area is still large; a ragged last row, or rows that end half-way, are what catches the eye.
    columns = max((c for c, (h, w) in cells.items() if 2 * h * w >= largest), key=lambda c: (filled(c), c))
    return columns, cells[columns]


def thumbnail(picture: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Take a picture to a cell's size, repeating pixels where it grows by a whole factor."""
    down, across = size_hw[0] // picture.shape[0], size_hw[1] // picture.shape[1]
    if down == across and size_hw == (picture.shape[0] * down, picture.shape[1] * across):
        return picture.repeat(down, axis=0).repeat(across, axis=1)
    return resize(picture, size_hw)


def draw_sheet(title: str, facts: str, sections: Sequence[Section]) -> NDArray[np.uint8]:
    """Draw a sheet.

    Args:
        title: Large, at the top.
        facts: Below it; wrapped where it is long.
        sections: From top to bottom.

    Returns:
        HxWx3 uint8 BGR, as wide as its widest section.
    """
    width = max(_LEAST_WIDTH, *(section.columns * _pitch(section) - GAP + 2 for section in sections))
    blocks = [_text_block([title], width, _TITLE_PX, _INK), _text_block([facts], width, _TEXT_PX, _GREY)]
    for section in sections:
        blocks += [
            _ground(MARGIN - GAP, width),
            _text_block([section.title], width, _HEADING_PX, _INK),
            _text_block([section.note], width, _TEXT_PX, _GREY),
            _ground(GAP, width),
            _cell_block(section, width),
        ]
    inside = np.concatenate(blocks)
    return np.pad(inside, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=_GROUND)


def _pitch(section: Section) -> int:
    """Pixels from one column to the next."""
    cell_w: int = section.cells[0].shape[1]
    return max(cell_w, *(text_width(plain(text), _CAPTION_PX) for text in section.captions), 0) + GAP


def _text_block(lines: Sequence[str], width: int, capital_px: int, colour: Colour) -> NDArray[np.uint8]:
    wrapped = [line for text in lines for line in wrap(plain(text), capital_px, width)]
    pitch = round(1.9 * capital_px)
    block = _ground(pitch * len(wrapped), width)
    for number, line in enumerate(wrapped):
        put_text(block, line, 0, number * pitch + round(0.3 * capital_px), capital_px, colour)
    return block


def _cell_block(section: Section, width: int) -> NDArray[np.uint8]:
    cell_h, cell_w = section.cells[0].shape[:2]
    across = _pitch(section)
    down = cell_h + GAP + (2 * _CAPTION_PX if section.captions else 0)
    block = _ground(-(-len(section.cells) // section.columns) * down + 2, width)
    for number, cell in enumerate(section.cells):
        top, left = 1 + number // section.columns * down, 1 + number % section.columns * across
        x = left + (across - GAP - cell_w) // 2
        # A thin line around it: a part on a white ground would have no edge on the sheet.
        block[top - 1 : top + cell_h + 1, x - 1 : x + cell_w + 1] = _EDGE
        block[top : top + cell_h, x : x + cell_w] = cell
        if section.captions:
            text = shorten(plain(section.captions[number]), _CAPTION_PX, across - GAP)
            text_left = left + (across - GAP - text_width(text, _CAPTION_PX)) // 2
            put_text(block, text, text_left, top + cell_h + GAP, _CAPTION_PX, _GREY)
    return block


def _ground(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), _GROUND, np.uint8)

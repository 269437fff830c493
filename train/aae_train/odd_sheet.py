"""The least usual good pictures side by side, for a person to look through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aae_detect._opencv import cv2
from aae_detect.geometry import resize
from aae_train.figures import write_line
from aae_train.loader import Store
from aae_train.odd import ODD, OddOnes

MOST_SHOWN = 20
_COLUMNS, _TILE, _GAP, _LINE = 5, 208, 10, 22
_BLACK, _RED, _GRAY = (0, 0, 0), (40, 40, 210), (110, 110, 110)


def odd_sheet(odd: OddOnes, store: Store, names: Sequence[str], path: Path) -> None:
    """Draw the head of the ranking as a PNG, the least usual picture first.

    Args:
        odd: At least one picture.
        store: All pictures.
        names: A name for each.
        path: PNG file to write.
    """
    shown = list(zip(odd.numbers, odd.oddness, strict=True))[:MOST_SHOWN]
    height, width = store[shown[0][0]].shape[:2]
    scale = _TILE / max(height, width)
    tile_hw = max(1, round(height * scale)), max(1, round(width * scale))
    block_h, columns = tile_hw[0] + 2 * _LINE + _GAP, min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    sheet = np.full((_LINE + _GAP + rows * block_h, columns * (_TILE + _GAP) + _GAP, 3), 255, np.uint8)
    title = f"Good pictures least like the others; deviations from {ODD:g} on deserve a look"
    write_line(sheet, title, (_GAP, _LINE - 4), _GRAY, sheet.shape[1] - 2 * _GAP)
    for place, (number, oddness) in enumerate(shown):
        row, column = divmod(place, columns)
        top, left = _LINE + _GAP + row * block_h, _GAP + column * (_TILE + _GAP)
        sheet[top : top + tile_hw[0], left : left + tile_hw[1]] = resize(store[number], tile_hw)
        write_line(sheet, names[number], (left, top + tile_hw[0] + _LINE - 6), _BLACK, _TILE, keep_end=True)
        text, colour = f"deviation {oddness:.1f}", _RED if oddness >= ODD else _GRAY
        write_line(sheet, text, (left, top + tile_hw[0] + 2 * _LINE - 8), colour, _TILE)
    path.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())

"""Several pictures as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aae_detect.geometry import resize

_MOST_HW = (1080, 1920)
_GAP_PX = 4
_GROUND = 25


def mosaic(
    pictures: Sequence[NDArray[np.uint8] | None], most_hw: tuple[int, int] = _MOST_HW
) -> NDArray[np.uint8] | None:
    """Lay pictures out in a grid, each as large as it goes, aspects kept.

    Args:
        pictures: HxWx3 uint8 BGR, of any sizes; the place of a None stays empty.
        most_hw: Size of the whole, for more than one picture.

    Returns:
        One picture: the very one given where it is alone, else `most_hw` large; None where there is none at all.
    """
    if len(pictures) == 1 or all(picture is None for picture in pictures):
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    whole = np.full((*most_hw, 3), _GROUND, np.uint8)
    cell_h, cell_w = most_hw[0] // rows - _GAP_PX, most_hw[1] // columns - _GAP_PX
    for place, picture in enumerate(pictures):
        if picture is None:
            continue
        scale = min(cell_h / picture.shape[0], cell_w / picture.shape[1])
        height, width = max(1, int(picture.shape[0] * scale)), max(1, int(picture.shape[1] * scale))
        top = place // columns * (most_hw[0] // rows) + (cell_h - height) // 2
        left = place % columns * (most_hw[1] // columns) + (cell_w - width) // 2
        whole[top : top + height, left : left + width] = resize(picture, (height, width))
    return whole

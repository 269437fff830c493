"""Drawn defects on good pictures, with their masks: the only defects that training ever sees.

The idea is DRAEM's (Zavrtanik et al., arXiv 2108.07610): a model that has to undo and to find artificial changes learns
what good parts look like. Real defects look different from these; what carries over is "this does not belong here".
Shapes and textures are drawn from noise, so no foreign picture collection is needed, or shipped, or licensed.

A defect is a shape (where, as an alpha channel over a box) and a fill (what is put there). All work is done inside the
box, which keeps a defect far under the cost of a training step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_train.defect_fills import FILLS, Canvas
from aae_train.defect_shapes import SHAPES
from aae_train.picture_mask import paint

MIN_CHANGE = 8
"""Gray levels (largest of the three channels) from which a pixel counts as changed."""

MIN_CONTRAST = 14.0
"""Mean change over the mask, in gray levels; below, nobody could see the defect and it is drawn again."""

MIN_SPECK_PX = 4
"""A changed place of fewer pixels is noise, not a defect: it is undone."""

AREA_SHARE = (0.0007, 0.15)
"""Smallest and largest shape, as a share of the picture; log-uniform between, so small ones are as frequent."""

_TRIES, _TRIES_INSIDE = 12, 40


def make_defect(
    picture: NDArray[np.uint8],
    rng: np.random.Generator,
    foreign: NDArray[np.uint8] | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    """Draw one defect on a good picture.

    Args:
        picture: HxWx3 uint8 BGR, at least 8x8, left as it is. A gray picture gets gray defects: colour would give
            them away on a camera that has none.
        rng: The only source of chance; the same state gives the same defect.
        foreign: Another HxWx3 picture of any size, whose texture may be used, turned and recoloured.
        inside: (H, W), where the model looks: at least half of a defect lies there, and what lies outside is painted
            over. None means everywhere.

    Returns:
        The picture with the defect, HxWx3 uint8; the mask, HxW uint8, never empty; and the kind, `SHAPE-FILL`. The
        mask is 255 where the picture changed by `MIN_CHANGE` or more (pinholes closed) and 0 elsewhere; the soft edge
        of a defect may reach beyond it by less than that.
    """
    if inside is None:
        return _draw(picture, rng, foreign)
    for _ in range(_TRIES_INSIDE):
        defective, mask, kind = _draw(picture, rng, foreign)
        seen = np.where(inside, mask, np.uint8(0))
        if 2 * np.count_nonzero(seen) >= np.count_nonzero(mask):
            return paint(defective, inside), seen, kind
    # Where little can be seen, hardly anything drawn at random lies there: all of the largest hole is changed.
    where = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    seen = np.where(where > 0.5 * where.max(), np.uint8(255), np.uint8(0))
    return np.where(seen[:, :, None] > 0, picture ^ 128, picture), seen, "spots-invert"


def _draw(
    picture: NDArray[np.uint8], rng: np.random.Generator, foreign: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    height, width = picture.shape[:2]
    blue, green, red = (picture[::4, ::4, channel] for channel in range(3))
    apart = np.maximum(np.maximum(blue, green), red) - np.minimum(np.minimum(blue, green), red)
    gray = int(apart.max()) <= 2
    for attempt in range(_TRIES):
        shape_name, fill_name = _choose(rng, SHAPES), _choose(rng, FILLS)
        # Squared, so that subtle ones are more frequent; each retry lifts the floor towards full strength.
        floor = 0.15 + 0.85 * attempt / _TRIES
        strength = floor + (1 - floor) * float(rng.random()) ** 2
        share = math.exp(rng.uniform(math.log(AREA_SHARE[0]), math.log(AREA_SHARE[1])))
        shape = SHAPES[shape_name](rng, (height, width), share * height * width)
        before = picture[shape.box]
        canvas = Canvas(before.astype(np.float32), picture, foreign, strength)
        fill = FILLS[fill_name](rng, canvas)
        if gray:
            fill = fill.mean(axis=2, keepdims=True)
        mixed = canvas.before + (fill - canvas.before) * shape.alpha[:, :, None]
        after = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
        mask, contrast = _find_change(before, after)
        if np.count_nonzero(mask) >= max(4, 0.0002 * height * width) and contrast >= MIN_CONTRAST:
            return *_put(picture, shape.box, after, mask), f"{shape_name}-{fill_name}"
    # Nothing showed, however often: a shift by half the range shows on anything.
    shape = SHAPES["spots"](rng, (height, width), 0.004 * height * width)
    before, mask = picture[shape.box], shape.alpha >= shape.alpha.max() / 2
    return *_put(picture, shape.box, np.where(mask[:, :, None], before ^ 128, before), mask), "spots-invert"


def _find_change(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], float]:
    """Say where a box has changed and by how much on average there; undo isolated specks in `after`, in place."""
    # Channel by channel: numpy takes ten times as long for a maximum over the last axis.
    change = np.maximum.reduce(cv2.split(cv2.absdiff(after, before)))
    changed = (change >= MIN_CHANGE).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(changed, connectivity=8)
    specks = statistics[:, cv2.CC_STAT_AREA] < MIN_SPECK_PX
    specks[0] = False  # the background
    undone = specks[labels]
    after[undone] = before[undone]
    kept = changed.astype(np.bool_) & ~undone
    if not kept.any():
        return kept, 0.0
    # Inside a defect some pixels happen to keep their value; six changed ones of the eight around make it one.
    around = cv2.boxFilter(kept.astype(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return kept | (around >= 6), float(change[kept].mean())


def _put(
    picture: NDArray[np.uint8], box: tuple[slice, slice], after: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the picture with the changed box, and the mask of the whole picture."""
    defective = picture.copy()
    defective[box] = after
    whole = np.zeros(picture.shape[:2], np.uint8)
    whole[box][mask] = 255
    return defective, whole


def _choose(rng: np.random.Generator, names: Iterable[str]) -> str:
    listed = list(names)
    return listed[int(rng.integers(len(listed)))]

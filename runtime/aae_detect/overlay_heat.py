"""The heat map on the overlay: colours of the model's fixed scale, laid on only where the map comes near the threshold.

Values far below the threshold leave the picture as it is, so that a good part does not glow; and the colour of a value
is the same in every frame, so that a weak defect does not look like a strong one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.detection import Detection
from aae_detect.geometry import Placement

VISIBLE_FROM = 0.75
"""Where heat begins to show, as a fraction of the way from the coldest colour's value up to the threshold."""

OPACITY = 0.6
"""How much of the picture heat hides from the threshold on; the part has to stay recognisable below it."""

_MAX_PATCHES = 32
"""Separate warm places that are drawn one by one; beyond, one pass over all of them is cheaper."""


def blend_heat(picture: NDArray[np.uint8], detection: Detection, colour_scale: tuple[float, float]) -> None:
    """Lay a detection's map over a picture, in place.

    Args:
        picture: HxWx3 BGR of the detection's frame size; changed.
        detection: whose `model_map` is shown.
        colour_scale: map values of the coldest and the hottest colour, from the model's spec.
    """
    low, high = colour_scale
    visible_from, hottest = _shown_range(low, high, detection.threshold)
    levels = _quantize(detection.model_map, visible_from, hottest)
    if not levels.any():
        return
    keep, add = _tables(low, high, detection.threshold)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats((levels > 0).astype(np.uint8), connectivity=8)
    if count - 1 > _MAX_PATCHES:
        left, top, width, height = cv2.boundingRect(levels)
        _blend_patch(picture, levels, (left, top, width, height), detection.placement, keep, add)
        return
    for label in range(1, count):
        left, top, width, height = (int(value) for value in boxes[label][:4])
        # Only this place's own cells: interpolation around two places never overlaps, so nothing is laid on twice.
        own = np.where(labels == label, levels, np.uint8(0))
        _blend_patch(picture, own, (left, top, width, height), detection.placement, keep, add)


def _shown_range(low: float, high: float, threshold: float) -> tuple[float, float]:
    """Map values at which heat begins to show and at which it is hottest."""
    visible_from = low + VISIBLE_FROM * (threshold - low) if threshold > low else threshold
    return visible_from, max(high, threshold, visible_from + 1e-12)


def _quantize(model_map: NDArray[np.float32], visible_from: float, hottest: float) -> NDArray[np.uint8]:
    """Map values as levels, (h, w) uint8: 0 draws nothing, 1 is the first value that shows, 255 the hottest."""
    with np.errstate(invalid="ignore", over="ignore"):
        levels = 1 + (model_map.astype(np.float64) - visible_from) * (254 / (hottest - visible_from))
    levels = np.nan_to_num(levels, nan=0.0, posinf=255.0, neginf=0.0)
    return np.clip(levels, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _tables(low: float, high: float, threshold: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two tables by level, (256, 1, 3) uint8: what of the picture is kept (255 is all), and what is added to it."""
    visible_from, hottest = _shown_range(low, high, threshold)
    values = visible_from + (np.arange(256) - 1) * ((hottest - visible_from) / 254)
    opacity = OPACITY * np.clip((values - visible_from) / max(threshold - visible_from, 1e-12), 0, 1)
    opacity[0] = 0
    ramp = np.rint(255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)
    colours = cv2.applyColorMap(ramp[:, None], cv2.COLORMAP_TURBO)
    keep = np.repeat(np.rint(255 * (1 - opacity)).astype(np.uint8)[:, None, None], 3, axis=2)
    add = (colours * opacity[:, None, None]).astype(np.uint8)
    return keep, add


def _blend_patch(
    picture: NDArray[np.uint8],
    levels: NDArray[np.uint8],
    box_xywh: tuple[int, int, int, int],
    placement: Placement,
    keep: NDArray[np.uint8],
    add: NDArray[np.uint8],
) -> None:
    """Draw one box of cells; the levels are interpolated between the cells' centres."""
    left, top, width, height = box_xywh
    map_h, map_w = levels.shape
    cell_h, cell_w = placement.input_hw[0] / map_h, placement.input_hw[1] / map_w
    # Interpolation reaches to the centres of the cells next to the box.
    reach = [
        ((left - 0.5) * cell_w, (top - 0.5) * cell_h),
        ((left + width + 0.5) * cell_w, (top + height + 0.5) * cell_h),
    ]
    seen = np.clip(np.array(reach), 0, placement.input_hw[::-1])
    corners = np.clip(placement.to_frame(seen), 0, placement.frame_hw[::-1])
    x0, y0 = (math.floor(value) for value in corners[0])
    x1, y1 = (math.ceil(value) for value in corners[1])
    if x1 <= x0 or y1 <= y0:
        return
    # Cells cover many pixels of a large frame: colours are worked out for every `step`-th pixel and enlarged, which is
    # several times faster than a table look-up for each pixel and looks the same.
    scale_y, scale_x = placement.scale_yx[0] / cell_h, placement.scale_yx[1] / cell_w  # cells per frame pixel
    step = max(1, min(8, int(0.2 / max(scale_y, scale_x))))
    small_w, small_h = math.ceil((x1 - x0) / step), math.ceil((y1 - y0) / step)
    # The centre of small pixel i lies at frame position x0 + (i + 0.5) * step, in pixels of continuous extent.
    shift_x = (x0 + 0.5 * step) * scale_x + placement.offset_yx[1] / cell_w - 0.5
    shift_y = (y0 + 0.5 * step) * scale_y + placement.offset_yx[0] / cell_h - 0.5
    matrix = np.array([[scale_x * step, 0, shift_x], [0, scale_y * step, shift_y]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    small = cv2.warpAffine(levels, matrix, (small_w, small_h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    patch = picture[y0:y1, x0:x1]
    kept = _enlarged(cv2.applyColorMap(small, keep), step)[: y1 - y0, : x1 - x0]
    added = _enlarged(cv2.applyColorMap(small, add), step)[: y1 - y0, : x1 - x0]
    cv2.multiply(patch, kept, patch, scale=1 / 255)
    cv2.add(patch, added, patch)


def _enlarged(small: cv2.typing.MatLike, step: int) -> cv2.typing.MatLike:
    """Enlarge by a whole factor."""
    if step == 1:
        return small
    return cv2.resize(small, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)

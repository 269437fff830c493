"""Maps and masks as people see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

HEAT_COLOURS = cv2.COLORMAP_TURBO
"""As on the overlay."""

_WHITE = (255, 255, 255)
_OUTLINE = (230, 60, 230)
"""Magenta, BGR: hardly a colour of parts, and in no heat map."""


def draw_heat(
    anomaly_map: NDArray[np.float32], size_hw: tuple[int, int], colour_scale: tuple[float, float], threshold: float
) -> NDArray[np.uint8]:
    """Colour a map by a fixed scale and outline what lies above the threshold in white.

    Args:
        anomaly_map: (h, w) float32, of any size.
        size_hw: Size to draw it at, pixels.
        colour_scale: Map values of the coldest and the hottest colour.
        threshold: Of the verdict.

    Returns:
        HxWx3 uint8 BGR.
    """
    low, high = colour_scale
    enlarged = np.asarray(cv2.resize(anomaly_map, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    levels = np.clip(np.nan_to_num((enlarged - low) / (high - low)) * 255, 0, 255).astype(np.uint8)
    heat = np.asarray(cv2.applyColorMap(levels, HEAT_COLOURS), np.uint8)
    outlines, _ = cv2.findContours((enlarged > threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(heat, outlines, -1, _WHITE, 1)
    return heat


def outline_mask(picture: NDArray[np.uint8], mask: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Outline a defect beside it, not on it.

    Args:
        picture: HxWx3 uint8 BGR, left as it is.
        mask: (h, w) of any size, not 0 where defective.
    """
    marked = (mask != 0).astype(np.uint8) * np.uint8(255)
    # Area averages keep what is thinner than a pixel of the picture.
    shown = cv2.resize(marked, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    around = cv2.dilate((shown > 0).astype(np.uint8), np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(picture.copy(), outlines, -1, _OUTLINE, 1, cv2.LINE_AA), np.uint8)

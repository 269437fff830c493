"""Where a frame lies in the model's input, and back: the one place that knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.spec import Fit

_ROUNDING = 1e-12
"""Relative error, and more, of a few operations in double precision."""


@dataclass(frozen=True)
class Placement:
    """The affine map from frame to model input: `input = frame * scale + offset`, in pixels of continuous extent."""

    frame_hw: tuple[int, int]
    input_hw: tuple[int, int]
    scale_yx: tuple[float, float]
    offset_yx: tuple[float, float]
    """Top left corner of the frame in the input; negative where `crop` cuts the frame."""

    @property
    def inside_xywh(self) -> tuple[int, int, int, int]:
        """The part of the input that the frame covers, in input pixels."""
        (height, width), (input_h, input_w) = self.frame_hw, self.input_hw
        top, left = max(0, round(self.offset_yx[0])), max(0, round(self.offset_yx[1]))
        bottom = min(input_h, round(self.offset_yx[0] + height * self.scale_yx[0]))
        right = min(input_w, round(self.offset_yx[1] + width * self.scale_yx[1]))
        return left, top, max(1, right - left), max(1, bottom - top)

    def to_frame(self, points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Take points (..., 2) in input pixels to frame pixels, not clipped."""
        offset = np.array(self.offset_yx[::-1])
        scale = np.array(self.scale_yx[::-1])
        return np.asarray((points_xy - offset) / scale, dtype=np.float64)


def place(frame_hw: tuple[int, int], input_hw: tuple[int, int], fit: Fit) -> Placement:
    """Say how a frame of one size is put into a model input of another.

    `stretch` fills the input and lets the aspect ratio go; `letterbox` keeps it and leaves black bars; `crop` keeps it
    and cuts what hangs over, at both sides alike.
    """
    ratio_y, ratio_x = input_hw[0] / frame_hw[0], input_hw[1] / frame_hw[1]
    if fit == "letterbox":
        ratio_y = ratio_x = min(ratio_y, ratio_x)
    elif fit == "crop":
        ratio_y = ratio_x = max(ratio_y, ratio_x)
    offset_y = _offset(input_hw[0], frame_hw[0] * ratio_y)
    offset_x = _offset(input_hw[1], frame_hw[1] * ratio_x)
    return Placement(frame_hw, input_hw, (ratio_y, ratio_x), (offset_y, offset_x))


def _offset(input_side: int, frame_side: float) -> float:
    """Half of what is left of a side of the input, in whose pixels both are.

    A frame that fills the side leaves a rounding error of either sign, which must pass for no bar and for no overhang:
    1600 * (224 / 1600) is more than 224. A true rest is far larger, at least half a pixel over a side of the frame.
    """
    offset = (input_side - frame_side) / 2
    return 0.0 if abs(offset) < _ROUNDING * input_side else offset


def fit_image(image: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """Resize a picture into the model's input.

    Args:
        image: HxWx3 (or HxW) uint8 of size `placement.frame_hw`.
        placement: from `place`.

    Returns:
        The same channels at `placement.input_hw`, uint8, C-contiguous; bars are black.
    """
    (height, width), (input_h, input_w) = placement.frame_hw, placement.input_hw
    if placement.offset_yx == (0.0, 0.0):
        return resize(image, (input_h, input_w))
    if min(placement.offset_yx) < 0:  # crop: cut the overhang first, so that what is thrown away costs nothing
        keep_h, keep_w = round(input_h / placement.scale_yx[0]), round(input_w / placement.scale_yx[1])
        top, left = max(0, (height - keep_h) // 2), max(0, (width - keep_w) // 2)
        return resize(np.ascontiguousarray(image[top : top + keep_h, left : left + keep_w]), (input_h, input_w))
    left, top, inside_w, inside_h = placement.inside_xywh
    canvas = np.zeros((input_h, input_w, *image.shape[2:]), np.uint8)
    canvas[top : top + inside_h, left : left + inside_w] = resize(image, (inside_h, inside_w))
    return canvas


def resize(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize without aliasing: area averages where an axis shrinks, linear interpolation where it grows.

    OpenCV's INTER_AREA silently turns into plain bilinear sampling for both axes when one of them grows; so a mixed
    resize is done in two steps, the shrinking axis first. Large frames are halved as long as both axes can be: means of
    2x2 pixels take OpenCV a small part of the time of anything else, and what is left for the general case is a small
    picture. Halving one axis alone takes as long as the general case.
    """
    target_h, target_w = size_hw
    if image.shape[:2] == (target_h, target_w):
        return np.ascontiguousarray(image)
    while all(side % 2 == 0 and side >= 2 * target for side, target in zip(image.shape, size_hw, strict=False)):
        image = _shrink(image, (image.shape[0] // 2, image.shape[1] // 2))
    shrunk_hw = min(image.shape[0], target_h), min(image.shape[1], target_w)
    if shrunk_hw != image.shape[:2]:
        image = _shrink(image, shrunk_hw)
    if shrunk_hw != size_hw:
        image = cv2.resize(image, (target_w, target_h), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    return image


def _shrink(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    shrunk = cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA)
    return shrunk.astype(np.uint8, copy=False)

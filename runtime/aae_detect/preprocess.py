"""From whatever a source gives to the 8-bit BGR picture that a model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import FrameError
from aae_detect.geometry import Placement, fit_image, place
from aae_detect.spec import Fit


def to_bgr8(image: Any, bits: int | None = None) -> NDArray[np.uint8]:
    """Convert a picture to HxWx3 uint8 BGR.

    Brightness is scaled by the declared depth and never by what the picture holds, so a black frame stays black.

    Args:
        image: HxW or HxWx1 gray, HxWx3 BGR, or HxWx4 BGRA (alpha is dropped); uint8 or uint16.
        bits: Depth that a uint16 picture carries: 10, 12 or 16; None means 16. Ignored for uint8.

    Returns:
        The picture, C-contiguous; the very array given where nothing had to be done.

    Raises:
        FrameError: None, empty, float (NaN or not), another dtype, or another number of dimensions or channels.
    """
    if not isinstance(image, np.ndarray):
        raise FrameError(f"a frame is {type(image).__name__}, expected a numpy array; did the camera return nothing?")
    if image.size == 0:
        raise FrameError(f"a frame is empty (shape {image.shape}), expected at least one pixel")
    if image.dtype not in (np.uint8, np.uint16):
        raise FrameError(
            f"a frame has dtype {image.dtype}, expected uint8 or uint16: convert it yourself, "
            "because only you know what its values mean"
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise FrameError(f"a frame has shape {image.shape}, expected HxW, HxWx1, HxWx3 (BGR) or HxWx4 (BGRA)")
    if image.dtype == np.uint16:
        depth = 16 if bits is None else bits
        # Rounded and saturated: a 12-bit camera that sends more than 4095 has lied, and must not wrap to black.
        image = cv2.convertScaleAbs(image, alpha=255.0 / (2**depth - 1))
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    elif image.shape[2] == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return np.ascontiguousarray(image)


def prepare(
    image: Any, input_hw: tuple[int, int], fit: Fit, bits: int | None = None
) -> tuple[NDArray[np.uint8], Placement]:
    """Take a frame to the model's input; training, export and the device all come through here.

    Returns:
        The input picture, `input_hw` x 3 uint8 BGR, and where the frame lies in it.

    Raises:
        FrameError: as `to_bgr8`.
    """
    bgr = to_bgr8(image, bits)
    placement = place(bgr.shape[:2], input_hw, fit)
    return fit_image(bgr, placement), placement

"""Pictures as the bytes of a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import FrameError
from aae_detect.frames import Pixels
from aae_detect.geometry import resize

JPEG_SIDE = 65_500
"""Pixels that a side of a JPEG may have: by libjpeg, a little less than the format's own limit."""

_OVERLAY = (cv2.IMWRITE_JPEG_QUALITY, 90)


def encode_picture(suffix: str, picture: Pixels, options: Sequence[int] = ()) -> bytes:
    """Encode a picture.

    Args:
        suffix: Says the format: `.png`, `.jpg`.
        picture: HxW or HxWxC, of a depth that the format has.
        options: Of `cv2.imencode`.

    Raises:
        FrameError: the format cannot hold it.
    """
    height, width = picture.shape[:2]
    problem = f"a picture of {width}x{height} cannot be written as {suffix}; crop or shrink it"
    try:
        done, data = cv2.imencode(suffix, picture, options)
    except cv2.error as error:
        raise FrameError(f"{problem} ({str(error).strip()})") from error
    if not done:  # most of what OpenCV's writers raise it only prints
        raise FrameError(problem)
    return bytes(data.tobytes())


def encode_overlay(picture_bgr: NDArray[np.uint8]) -> bytes:
    """Encode a picture for people, HxWx3 uint8 BGR, as JPEG; one with a side too long for that is shrunk.

    Raises:
        FrameError: it cannot be encoded.
    """
    height, width = picture_bgr.shape[:2]
    if max(height, width) > JPEG_SIDE:
        ratio = JPEG_SIDE / max(height, width)
        picture_bgr = resize(picture_bgr, (max(1, round(height * ratio)), max(1, round(width * ratio))))
    return encode_picture(".jpg", picture_bgr, _OVERLAY)

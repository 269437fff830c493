"""Network streams, opened by OpenCV's FFmpeg so that neither opening nor reading can wait for ever."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aae_detect._opencv import cv2
from aae_detect.quiet_opencv import quiet_opencv

OPEN_TIMEOUT_MS = 10_000
"""How long a stream may take to answer."""

READ_TIMEOUT_MS = 10_000
"""How long a stream may take for one frame."""


def open_stream(
    address: str, open_timeout_ms: int = OPEN_TIMEOUT_MS, read_timeout_ms: int = READ_TIMEOUT_MS
) -> cv2.VideoCapture:
    """Open a stream; whether that worked, `isOpened` tells."""
    timeouts: Sequence[int] = (
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        open_timeout_ms,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        read_timeout_ms,
    )
    with quiet_opencv():
        return cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)


def sane_fps(fps: float) -> float:
    """Return a frame rate, or 0.0 where a container's figure is none."""
    return float(fps) if math.isfinite(fps) and 0.5 <= fps <= 1000 else 0.0

"""How long a camera may be silent: for whoever waits for its frames, and for OpenCV, which reads them elsewhere."""

from __future__ import annotations

import math
import os
from dataclasses import replace

from aae_detect.source_settings import SourceSettings

LOST_AFTER_S = 1.5
"""Silence after which a camera counts as lost: a loss is told within 2 s."""

V4L_VARIABLE = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
"""How long OpenCV waits for a frame of a camera at this machine, seconds; it reads this at its first wait, once."""

FOR_EVER_S = (2**31 - 1) // 1000
"""24 days, the longest time that OpenCV takes for a stream: it counts milliseconds in 32 bits."""

_SLOW_INTERVALS = 3
"""A camera of few frames per second may be silent for so many of their intervals."""

_MARGIN_S = 5.0
"""So much longer OpenCV waits: the one who watches shall be the one who says that a camera is silent."""


def patience_s(settings: SourceSettings, fps: float) -> float | None:
    """Return how long a frame may take before its camera counts as lost.

    Args:
        settings: Of the source.
        fps: What the camera says it gives, frames per second; 0 where it says nothing.

    Returns:
        Seconds; None: for ever.
    """
    if settings.lost_after_s == 0:
        return None
    return settings.lost_after_s or max(LOST_AFTER_S, _SLOW_INTERVALS / fps if fps else 0.0)


def have_opencv_wait(settings: SourceSettings) -> SourceSettings:
    """Have OpenCV wait for a frame for longer than whoever asks this process for it; before its first capture.

    Left alone, OpenCV gives up after ten seconds, and a camera that waits for its trigger would count as lost.

    Returns:
        The settings to open the source with.
    """
    asked_s = patience_s(settings, settings.camera.fps or 0.0)
    wait_s = FOR_EVER_S if asked_s is None else min(math.ceil(asked_s + _MARGIN_S), FOR_EVER_S)
    wait_ms = max(1000 * wait_s, settings.camera.read_timeout_ms)
    os.environ[V4L_VARIABLE] = str(math.ceil(wait_ms / 1000))
    return replace(settings, camera=replace(settings.camera, read_timeout_ms=wait_ms))

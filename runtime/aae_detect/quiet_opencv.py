"""Keeps OpenCV's own log lines from drowning the one line that says what is wrong with a source."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aae_detect._opencv import cv2

_lock = threading.Lock()
_inside = 0
_level_outside = 0


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV inside the block; whoever set OPENCV_LOG_LEVEL wants to see everything and does.

    The level is one for the whole process, so blocks of several threads are counted: the first sets it, the last sets
    it back.
    """
    global _inside, _level_outside
    if "OPENCV_LOG_LEVEL" in os.environ:
        yield
        return
    with _lock:
        if _inside == 0:
            _level_outside = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                cv2.utils.logging.setLogLevel(_level_outside)

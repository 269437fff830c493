"""The window in which a mask is drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.display import silence_qt, window_problem
from aae_detect.errors import ConfigError
from aae_detect.roi.sketch import Sketch

HELP = "click: point   Enter or right click: close   i: look/ignore   u or Backspace: undo   s: save   q or Esc: leave"

_WAIT_MS = 30
_FIRST_HW = (800, 1280)
_ENTER, _BACKSPACE, _ESCAPE = (10, 13), (8, 127), 27


def edit(sketch: Sketch, frame_bgr: NDArray[np.uint8], title: str) -> bool:
    """Let a person draw; for the main thread only.

    Args:
        sketch: What there is; changed.
        frame_bgr: HxWx3 uint8, what is drawn on.
        title: Of the window.

    Returns:
        Whether to save; False where the window was left without.

    Raises:
        ConfigError: no window can be opened here; says why.
    """
    problem = window_problem()
    if problem is not None:
        raise ConfigError(f"{problem}\nor write the mask down: see the examples of `aae-roi --help`")
    silence_qt()
    height, width = frame_bgr.shape[:2]
    share = min(1.0, _FIRST_HW[0] / height, _FIRST_HW[1] / width)
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    cv2.resizeWindow(title, round(width * share), round(height * share))
    cv2.setMouseCallback(title, lambda event, x, y, *_: click(sketch, event, x, y, (width, height)))
    try:
        while True:
            cv2.imshow(title, sketch.draw(frame_bgr))
            key = cv2.waitKey(_WAIT_MS) & 0xFF
            if key == ord("s"):
                sketch.close()
                return True
            if key in (ord("q"), _ESCAPE) or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) <= 0:
                return False
            press(sketch, key)
    finally:
        cv2.destroyAllWindows()
        cv2.waitKey(1)  # lets the window go


def press(sketch: Sketch, key: int) -> None:
    """Do what a key says to the sketch."""
    if key in _ENTER:
        sketch.close()
    elif key == ord("i"):
        sketch.ignoring = not sketch.ignoring
    elif key == ord("u") or key in _BACKSPACE:
        sketch.undo()


def click(sketch: Sketch, event: int, x: int, y: int, picture_wh: tuple[int, int]) -> None:
    """Do what a mouse button says to the sketch.

    Points come in pixels of the picture, whatever the size of the window; their middle is meant. The mask may have been
    drawn on a picture of another size.
    """
    if event == cv2.EVENT_LBUTTONDOWN:
        (width, height), (frame_width, frame_height) = picture_wh, sketch.frame_wh
        sketch.add((x + 0.5) * frame_width / width, (y + 0.5) * frame_height / height)
    elif event == cv2.EVENT_RBUTTONDOWN:
        sketch.close()

"""The live window, with its keys."""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.display import silence_qt, window_problem
from aae_detect.errors import ConfigError
from aae_detect.geometry import resize


class Action(enum.StrEnum):
    """What a user asks for in the window."""

    QUIT = "quit"
    PAUSE = "pause"
    SNAPSHOT = "snapshot"
    HEAT_MAP = "heat map"


KEYS = {
    ord("q"): Action.QUIT,
    27: Action.QUIT,
    ord(" "): Action.PAUSE,
    ord("s"): Action.SNAPSHOT,
    ord("h"): Action.HEAT_MAP,
}
"""Key codes as OpenCV gives them, letters in lower case; 27 is Esc."""

KEYS_HELP = "q or Esc: quit   space: pause   s: snapshot   h: heat map on/off"

_FIRST_HW = (800, 1280)
"""Largest height and width of the window when it opens; the user may enlarge it."""

_SHOWN_HW = (1200, 1920)
"""Larger pictures are scaled down to this before they are shown: OpenCV leaves out pixels, which tears thin lines."""


class Window:
    """A window that shows pictures and tells which key was pressed; for the main thread only.

    Args:
        title: Written above the picture, and the window's identity: two windows need two titles.

    Raises:
        ConfigError: no window can be opened here; says why.
    """

    def __init__(self, title: str) -> None:
        problem = window_problem()
        if problem is not None:
            raise ConfigError(problem)
        self.title = title
        self._is_open = False
        silence_qt()

    def show(self, picture: NDArray[np.uint8], wait_ms: int = 1) -> Action | None:
        """Show a picture and look whether the user wants something.

        Args:
            picture: HxWx3 uint8 BGR.
            wait_ms: How long to wait for a key, milliseconds, at least 1; the window lives only while waiting.

        Returns:
            What was asked for, None where nothing. Closing the window by its button is `Action.QUIT`.
        """
        height, width = picture.shape[:2]
        if not self._is_open:
            cv2.namedWindow(self.title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            first_h, first_w = _within((height, width), _FIRST_HW)
            cv2.resizeWindow(self.title, first_w, first_h)
            self._is_open = True
        cv2.imshow(self.title, resize(picture, _within((height, width), _SHOWN_HW)))
        key = cv2.waitKey(max(1, wait_ms))
        if not self._is_visible():
            # OpenCV has already dropped the window; showing the next picture would open it again.
            self._is_open = False
            return Action.QUIT
        return KEYS.get(ord(chr(key & 0xFF).lower())) if key >= 0 else None

    def close(self) -> None:
        """Close the window; may be called more than once."""
        if self._is_open:
            self._is_open = False
            cv2.destroyWindow(self.title)
            cv2.waitKey(1)  # lets the window go: without it the picture stays on the screen until the process ends

    def _is_visible(self) -> bool:
        try:
            return cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) > 0
        except cv2.error:  # there is no window of this name any more
            return False


def _within(size_hw: tuple[int, int], most_hw: tuple[int, int]) -> tuple[int, int]:
    """Size of a picture scaled down into a frame, aspect kept; as it is where it fits."""
    share = min(1.0, most_hw[0] / size_hw[0], most_hw[1] / size_hw[1])
    return max(1, round(size_hw[0] * share)), max(1, round(size_hw[1] * share))

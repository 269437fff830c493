"""Where one part ends and the next begins: by what changes in the picture against the empty place."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

_SIDE = 48
_CHANGED_GRAY = 22.0
"""Gray levels by which a place of the reduced picture has changed."""

_FIRST_FRAMES = 15
"""Frames whose median is the empty place to begin with: a part that passes is in few of them at one place."""

_FADE = 0.02
"""Share by which the empty place follows the light while no part is there."""

_STEADY = 2
"""Frames in a row that have to agree that a part has come, or gone."""


class PartFinder:
    """Says whether a part is there, frame by frame."""

    def __init__(self, least_share: float) -> None:
        """Take the share of the picture that a part changes at least; half of it is left when it has gone."""
        self._least_share = least_share
        self._first: deque[NDArray[np.float32]] = deque(maxlen=_FIRST_FRAMES)
        self._empty: NDArray[np.float32] | None = None
        self._present = False
        self._against = 0

    def look(self, input_bgr: NDArray[np.uint8]) -> bool | None:
        """Take the next frame as the model got it, HxWx3; None while nobody knows what the empty place looks like."""
        gray = cv2.cvtColor(input_bgr, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._empty is None:
            self._first.append(small)
            if len(self._first) == _FIRST_FRAMES:
                self._empty = np.median(np.stack(self._first), axis=0).astype(np.float32)
                self._first.clear()
            return None
        share = float((np.abs(small - self._empty) > _CHANGED_GRAY).mean())
        seen = share >= (self._least_share / 2 if self._present else self._least_share)
        self._against = self._against + 1 if seen != self._present else 0
        if self._against == _STEADY:
            self._present, self._against = seen, 0
        if not self._present and not seen:
            self._empty += np.float32(_FADE) * (small - self._empty)
        return self._present

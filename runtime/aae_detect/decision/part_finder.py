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

_SAMPLES = 30
"""Reduced pictures kept of a stay at most, spread over it: their median is what stays, not what passes meanwhile."""


class PartFinder:
    """Says whether a part is there, frame by frame."""

    def __init__(self, least_share: float) -> None:
        """Take the share of the picture that a part changes at least; half of it is left when it has gone."""
        self._least_share = least_share
        self._first: deque[NDArray[np.float32]] = deque(maxlen=_FIRST_FRAMES)
        self._empty: NDArray[np.float32] | None = None
        self._former: NDArray[np.float32] | None = None
        """The empty place before it was learned anew."""

        self._present = False
        self._against = self._for_former = 0
        self._stay: list[NDArray[np.float32]] = []
        self._stay_frames, self._stay_step = 0, 1

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
        self._empty = self._return_to_former(small, self._empty)
        share = _changed_share(small, self._empty)
        seen = share >= (self._least_share / 2 if self._present else self._least_share)
        self._against = self._against + 1 if seen != self._present else 0
        if self._against == _STEADY:
            self._present, self._against = seen, 0
        if not self._present and not seen:
            self._empty += np.float32(_FADE) * (small - self._empty)
            self._forget_stay()
        else:
            self._sample(small)
        return self._present

    def forget_part(self) -> None:
        """Take it that no part is there, as after a time that nobody saw; the empty place stays known."""
        self._present, self._against = False, 0
        self._forget_stay()

    def learn_anew(self) -> None:
        """Take what has been there since a part came for the empty place: another light, or something left lying.

        It may be a part on a belt that stands. So the former empty place stays known, and holds again once it is seen:
        else parts that lie where that one lay would be taken for nothing.
        """
        if self._stay:
            self._former, self._empty = self._empty, np.median(np.stack(self._stay), axis=0).astype(np.float32)
        self._for_former = 0
        self.forget_part()

    def _return_to_former(self, small: NDArray[np.float32], empty: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the empty place that holds from this picture on."""
        if self._former is None:
            return empty
        alike = _changed_share(small, self._former) < self._least_share / 2
        self._for_former = self._for_former + 1 if alike else 0
        if self._for_former < _STEADY:
            return empty
        former, self._former, self._for_former = self._former, None, 0
        return former

    def _forget_stay(self) -> None:
        self._stay.clear()
        self._stay_frames, self._stay_step = 0, 1

    def _sample(self, small: NDArray[np.float32]) -> None:
        """Keep a picture of a stay; where they become too many, every second one, and fewer of those that come."""
        if self._stay_frames % self._stay_step == 0:
            self._stay.append(small)
            if len(self._stay) == _SAMPLES:
                del self._stay[1::2]
                self._stay_step *= 2
        self._stay_frames += 1


def _changed_share(small: NDArray[np.float32], empty: NDArray[np.float32]) -> float:
    """Return the share of a reduced picture that is other than the empty place."""
    return float((np.abs(small - empty) > _CHANGED_GRAY).mean())

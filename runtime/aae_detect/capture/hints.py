"""What a person should know of the picture before taking hundreds of it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from aae_detect.frame_statistics import FrameStatistics

_DARK, _BRIGHT = 60.0, 0.02
"""Gray level that the brightest hundredth should reach, and share of saturated pixels that is too much."""

_SOFT = 0.5
"""By how much the logarithm of sharpness may fall below the best of this run."""

ALIKE_GRAY = 1.5
"""Mean difference of reduced pictures below which two show the same, gray levels: noise alone makes a tenth of that."""

_REMEMBERED = 30
"""Kept pictures that a new one is compared with."""


class Hints:
    """Follows a run of frames."""

    def __init__(self) -> None:
        self._best_sharpness = -np.inf
        self._kept: deque[NDArray[np.float32]] = deque(maxlen=_REMEMBERED)

    def look(self, frame: FrameStatistics) -> list[str]:
        """Say what is wrong with a frame, if anything; it may be kept all the same."""
        self._best_sharpness = max(self._best_sharpness, frame.sharpness)
        found = []
        if frame.light.brightest < _DARK:
            found.append("dark: more light, or a longer exposure")
        if frame.light.saturated > _BRIGHT:
            found.append(f"{frame.light.saturated:.0%} over-exposed: less light, or a shorter exposure")
        if frame.sharpness < self._best_sharpness - _SOFT:
            found.append("less sharp than it was: focus, or movement")
        return found

    def is_new(self, frame: FrameStatistics) -> bool:
        """Say whether a frame shows something else than those that were kept lately."""
        small = frame.small.astype(np.float32)
        return all(float(np.abs(small - other).mean()) >= ALIKE_GRAY for other in self._kept)

    def keep(self, frame: FrameStatistics) -> None:
        """Remember a frame that was kept."""
        self._kept.append(frame.small.astype(np.float32))

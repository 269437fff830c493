"""Overlays for whoever wants to show or keep them."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from aae_detect.frame_mask import FrameMask
from aae_detect.judged import Judged
from aae_detect.overlay import annotate, annotate_unknown
from aae_detect.threshold import colour_scale


class Drawer:
    """Draws each frame's overlay once, however many outputs want it, in any thread, and not at all when none does."""

    def __init__(self, heat_map: bool = True, inset: bool = True, note: str = "") -> None:
        """Fix what is drawn; colours and borders are those of who judged the frame.

        Args:
            heat_map: Whether the heat map is drawn; a window may change it while it runs.
            inset: Whether the reconstruction is drawn in a corner.
            note: One line for the lower edge, such as the source's name where there are several.
        """
        self.heat_map = heat_map
        self._inset = inset
        self._note = note
        self._outlines: tuple[FrameMask | None, tuple[int, int], list[NDArray[np.int32]]] = (None, (0, 0), [])
        self._lock = threading.Lock()
        self._last: tuple[Judged, bool, NDArray[np.uint8]] | None = None

    def draw(self, judged: Judged) -> NDArray[np.uint8]:
        """Return the overlay, HxWx3 uint8 BGR; do not write into it."""
        with self._lock:
            if self._last is None or self._last[0] is not judged or self._last[1] != self.heat_map:
                self._last = (judged, self.heat_map, self._draw(judged))
            return self._last[2]

    def _draw(self, judged: Judged) -> NDArray[np.uint8]:
        if judged.detection is None or judged.image_bgr is None:
            return annotate_unknown(judged.image_bgr, judged.reason)
        detection, detector = judged.detection, judged.detector
        return annotate(
            judged.image_bgr,
            detection,
            # Of the model, and not of the frame: colours mean the same in every frame.
            colour_scale=colour_scale(detection.threshold) if detector is None else detector.colour_scale,
            fps=judged.fps,
            heat_map=self.heat_map,
            inset=self._inset,
            note=self._note,
            outlines=self._outlines_at(judged.image_bgr.shape[:2], None if detector is None else detector.mask),
        )

    def _outlines_at(self, frame_hw: tuple[int, ...], mask: FrameMask | None) -> list[NDArray[np.int32]]:
        """Return the mask's borders, which are the same as long as mask and frames are."""
        if mask is None:
            return []
        size_hw = frame_hw[0], frame_hw[1]
        if self._outlines[0] is not mask or self._outlines[1] != size_hw:
            self._outlines = (mask, size_hw, mask.outlines(size_hw))
        return self._outlines[2]

"""Overlays for whoever wants to show or keep them."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from aae_detect.frame_mask import FrameMask
from aae_detect.judged import Judged
from aae_detect.overlay import annotate, annotate_unknown


class Drawer:
    """Draws each frame's overlay once, however many outputs want it, in any thread, and not at all when none does."""

    def __init__(
        self,
        colour_scale: tuple[float, float],
        heat_map: bool = True,
        inset: bool = True,
        note: str = "",
        mask: FrameMask | None = None,
    ) -> None:
        """Fix the colours.

        Args:
            colour_scale: The model's, so that colours mean the same in every frame.
            heat_map: Whether the heat map is drawn; a window may change it while it runs.
            inset: Whether the reconstruction is drawn in a corner.
            note: One line for the lower edge, such as the source's name where there are several.
            mask: Where is looked, whose borders are drawn.
        """
        self.heat_map = heat_map
        self._colour_scale = colour_scale
        self._inset = inset
        self._note = note
        self._mask = mask
        self._outlines: tuple[tuple[int, int], list[NDArray[np.int32]]] = ((0, 0), [])
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
        return annotate(
            judged.image_bgr,
            judged.detection,
            colour_scale=self._colour_scale,
            fps=judged.fps,
            heat_map=self.heat_map,
            inset=self._inset,
            note=self._note,
            outlines=self._outlines_at(judged.image_bgr.shape[:2]),
        )

    def _outlines_at(self, frame_hw: tuple[int, ...]) -> list[NDArray[np.int32]]:
        """Return the mask's borders, which are the same as long as the frames are."""
        if self._mask is None:
            return []
        size_hw = frame_hw[0], frame_hw[1]
        if self._outlines[0] != size_hw:
            self._outlines = (size_hw, self._mask.outlines(size_hw))
        return self._outlines[1]

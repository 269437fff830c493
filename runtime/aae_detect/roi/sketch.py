"""Polygons while they are being drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.frame_mask import FrameMask, Point, Polygon, Polygons

_LOOK, _IGNORE = (80, 220, 80), (60, 60, 240)
"""BGR of the lines of what counts, and of what does not."""

_OUTSIDE = 0.35
"""Brightness that is left of what does not count."""


@dataclass
class Sketch:
    """A mask in the making: polygons that are closed, and points of one that is not."""

    frame_wh: tuple[int, int]
    look: list[Polygon] = field(default_factory=list)
    ignore: list[Polygon] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    ignoring: bool = False
    """Whether the next polygon says what to ignore, and not what to look at."""

    @classmethod
    def of(cls, polygons: Polygons) -> Sketch:
        """Go on with a mask that there is."""
        return cls(polygons.frame, list(polygons.look), list(polygons.ignore))

    def add(self, x: float, y: float) -> None:
        """Add a point, frame pixels; outside of the frame it lies on its edge."""
        width, height = self.frame_wh
        self.points.append((min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))))

    def close(self) -> bool:
        """Close the polygon; False where it has fewer than three points, which then stay."""
        if len(self.points) < 3:
            return False
        (self.ignore if self.ignoring else self.look).append(tuple(self.points))
        self.points = []
        return True

    def undo(self) -> None:
        """Take the last point back, or the last polygon of the kind that is being drawn."""
        done = self.ignore if self.ignoring else self.look
        if self.points:
            self.points.pop()
        elif done:
            self.points = list(done.pop())

    def polygons(self) -> Polygons:
        """Return what is closed.

        Raises:
            ValueError: see `Polygons`.
        """
        return Polygons(self.frame_wh, tuple(self.look), tuple(self.ignore))

    def draw(self, frame_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw it over a frame, HxWx3 uint8 of any size; returns a new picture."""
        height, width = frame_bgr.shape[:2]
        inside = FrameMask(self.polygons()).inside((height, width))
        picture = np.where(inside[:, :, None], frame_bgr, (frame_bgr * np.float32(_OUTSIDE)).astype(np.uint8))
        scale = np.array([width / self.frame_wh[0], height / self.frame_wh[1]])
        line = max(1, round(min(height, width) / 300))
        for polygons, colour in ((self.look, _LOOK), (self.ignore, _IGNORE)):
            for polygon in polygons:
                cv2.polylines(picture, [_pixels(polygon, scale)], True, colour, line, cv2.LINE_AA)
        if self.points:
            colour = _IGNORE if self.ignoring else _LOOK
            begun = _pixels(tuple(self.points), scale)
            cv2.polylines(picture, [begun], False, colour, line, cv2.LINE_AA)
            for x, y in begun.tolist():
                cv2.circle(picture, (x, y), 2 * line, colour, -1, cv2.LINE_AA)
        return np.asarray(picture, np.uint8)


def _pixels(polygon: Polygon, scale: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(np.asarray(polygon, np.float64) * scale - 0.5).astype(np.int32)

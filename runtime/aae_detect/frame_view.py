"""Which part of a camera's picture is looked at, and which way up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import numpy as np

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError, SourceError
from aae_detect.frames import Frame, FrameSource, Pixels, Signal

Turn = Literal[0, 90, 180, 270]
Flip = Literal["", "horizontal", "vertical", "both"]

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"horizontal": 1, "vertical": 0, "both": -1}


@dataclass(frozen=True)
class FrameView:
    """How a camera's pictures are turned, mirrored and cut, in this order."""

    rotate_deg: Turn = 0
    """Clockwise."""

    flip: Flip = ""
    """`horizontal` swaps left and right."""

    crop_xywh: tuple[int, int, int, int] | None = None
    """Left, top, width and height of what is kept, in pixels of the turned and mirrored picture."""

    def __post_init__(self) -> None:
        if self.rotate_deg not in get_args(Turn) or self.flip not in get_args(Flip):
            raise ConfigError(
                f"rotate: {self.rotate_deg}, flip {self.flip!r}; expected rotate 0, 90, 180 or 270 (clockwise), "
                "flip horizontal, vertical or both"
            )
        if self.crop_xywh is not None and (min(self.crop_xywh[:2]) < 0 or min(self.crop_xywh[2:]) < 1):
            raise ConfigError(f"crop: {self.crop_xywh}; expected left and top from 0, width and height from 1")

    def __call__(self, frame: Frame) -> Frame:
        """Turn, mirror and cut a frame; one without a picture stays as it is.

        Raises:
            SourceError: the picture is smaller than what is to be cut out of it.
        """
        image = frame.image
        if image is None or self == FrameView():
            return frame
        if self.rotate_deg:
            image = cast(Pixels, cv2.rotate(image, _TURNS[self.rotate_deg]))
        if self.flip:
            image = cast(Pixels, cv2.flip(image, _FLIPS[self.flip]))
        if self.crop_xywh is not None:
            left, top, width, height = self.crop_xywh
            if left + width > image.shape[1] or top + height > image.shape[0]:
                raise SourceError(
                    f"{frame.source}: crop {left},{top},{width},{height} reaches out of its pictures of "
                    f"{image.shape[1]}x{image.shape[0]}; change the crop, or the size asked of the camera"
                )
            image = cast(Pixels, np.ascontiguousarray(image[top : top + height, left : left + width]))
        return replace(frame, image=image)


class ViewedSource(FrameSource):
    """A source, seen through a `FrameView`.

    A picture of a file that is smaller than what is to be cut out of it is a frame with a problem, as one that cannot
    be read: the next may be larger. A camera's will not be.
    """

    def __init__(self, source: FrameSource, view: FrameView) -> None:
        self.name, self.live, self.fps = source.name, source.live, source.fps
        self.notes: tuple[str, ...] = getattr(source, "notes", ())
        self._source = source
        self._view = view

    def read(self) -> Frame | Signal | None:
        """Return the inner source's next, a frame turned, mirrored and cut.

        Raises:
            SourceError: as the inner source; or a camera's pictures are smaller than what is to be cut out of them.
        """
        item = self._source.read()
        if not isinstance(item, Frame):
            return item
        try:
            return self._view(item)
        except SourceError as error:
            if self.live:
                raise
            return replace(item, image=None, problem=f"wrong size: {error}")

    def close(self) -> None:
        """Close the inner source."""
        self._source.close()

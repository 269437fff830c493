"""The panel in the overlay's top left corner: verdict, score against threshold, latency, frame rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.detection import Detection, Verdict
from aae_detect.overlay_text import BLACK, WHITE, Box, Colour, number, put_text, shorten, text_width

PAPER: dict[Verdict, Colour] = {
    Verdict.OK: (40, 130, 0),
    Verdict.NG: (30, 20, 215),
    Verdict.UNKNOWN: (0, 175, 255),
}
INK: dict[Verdict, Colour] = {Verdict.OK: WHITE, Verdict.NG: WHITE, Verdict.UNKNOWN: BLACK}

SMALL = 0.42
"""Below this unit (a frame of about 270x200) only verdict, score and regions have room."""


class Panel:
    """The panel in the top left corner: laid out first, so that its place is known, and drawn last."""

    def __init__(self, picture: NDArray[np.uint8], verdict: Verdict, unit: float) -> None:
        self._picture = picture
        self._verdict = verdict
        self._unit = max(unit, SMALL)
        self._is_small = unit < SMALL
        self._score = self._figures = ""
        self._bar: tuple[float, float] | None = None
        height, width = picture.shape[:2]
        self._badge_w = text_width(verdict.value, self._px(40)) + 2 * round(self._px(16))
        self._badge_h = round(self._px(76))
        fits = self._badge_w <= width and self._badge_h <= height
        self.box: Box = (0, 0, self._badge_w, self._badge_h) if fits else (0, 0, 0, 0)

    def _px(self, size: float) -> float:
        """Pixels for a size that is meant for 640x480."""
        return size * self._unit

    def add_score(self, detection: Detection, colour_scale: tuple[float, float], fps: float | None) -> None:
        """Lay out score, bar and figures right of the badge, as far as there is room."""
        threshold = detection.threshold
        self._score = f"score {number(detection.score, threshold)}"
        self._figures = f"threshold {number(threshold, threshold)}"
        if not self._is_small:
            self._figures += f"  {detection.latency_ms.total:.1f} ms"
            if fps is not None:
                self._figures += f"  {fps:.1f} fps"
        # From the scale and the threshold alone: the bar must not change its meaning from frame to frame.
        low, high = min(colour_scale[0], threshold), max(colour_scale[1], threshold + abs(threshold - colour_scale[0]))
        score = detection.score if detection.score == detection.score else low
        span = max(high - low, 1e-12)
        self._bar = (min(max((score - low) / span, 0.0), 1.0), min(max((threshold - low) / span, 0.0), 1.0))
        room = self._picture.shape[1] - self._badge_w - round(self._px(30))
        if text_width(self._figures, self._px(13)) > room:
            self._figures = shorten(self._figures.split("  ")[0], self._px(13), room)
        if not self.box[2] or text_width(self._score, self._px(20)) > room:
            self._score = ""
            return
        column = max(text_width(self._score, self._px(20)), text_width(self._figures, self._px(13)))
        self.box = (0, 0, self._badge_w + column + round(self._px(30)), self._badge_h)

    def draw(self) -> None:
        """Draw the panel; its box has been darkened before."""
        if not self.box[2]:
            return
        picture, verdict = self._picture, self._verdict
        cv2.rectangle(picture, (0, 0), (self._badge_w - 1, self._badge_h - 1), PAPER[verdict], cv2.FILLED)
        put_text(picture, verdict.value, round(self._px(16)), round(self._px(18)), self._px(40), INK[verdict])
        if not self._score or self._bar is None:
            return
        left, right = self._badge_w + round(self._px(14)), self.box[2] - round(self._px(16))
        put_text(picture, self._score, left, round(self._px(10)), self._px(20), WHITE)
        put_text(picture, self._figures, left, round(self._px(56)), self._px(13), WHITE)
        top, bottom = round(self._px(38)), round(self._px(46))
        filled, tick = (left + round(share * (right - left)) for share in self._bar)
        cv2.rectangle(picture, (left, top), (right, bottom), (90, 90, 90), cv2.FILLED)
        if filled > left:
            fill = PAPER[verdict] if verdict is not Verdict.OK else (80, 200, 60)
            cv2.rectangle(picture, (left, top), (filled, bottom), fill, cv2.FILLED)
        half, reach = max(1, round(self._px(1.5))), round(self._px(4))
        cv2.rectangle(picture, (tick - half, top - reach), (tick + half, bottom + reach), WHITE, cv2.FILLED)

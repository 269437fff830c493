"""A picture of how long frames took: a median hides the slow ones that miss their part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.overlay_text import put_text, text_width

_WIDTH, _ROW = 1000, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 30, 34, 30
_BINS = 120
_CAPITAL = 11.0
_PAPER, _INK, _BAR, _MARK = (255, 255, 255), (40, 40, 40), (190, 140, 60), (60, 60, 220)


def draw_histograms(rows: Sequence[tuple[str, NDArray[np.float64]]]) -> NDArray[np.uint8]:
    """Draw the distribution of each row's times on one common axis, from 0 to the slowest.

    Args:
        rows: A name and times in milliseconds, (N,).

    Returns:
        HxWx3 uint8 BGR.
    """
    longest = max(float(times.max()) for _, times in rows)
    picture = np.full((len(rows) * _ROW, _WIDTH, 3), _PAPER, np.uint8)
    for place, (name, times) in enumerate(rows):
        _draw_row(picture[place * _ROW : (place + 1) * _ROW], name, times, longest)
    return picture


def _draw_row(area: NDArray[np.uint8], name: str, times: NDArray[np.float64], longest: float) -> None:
    width, height = _WIDTH - _LEFT - _RIGHT, _ROW - _TOP - _BOTTOM
    ground = _TOP + height
    counts, _ = np.histogram(times, bins=_BINS, range=(0, longest))
    for place, count in enumerate(counts):
        if count:
            left, right = (_LEFT + round(width * edge / _BINS) for edge in (place, place + 1))
            # A single slow frame is what one looks for: it shows, however many others there are.
            top = ground - max(2, round(height * count / counts.max()))
            cv2.rectangle(area, (left, top), (max(left, right - 2), ground), _BAR, cv2.FILLED)
    cv2.line(area, (_LEFT, ground), (_LEFT + width, ground), _INK, 1)
    p50, p99 = np.percentile(times, (50, 99))
    for value in (p50, p99):
        x = _LEFT + round(width * value / longest)
        cv2.line(area, (x, _TOP), (x, ground), _MARK, 1)
    put_text(area, name, _LEFT, 8, _CAPITAL, _INK)
    figures = f"p50 {p50:.2f}   p99 {p99:.2f}   max {times.max():.2f} ms"
    put_text(area, figures, _WIDTH - _RIGHT - text_width(figures, _CAPITAL), 8, _CAPITAL, _INK)
    put_text(area, "0", _LEFT, ground + 8, _CAPITAL, _INK)
    end = f"{longest:.1f} ms"
    put_text(area, end, _LEFT + width - text_width(end, _CAPITAL), ground + 8, _CAPITAL, _INK)

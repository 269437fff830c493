"""Scores of good pictures and of defects over one axis, with the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_train.report.page import GREY, INK, PALE, RED, svg, svg_text

GOOD_COLOUR, DEFECT_COLOUR = "#2c6e2f", RED

_BINS = 48
_LEFT, _RIGHT, _PANEL, _GAP, _TOP = 20, 860, 92, 30, 44
_REACH = 3.0
"""The axis goes so far beyond the threshold, in distances from the lowest score to it; what lies above is one bar."""


@dataclass(frozen=True)
class _Axis:
    """Bins of one width, one of whose edges is the threshold, so that no bar lies on both of its sides."""

    threshold: float
    width: float
    below: int
    above: int
    cut: bool
    """Whether scores lie beyond its end: few very high ones would squeeze all others."""

    def x(self, edge: int) -> float:
        """Return where an edge lies, counted from the lowest."""
        return _LEFT + (_RIGHT - _LEFT) * edge / (self.below + self.above)

    def value(self, edge: int) -> float:
        """Return the score at an edge."""
        return self.threshold + (edge - self.below) * self.width

    def count(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """Count scores in each bin; a bin holds its upper edge, as OK holds the threshold."""
        bins = self.below + self.above
        number = np.ceil((scores - self.threshold) / self.width).astype(np.int64) - 1 + self.below
        return np.bincount(np.clip(number, 0, bins - 1), minlength=bins).astype(np.int64)


def count_above(scores: NDArray[np.floating], threshold: float) -> int:
    """Count the scores that the detector would call NG."""
    return int(np.count_nonzero(scores > threshold))


def histogram_svg(rows: Sequence[tuple[str, NDArray[np.floating], str]], threshold: float) -> str:
    """Draw one histogram for each row, one below the other, over the same axis.

    Args:
        rows: Title, scores (n,) and colour of the bars.
        threshold: Marked through all of them.

    Returns:
        The drawing; empty where there is nothing to draw, because no score is a number.
    """
    finite = [scores[np.isfinite(scores)].astype(np.float64) for _, scores, _ in rows]
    every = np.concatenate(finite)
    if not len(every) or not math.isfinite(threshold):
        return ""
    axis = _make_axis(every, threshold)
    base = _TOP + len(rows) * (_PANEL + _GAP) - _GAP
    at = axis.x(axis.below)
    parts = [
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="22" y2="{base}" stroke="{INK}" stroke-width="1.5" '
        'stroke-dasharray="5 3"/>'
    ]
    for place, ((title, _, colour), scores) in enumerate(zip(rows, finite, strict=True)):
        parts += _panel(title, axis, axis.count(scores), colour, _TOP + place * (_PANEL + _GAP))
    end = axis.below + axis.above
    parts.append(svg_text(_LEFT, base + 18, f"{axis.value(0):.3g}", "start", GREY))
    more = " and above" if axis.cut else ""
    parts.append(svg_text(_RIGHT, base + 18, f"{axis.value(end):.3g}{more}", "end", GREY))
    parts.append(svg_text((_LEFT + _RIGHT) / 2, base + 18, "score", "middle", GREY))
    anchor = "start" if at < (_LEFT + _RIGHT) / 2 else "end"
    parts.append(svg_text(at, 14, f"threshold {threshold:.4g}: NG right of it", anchor, INK, bold=True))
    return svg(_RIGHT + 20, base + 26, "Histograms of the scores with the threshold", parts)


def _make_axis(every: NDArray[np.float64], threshold: float) -> _Axis:
    low, top = min(float(every.min()), threshold), max(float(every.max()), threshold)
    high = min(top, threshold + _REACH * max(threshold - low, 0.2 * abs(threshold)))
    width = (high - low) / _BINS
    if width <= 1e-9 * max(1.0, abs(threshold)):  # all scores are one and the same
        return _Axis(threshold, max(0.02, 0.02 * abs(threshold)), _BINS // 2, _BINS // 2, cut=top > high)
    # A bin of space beyond the threshold where nothing lies there, so that its mark does not stand at the rim.
    below, above = max(1, math.ceil((threshold - low) / width)), max(2, math.ceil((high - threshold) / width))
    return _Axis(threshold, width, below, above, cut=top > high)


def _panel(title: str, axis: _Axis, counts: NDArray[np.int64], colour: str, upper: float) -> list[str]:
    """Draw the bars of one row; each row has its own scale, since it may hold another number of pictures."""
    lower = upper + _PANEL
    scale = (_PANEL - 16) / max(1, int(counts.max()))
    parts = [svg_text(_LEFT, upper + 2, title, "start", colour, bold=True)]
    for place, count in enumerate(counts):
        if count:
            left, right, tall = axis.x(place), axis.x(place + 1), float(count * scale)
            parts.append(
                f'<rect x="{left + 0.5:.1f}" y="{lower - tall:.1f}" width="{right - left - 1:.1f}" '
                f'height="{tall:.1f}" fill="{colour}"><title>{count}</title></rect>'
            )
    parts.append(f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{lower}" y2="{lower}" stroke="{PALE}"/>')
    return parts

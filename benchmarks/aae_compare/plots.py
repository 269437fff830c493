"""Small drawings as inline SVG: intervals, training curves, latent places."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aae_train.report.page import BLUE, GREY, INK, PALE, svg, svg_text

COLOURS = {
    "reconstruction": BLUE,
    "discriminator": "#c0392b",
    "generator": "#7d3fa6",
    "mmd": "#0f8a7e",
    "kl": "#b9770e",
    "feature": "#7a5230",
}
"""Of losses; others are drawn grey."""

_NOT_LOSSES = {"stage", "step", "phase", "select_score", "discriminator_accuracy", "reconstruction"}
_WIDTH, _HEIGHT = 265, 150


def intervals_svg(rows: Sequence[tuple[str, float, tuple[float, float]]], marked: str) -> str:
    """Draw a figure between 0 and 1 with its interval for each family, one below the other.

    Args:
        rows: Name, figure, ends of its interval.
        marked: Name of the one that is drawn in colour.
    """
    left, right, pitch = 120, 640, 26
    low = min(0.5, math.floor(10 * min(ends[0] for _, _, ends in rows)) / 10)
    bottom = pitch * len(rows) + 8

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (1 - low)

    parts = []
    for tick in np.arange(round(low * 10), 11) / 10:
        dash = ' stroke-dasharray="4 3"' if tick == 0.5 else ""
        colour = GREY if tick == 0.5 else PALE
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{bottom}" stroke="{colour}"{dash}/>')
        parts.append(svg_text(x(tick), bottom + 16, f"{tick:.1f}", "middle", GREY))
    for place, (name, value, ends) in enumerate(rows):
        y, colour = pitch * place + 18, BLUE if name == marked else INK
        parts.append(svg_text(left - 12, y + 4, name, "end", INK, bold=name == marked))
        parts.append(
            f'<line x1="{x(ends[0]):.1f}" x2="{x(ends[1]):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(svg_text(right + 14, y + 4, f"{value:.3f}", "start", INK))
    label = "Image AUROC of each family with its 95 % interval"
    return svg(right + 70, bottom + 24, label, parts)


def curves_svg(history: Sequence[Mapping[str, str]]) -> str:
    """Draw the losses of the model that ships: reconstruction at the left, all others at the right.

    Args:
        history: Rows of `history.csv`, values as text, empty where they do not apply.
    """
    rows = [row for row in history if row["stage"] == "final"]
    names = [name for name in rows[0] if name not in _NOT_LOSSES] if rows else []
    first = {"reconstruction": _series(rows, "reconstruction")}
    others = {name: points for name in names if len(points := _series(rows, name))}
    panels = [_panel(first, 0, "reconstruction, mean absolute difference"), _panel(others, _WIDTH, "other losses")]
    return svg(2 * _WIDTH, _HEIGHT, "Training losses by step", panels)


def latent_svg(prior: NDArray[np.floating] | None, codes: NDArray[np.floating]) -> str:
    """Draw samples of the prior and codes of pictures as points of a plane.

    Args:
        prior: (N, 2), or None where codes are held to nothing.
        codes: (M, 2).
    """
    side, margin = 260, 12
    both = codes if prior is None else np.concatenate([prior, codes])
    middle = (both.max(axis=0) + both.min(axis=0)) / 2
    extent = float(max(np.ptp(both, axis=0).max(), 1e-9))

    def path(points: NDArray[np.floating], colour: str, width: float, opacity: float) -> str:
        at = side / 2 + (points - middle) / extent * (side - 2 * margin) * np.array([1, -1])
        # A line of no length with round ends is a dot, and a path of many is far smaller than as many circles.
        moves = "".join(f"M{px:.0f} {py:.0f}h0" for px, py in at)
        return (
            f'<path d="{moves}" stroke="{colour}" stroke-width="{width}" stroke-linecap="round" '
            f'stroke-opacity="{opacity}" fill="none"/>'
        )

    parts = [f'<rect x="0.5" y="0.5" width="{side - 1}" height="{side - 1}" fill="#fff" stroke="{PALE}"/>']
    if prior is not None:
        parts.append(path(prior, "#9aa5b1", 4, 0.5))
    parts.append(path(codes, BLUE, 4, 0.6))
    return svg(side, side, "Codes of pictures over samples of the prior", parts)


def plane_of(codes: NDArray[np.floating], first_two: bool) -> NDArray[np.float64]:
    """Return the directions (L, 2) that codes are drawn along.

    Args:
        codes: (N, L) numbers of places.
        first_two: Take the first two numbers, as priors with a shape in them ask for, not the principal components.
    """
    numbers = codes.shape[1]
    if first_two or numbers < 3:
        return np.eye(numbers, 2)
    _, _, directions = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    return np.asarray(directions[:2].T, np.float64)


def _series(rows: Sequence[Mapping[str, str]], name: str) -> NDArray[np.float64]:
    """Return (n, 2) steps and values."""
    found = [(float(row["step"]), float(row[name])) for row in rows if row.get(name)]
    return np.array([point for point in found if math.isfinite(point[1])]).reshape(-1, 2)


def _panel(series: Mapping[str, NDArray[np.float64]], origin: int, title: str) -> str:
    left, right, upper, lower = origin + 42, origin + _WIDTH - 8, 34, _HEIGHT - 22
    parts = [svg_text(left, 13, title, "start", INK)]
    kept = {name: points for name, points in series.items() if len(points)}
    if not kept:
        return "".join([*parts, svg_text(left, 60, "none", "start", GREY)])
    every = np.concatenate(list(kept.values()))
    steps = (float(every[:, 0].min()), float(every[:, 0].max()))
    low, high = min(0.0, float(every[:, 1].min())), float(every[:, 1].max())
    scale = (max(steps[1] - steps[0], 1.0), max(high - low, 1e-12))
    for value, y in ((high, upper), (low, lower)):
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="{PALE}"/>')
        parts.append(svg_text(left - 6, y + 4, f"{value:.3g}", "end", GREY))
    parts.append(svg_text(left, lower + 16, f"step {steps[0]:.0f}", "start", GREY))
    parts.append(svg_text(right, lower + 16, f"{steps[1]:.0f}", "end", GREY))
    at = left
    for name, points in kept.items():
        colour = COLOURS.get(name, GREY)
        xs = left + (points[:, 0] - steps[0]) / scale[0] * (right - left)
        ys = lower - (points[:, 1] - low) / scale[1] * (lower - upper)
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        if len(points) == 1:
            parts.append(f'<circle cx="{xs[0]:.1f}" cy="{ys[0]:.1f}" r="3" fill="{colour}"/>')
        if name != "reconstruction":
            parts.append(svg_text(at, 28, name, "start", colour))
            at += 6 * len(name) + 9
    return "".join(parts)

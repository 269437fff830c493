"""One sentence: which family to ship, or that the figures do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aae_compare.comparison import Row
from aae_compare.pooled import METHOD, Draws, interval
from aae_compare.summary import summarise

NO_DIFFERENCE = "no clear difference"
NO_USE = "none"
_WORTH_NAMING = 1.25
"""Costs that differ by less than this factor are not told apart."""


@dataclass(frozen=True)
class Recommendation:
    """What the figures say."""

    verdict: str
    """Name of a family, `no clear difference`, or `none` where no family does better than guessing."""

    sentence: str
    best: str
    runner_up: str | None
    difference: float | None
    """Image AUROC of the best minus that of the runner-up."""

    difference_ci95: tuple[float, float] | None
    as_good: tuple[str, ...]
    """Families whose difference from the best has an interval that reaches 0, the best among them, best first."""


def conclude(rows: Sequence[Row], latencies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what follows from the rows, for `compare.json`: `families`, `recommendation` and `method`.

    Args:
        rows: At least one.
        latencies: From `latency.measure_latencies`, by family.
    """
    families, draws = summarise(rows)
    for family in families:
        family["cost"] |= latencies[family["name"]]
    found = recommend(families, draws, rows[0]["figures_from"])
    return {"families": families, "recommendation": asdict(found), "method": METHOD}


def recommend(families: Sequence[Mapping[str, Any]], draws: Mapping[str, Draws], figures_from: str) -> Recommendation:
    """Choose by image AUROC, if the difference from the runner-up is clear.

    Args:
        families: From `summarise`: `name`, `detection` and `cost` are looked at.
        draws: Of the image AUROC, by family, from the same bootstrap.
        figures_from: `labels` or `synthetic defects`.
    """
    ranked = sorted(families, key=lambda family: -family["detection"]["image_auroc"])
    best = ranked[0]
    name, auroc = best["name"], best["detection"]["image_auroc"]
    as_good = [best, *(other for other in ranked[1:] if interval(draws[name] - draws[other["name"]])[0] <= 0)]
    names = tuple(family["name"] for family in as_good)
    on = "labelled test pictures" if figures_from == "labels" else "drawn defects, which real ones need not resemble"
    # The next in rank may be clearly behind where one further down is not: few pictures make wide intervals.
    rival = as_good[1] if len(as_good) > 1 else ranked[1] if len(ranked) > 1 else None
    difference, ends, rival_name = None, None, None
    if rival is not None:
        rival_name = str(rival["name"])
        difference = auroc - rival["detection"]["image_auroc"]
        ends = interval(draws[name] - draws[rival_name])
    low, high = best["detection"]["image_auroc_ci95"]
    verdict = name
    if low <= 0.5:
        verdict = NO_USE
        sentence = (
            f"No recommendation: even the best family, {name}, does not clearly find more than guessing (image AUROC "
            f"{auroc:.3f}, 95 % interval {low:.3f} to {high:.3f}, on {on}); train longer, and look at the pictures."
        )
    elif rival is None or ends is None:
        sentence = f"Only {name} was measured, so there is nothing to choose from (image AUROC {auroc:.3f} on {on})."
    else:
        other = f"{rival_name} ({rival['detection']['image_auroc']:.3f})"
        figures = f"by {difference:.3f} on {on} (95 % interval {ends[0]:.3f} to {ends[1]:.3f}, paired by picture)"
        if len(as_good) == 1:
            sentence = f"Ship {name}: its image AUROC of {auroc:.3f} beats that of the runner-up, {other}, {figures}."
        else:
            verdict = NO_DIFFERENCE
            sentence = f"No clear difference: {name} ({auroc:.3f} image AUROC) and {other} differ {figures}"
            if len(names) > 2:
                sentence += f", and {_listed(names[2:])} {'is' if len(names) == 3 else 'are'} not clearly behind either"
            sentence += f"; {_say_what_else_differs(as_good)}."
    return Recommendation(verdict, sentence, name, rival_name, difference, ends, names)


def _say_what_else_differs(families: Sequence[Mapping[str, Any]]) -> str:
    """Name, among families that find as much, the one that costs least, where the costs differ."""
    costs_of = {family["name"]: family["cost"] for family in families}
    found = []
    for what, unit, costs in (
        ("is the fastest", "ms a frame", {name: cost["latency_ms"]["p50"] for name, cost in costs_of.items()}),
        ("has the smallest file", "MB", {name: cost["detector_bytes"] / 1e6 for name, cost in costs_of.items()}),
        ("trains fastest", "s", {name: cost["training_seconds"] for name, cost in costs_of.items()}),
    ):
        least, most = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
        if costs[most] > _WORTH_NAMING * costs[least]:
            found.append(f"{least} {what} ({costs[least]:.3g} {unit}; {most}: {costs[most]:.3g} {unit})")
    return f"of these, {_listed(found)}" if found else "their speed, file size and training time hardly differ either"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"

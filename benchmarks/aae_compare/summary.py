"""The rows of a family as one line of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aae_compare.comparison import Row, first_rows
from aae_compare.evidence import WHAT
from aae_compare.pooled import FIGURES, Draws, Scored, draw_figures, interval, mean_figure

_PIXEL_FIGURES = ("pixel_auroc", "pixel_ap", "aupro_30", "aupro_05")


def scored_runs(rows: Sequence[Row], kind: str = "residual") -> dict[str, list[Scored]]:
    """Return the scores of one kind of evidence by family; families without it are left out."""
    families: dict[str, list[Scored]] = {}
    for row in rows:
        if kind in row["scores"]:
            # Drawn defects lie on the pictures that a seed holds back; labelled pictures are the same for every seed.
            test_set = "labels" if row["figures_from"] == "labels" else f"seed {row['seed']}"
            labels = np.array(row["scores"]["defective"], np.bool_)
            scores = np.array(row["scores"][kind], np.float64)
            run = Scored(row["seed"], test_set, labels, scores, row["detection"]["threshold"])
            families.setdefault(row["name"], []).append(run)
    return families


def summarise(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], dict[str, Draws]]:
    """Bring the rows of each family together.

    Returns:
        A summary for each family, with the keys of a row where they have a mean; and the
        draws of the image AUROC by family, for comparing them.
    """
    runs = scored_runs(rows)
    draws = {name: draw_figures(runs, name) for name in FIGURES}
    evidence_draws = {kind: draw_figures(found, "image_auroc") for kind in WHAT if (found := scored_runs(rows, kind))}
    families = []
    for family in (row["name"] for row in first_rows(rows)):
        own = [row for row in rows if row["name"] == family]
        detection: dict[str, Any] = {}
        for name in FIGURES:
            known = own[0]["detection"][name] is not None  # what a row leaves out has no meaning here either
            detection[name] = mean_figure(runs[family], name) if known else None
            detection[f"{name}_ci95"] = list(interval(draws[name][family])) if known else [None, None]
        detection |= {name: _mean([row["detection"][name] for row in own]) for name in _PIXEL_FIGURES}
        families.append(
            {
                "name": family,
                "model": own[0]["model"],
                "encoder": own[0]["encoder"],
                "seeds": sorted(row["seed"] for row in own),
                "detection": detection,
                "evidence": {
                    kind: {
                        "image_auroc": mean_figure(scored_runs(own, kind)[family], "image_auroc"),
                        "image_auroc_ci95": list(interval(found[family])),
                    }
                    for kind, found in evidence_draws.items()
                    if family in found
                },
                "samples": _mean([row["samples"] for row in own]),
                "latent": _mean([row["latent"] for row in own]),
                "cost": _mean([row["cost"] for row in own]),
                "warnings": list(dict.fromkeys(text for row in own for text in row["warnings"])),
            }
        )
    return families, draws["image_auroc"]


def _mean(values: Sequence[Any]) -> Any:
    """Average numbers leaf by leaf; None where one is missing, the first where they are no numbers."""
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _mean([value[key] for value in values]) for key in first}
    if any(value is None for value in values):
        return None
    if isinstance(first, bool) or not isinstance(first, int | float):
        return first
    if all(value == first for value in values):
        return first
    return float(np.mean(values))

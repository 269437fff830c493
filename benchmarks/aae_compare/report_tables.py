"""The tables of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from aae_compare.evidence import WHAT
from aae_train.report.page import duration, table

Family = Mapping[str, Any]


def families_table(families: Sequence[Family], best: str) -> str:
    """A line for each family: what it finds, how well it draws, how its codes fit, and what it costs."""
    heads = [
        ("", [("family", "")]),
        (
            "finds",
            [
                ("image AUROC", "1 is perfect, 0.5 is guessing"),
                ("image AP", "average precision; 1 is perfect"),
                ("pixel AUROC", "1 is perfect, 0.5 is guessing"),
                ("AUPRO", "overlap with each defect, up to 30 % false positive pixels; 1 is perfect"),
                ("recall", "share of defective parts above the model's own threshold"),
                ("false rejects", "share of good parts above the model's own threshold"),
            ],
        ),
        (
            "samples",
            [
                ("told apart", "nearest-neighbour test of samples against real pictures; 0.5 where they are alike"),
                ("diversity", "how samples differ from each other, relative to real pictures"),
                ("detail", "fine detail of samples, relative to real pictures"),
                ("MMD²", "on small pictures, with its standard error; 0 where alike"),
            ],
        ),
        (
            "codes",
            [
                ("told from prior", "nearest-neighbour test of codes against the prior; 0.5 where they match"),
                ("mean, std", "0 and 1 where they match"),
            ],
        ),
        (
            "costs",
            [
                ("size", "of detector.onnx, and the parameters of encoder and decoder"),
                ("frame p50, p95", "a frame from camera to verdict"),
                ("training", "of all models of a run"),
            ],
        ),
    ]
    groups = "".join(f'<th colspan="{len(columns)}" class="group">{escape(title)}</th>' for title, columns in heads)
    titles = "".join(
        f'<th class="{"first" if place == 0 else ""}" title="{escape(what)}">{escape(name)}</th>'
        for _, columns in heads
        for place, (name, what) in enumerate(columns)
    )
    lines = "".join(_family_line(family, family["name"] == best) for family in families)
    return table(f"<tr>{groups}</tr><tr>{titles}</tr>", lines, "families")


def _family_line(family: Family, best: bool) -> str:
    found, samples, latent, cost = (family[key] for key in ("detection", "samples", "latent", "cost"))
    seeds = len(family["seeds"])
    models = f"{seeds} &times; " if seeds > 1 else ""
    cells = [
        _with_interval(found, "image_auroc"),
        _with_interval(found, "image_ap"),
        _number(found["pixel_auroc"]),
        _number(found["aupro_30"]),
        _with_interval(found, "recall_at_threshold", percent=True),
        _with_interval(found, "false_reject_rate", percent=True),
        _number(samples["neighbour_accuracy"], 2),
        _number(samples["diversity_ratio"], 2),
        _number(samples["detail_ratio"], 2),
        f"{_number(samples['mmd2'])}<small>&plusmn; {_number(samples['mmd2_standard_error'])}</small>",
        _number(latent["neighbour_accuracy"], 2),
        f"{_number(latent['mean'], 2)}<small>{_number(latent['standard_deviation'], 2)}</small>",
        f"{cost['detector_bytes'] / 1e6:.1f} MB<small>{cost['parameters'] / 1e6:.2f} M</small>",
        f"{cost['latency_ms']['p50']:.1f} ms<small>{cost['latency_ms']['p95']:.1f} ms</small>",
        f"{models}{duration(cost['training_seconds'])}",
    ]
    firsts = {0, 6, 10, 12}
    row = "".join(f'<td class="{"first" if place in firsts else ""}">{cell}</td>' for place, cell in enumerate(cells))
    return f'<tr class="{"best" if best else ""}"><th scope="row">{escape(family["name"])}</th>{row}</tr>'


def evidence_table(families: Sequence[Family]) -> str:
    """A line for each kind of evidence, a column for each family: image AUROC of that evidence alone."""
    titles = "".join(f"<th>{escape(family['name'])}</th>" for family in families)
    lines = []
    for kind, what in WHAT.items():
        if not any(kind in family["evidence"] for family in families):
            continue
        found = [family["evidence"].get(kind) for family in families]
        cells = "".join(f"<td>{_with_interval(f, 'image_auroc') if f else '&ndash;'}</td>" for f in found)
        lines.append(f'<tr><th scope="row">{escape(kind)}<small>{escape(what)}</small></th>{cells}</tr>')
    return table(f"<tr><th></th>{titles}</tr>", "".join(lines), "evidence")


def kinds_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each kind of defect, a column for each family of one seed: image AUROC against all good pictures."""
    titles = "".join(f"<th>{escape(row['name'])}</th>" for row in rows)
    lines = []
    for place, kind in enumerate(rows[0]["detection"]["kinds"]):
        cells = "".join(f"<td>{_number(row['detection']['kinds'][place]['image_auroc'])}</td>" for row in rows)
        count = f"<small>{kind['pictures']} pictures</small>"
        lines.append(f'<tr><th scope="row">{escape(kind["kind"])}{count}</th>{cells}</tr>')
    return table(f"<tr><th></th>{titles}</tr>", "".join(lines), "kinds")


def _with_interval(figures: Mapping[str, Any], name: str, percent: bool = False) -> str:
    low, high = figures[f"{name}_ci95"]
    if figures[name] is None:
        return "&ndash;"
    if percent:
        return f"{figures[name]:.0%}<small>{100 * low:.0f}&ndash;{100 * high:.0f} %</small>"
    return f"{_number(figures[name])}<small>{_number(low, 2)}&ndash;{_number(high, 2)}</small>"


def _number(value: float | None, digits: int = 3) -> str:
    return "&ndash;" if value is None or value != value else f"{value:.{digits}f}".replace("-", "&minus;")

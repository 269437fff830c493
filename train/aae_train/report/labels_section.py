"""The part of the report about labelled test pictures."""

from __future__ import annotations

import math

from aae_detect.bench import metrics
from aae_train.report.labelled import (
    MOST_PER_KIND,
    Judged,
    Labelled,
    choose_to_show,
    kinds_of,
    show_labelled,
)
from aae_train.report.measure import Examined
from aae_train.report.opinion import count_labelled
from aae_train.report.page import note, table, text
from aae_train.report.tiles import tiles

_TITLE = "<h2>Test pictures with labels</h2>"
_MOST_SHOWN = 16
_MOST_NAMED = 20


def labels_section(labelled: Labelled, examined: Examined) -> list[str]:
    """Return figures, a line for each picture, and the most telling pictures; why, where there are none."""
    if not labelled.judged:
        why = f"No labelled test pictures: {labelled.why_not}. In a folder in MVTec AD layout (train/good, test/good, "
        return [_TITLE, note(f"{why}test/DEFECT) they are judged here.{_left_out(labelled)}")]
    threshold = examined.calibrated.threshold.value
    wrong = sum(item.is_wrong(threshold) for item in labelled.judged)
    chosen = choose_to_show(labelled.judged, threshold, _MOST_SHOWN)
    shown = [show_labelled(item, examined.config, examined.calibrated.detect) for item in chosen]
    which = "the wrong verdicts first, then the closest calls" if wrong else "no verdict is wrong; the closest calls"
    return [
        _TITLE,
        "<p><strong>Labels; nothing was chosen with them.</strong> Neither the training, nor the choice of the "
        "checkpoint, nor the threshold has seen these pictures.</p>",
        note(
            f"Up to {MOST_PER_KIND} pictures of each kind, at the threshold that the model sets itself; "
            f"aae-bench accuracy measures all, with intervals and pixel figures.{_left_out(labelled)}"
        ),
        _figures(labelled, threshold),
        f"<h3>Most telling: {which}</h3>",
        tiles(shown, threshold),
        f"<h3>All {len(labelled.judged)}, highest score first; {wrong} wrong</h3>",
        _rows(labelled, threshold),
    ]


def _figures(labelled: Labelled, threshold: float) -> str:
    """Return figures of the whole set, and how many are found of each kind."""
    found, defective, rejected, good = count_labelled(labelled, threshold)
    lines = [
        ("defective pictures found", f"{found} of {defective}", f"{found / defective:.1%}"),
        ("good pictures rejected", f"{rejected} of {good}", f"{rejected / good:.1%}"),
    ]
    if all(math.isfinite(item.score) for item in labelled.judged):
        labels, scores = labelled.labels, labelled.scores
        lines += [
            ("image AUROC", "1 is perfect, 0.5 is guessing", f"{metrics.auroc(labels, scores):.3f}"),
            ("average precision", "1 is perfect", f"{metrics.average_precision(labels, scores):.3f}"),
        ]
    for kind, items in kinds_of(labelled.judged):
        if items[0].picture.defective:
            hits = sum(item.score > threshold for item in items)
            lines.append((f"found of {kind}", f"{hits} of {len(items)}", f"{hits / len(items):.0%}"))
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(what)}</td><td>{text(value)}</td></tr>'
        for name, what, value in lines
    )
    return table("", body, "found")


def _rows(labelled: Labelled, threshold: float) -> str:
    head = '<tr><th>kind</th><th>picture</th><th class="number">score</th><th>verdict</th><th></th></tr>'
    body = "".join(_row(item, threshold) for item in labelled.judged)
    return f'<div class="labels">{table(head, body, "rows")}</div>'


def _row(item: Judged, threshold: float) -> str:
    wrong = item.is_wrong(threshold)
    verdict = "NG" if item.score > threshold else "OK" if item.score <= threshold else "UNKNOWN"
    mark = ("missed" if item.picture.defective else "rejected") if wrong else ""
    return ('<tr class="wrong">' if wrong else "<tr>") + (
        f'<td>{text(item.picture.kind)}</td><td class="name">{text(item.picture.path.name)}</td>'
        f'<td class="number">{item.score:.4g}</td><td>{verdict}</td><td class="ng">{mark}</td></tr>'
    )


def _left_out(labelled: Labelled) -> str:
    if not labelled.unreadable:
        return ""
    names = ", ".join(labelled.unreadable[:_MOST_NAMED])
    more = len(labelled.unreadable) - _MOST_NAMED
    return f" Left out, because they cannot be read: {names}{f' and {more} more' if more > 0 else ''}."

"""DIR/compare.html: everything on one page, in one file, without a network."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from aae_compare.comparison import Comparison, Row, first_rows
from aae_compare.exported import Exported
from aae_compare.pictures import HeldBack
from aae_compare.plots import curves_svg, intervals_svg
from aae_compare.recommend import NO_DIFFERENCE, NO_USE
from aae_compare.report_pictures import (
    Seen,
    choose_parts,
    draw_latent,
    draw_part,
    draw_real,
    draw_samples,
    look_at_parts,
)
from aae_compare.report_tables import evidence_table, families_table, kinds_table
from aae_compare.style import CSS
from aae_detect.bench.dataset import LabelledPicture
from aae_detect.detector import Detector
from aae_detect.whole_file import write_whole
from aae_train.report.page import facts, image, note, page, warnings_box

FILE = "compare.html"


def write_report(document: Mapping[str, Any], comparison: Comparison) -> Path:
    """Write the report of a finished table.

    Args:
        document: As `compare.json` holds it, with `families` and `recommendation`.
        comparison: What its rows share.

    Returns:
        The file.
    """
    # The first seed that a family has stands for it in the pictures; families then mostly share their test pictures.
    rows = first_rows(document["rows"])
    best = document["recommendation"]["verdict"]
    body = [
        _header(document, rows),
        _recommendation(document),
        _warnings(document["rows"]),
        "<h2>Family by family</h2>",
        families_table(document["families"], best),
        _notes(document, rows[0]),
        "<h2>Kinds of evidence, each alone</h2>",
        "<p class='note'>Image AUROC of each kind by itself. Detection uses the residual; the others say what a "
        "family would offer beside it.</p>",
        evidence_table(document["families"]),
        *_kinds(rows),
        *_parts_and_cards(rows, comparison),
        f"<h2>How this was measured</h2><p class='note'>{escape(document['method'])}</p>",
        f"<p class='note'>Again: <code>{escape(document['command'])}</code></p>",
    ]
    title = f"Families compared on {document['settings']['data']}"
    path = comparison.out / FILE
    write_whole(path, page(title, CSS, body))
    return path


def _header(document: Mapping[str, Any], rows: Sequence[Row]) -> str:
    settings, machine, first = document["settings"], document["machine"], rows[0]
    counts, used = first["detection"]["counts"], first["training"]["pictures"]
    height, width = settings["input_hw"]
    tested = "by their labels" if first["figures_from"] == "labels" else "defects drawn on the good ones"
    if used["folds"]:
        learned = f"{used['train']} good pictures, all of them; {len(used['folds'])}-fold cross-fit for the threshold"
    else:
        learned = (
            f"{used['train']} good pictures; {used['select']} more chose the checkpoint, {used['calibrate']} more "
        )
        learned += "set the threshold"
    budget = f"{settings['steps']} steps" if settings["steps"] is not None else f"{settings['minutes']:g} minutes"
    seeds = max(len(family["seeds"]) for family in document["families"])
    threads = {0: "one thread per core", 1: "1 thread"}.get(settings["threads"], f"{settings['threads']} threads")
    gpus = f", {', '.join(machine['gpus'])}" if machine["gpus"] else ""
    listed = {
        "learned from": learned,
        "tested on": f"{counts['good']} good and {counts['defective']} defective pictures ({tested})",
        "budget": f"{budget} each, batch {settings['batch_size']}, {height}x{width} pixels, {settings['prior']} prior, "
        f"{seeds} seed{'s' * (seeds > 1)}, trained on {first['training']['device']}",
        "machine": f"{machine['cpu']}, {machine['cores_usable']} of {machine['cores']} cores{gpus}; ONNX Runtime "
        f"{document['versions'].get('onnxruntime', '')} with {threads}",
        "date": first["date"][:10],
    }
    return f"<header><h1>Families compared on {escape(settings['data'])}</h1>{facts(listed)}</header>"


def _recommendation(document: Mapping[str, Any]) -> str:
    found, families = document["recommendation"], document["families"]
    is_open = found["verdict"] in (NO_DIFFERENCE, NO_USE)
    ranked = sorted(families, key=lambda family: -family["detection"]["image_auroc"])
    figures = [(f["name"], f["detection"]["image_auroc"], tuple(f["detection"]["image_auroc_ci95"])) for f in ranked]
    return (
        f'<section class="verdict{" open" if is_open else ""}"><p>{escape(found["sentence"])}</p></section>'
        f'<figure class="intervals">{intervals_svg(figures, found["verdict"])}'
        "<figcaption>Image AUROC with its 95 % interval; 0.5 is guessing. Families are compared with each other "
        "picture by picture, which tells more than whether these intervals overlap.</figcaption></figure>"
    )


def _warnings(rows: Sequence[Row]) -> str:
    """List what went wrong; runs that say the same share a line, and what all say is about the pictures."""
    models = {row["name"] for row in rows}
    found: dict[str, list[Row]] = {}
    texts: dict[str, str] = {}
    for row in rows:
        for text in row["warnings"]:
            # The figures in a warning differ from run to run; what it is about stands before the colon.
            found.setdefault(text.partition(":")[0], []).append(row)
            texts.setdefault(text.partition(":")[0], text)
    lines = []
    for subject, own in found.items():
        named = ["all"] if {row["name"] for row in own} == models and len(models) > 1 else _name_runs(own, rows)
        lines.append(f"<b>{escape(', '.join(named))}</b>: {escape(texts[subject])}")
    return warnings_box("Training gave warnings", lines)


def _name_runs(own: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """Name models, and how many of their runs, where not all."""
    counts = {name: sum(row["name"] == name for row in own) for name in dict.fromkeys(row["name"] for row in own)}
    every = {name: sum(row["name"] == name for row in rows) for name in counts}
    return [
        name if counts[name] == every[name] else f"{name} ({counts[name]} of {every[name]} runs)" for name in counts
    ]


def _notes(document: Mapping[str, Any], first: Row) -> str:
    cost = document["families"][0]["cost"]
    texts = [
        f"Figures are from {first['figures_from']}. Small print below a figure is its 95 % interval, standard error, "
        f"or second value. Samples are compared with {first['samples']['count']} {first['samples']['against']}. Times "
        f"are of a {cost['frame']} frame from camera to verdict by {cost['provider']}.",
        "Told apart: how often a nearest-neighbour test is right, 0.5 where two kinds of things are alike and 1 where "
        "they are apart. Diversity and detail: relative to real pictures. AUPRO: up to 30 % false positive pixels. "
        "Size: of detector.onnx, with its parameters. Recall and false rejects: at the threshold that the model sets "
        "itself, from good pictures only.",
    ]
    if first["notes"]:
        texts.append(f"Mind: {'; '.join(first['notes'])}.")
    return "".join(note(text) for text in texts)


def _kinds(rows: Sequence[Row]) -> list[str]:
    if len(rows[0]["detection"]["kinds"]) < 2:
        return []
    note = "<p class='note'>Image AUROC of each kind against all good pictures, one run of each family.</p>"
    return ["<h2>Kinds of defect</h2>", note, kinds_table(rows)]


def _parts_and_cards(rows: Sequence[Row], comparison: Comparison) -> list[str]:
    """Draw what needs the models: each is loaded once."""
    held_back = comparison.held_back(rows[0]["name"], rows[0]["seed"])
    parts = choose_parts(comparison.test_set(rows[0]["name"], rows[0]["seed"])[0])
    seen: dict[str, list[Seen]] = {}
    cards: list[str] = []
    real = ""
    provider, threads = comparison.provider, comparison.settings.threads
    for row in rows:
        export = comparison.export_folder(row)
        exported = Exported(export, provider, threads)
        seen[row["name"]] = look_at_parts(Detector.load(export / "detector.onnx", provider, threads), parts)
        real = real or draw_real(exported, held_back)
        latent, axes = draw_latent(exported, held_back)
        cards.append(_card(row, draw_samples(exported), latent, axes, export.parent / "history.csv"))
    return [
        "<h2>The same parts through every family</h2>",
        "<p class='note'>Above, what the family draws; below, its map, in which the hottest colour is twice its own "
        "threshold and what lies above the threshold is outlined in white. The parts were drawn by lot before any "
        "family saw them; the defect is outlined where a mask says where it is.</p>",
        *(_part(part, place, seen) for place, part in enumerate(parts)),
        "<h2>What each family has learned</h2>",
        f"<div class='cards'>{_real_card(real, held_back)}{''.join(cards)}</div>",
    ]


def _part(part: LabelledPicture, place: int, seen: Mapping[str, Sequence[Seen]]) -> str:
    name = f"{part.kind}/{part.path.name}"
    heads = "".join(f'<div class="head">{escape(family)}</div>' for family in seen)
    drawings = "".join(image(own[place].reconstruction, f"{family}: reconstruction") for family, own in seen.items())
    maps = "".join(
        f"<figure>{image(own[place].heat, f'{family}: map')}<figcaption>{_judged(own[place])}</figcaption></figure>"
        for family, own in seen.items()
    )
    return (
        f'<div class="parts" style="grid-template-columns: repeat({len(seen) + 1}, minmax(0, 200px))">'
        f'<div class="head">picture</div>{heads}{image(draw_part(part), "picture")}{drawings}'
        f"<figcaption>{escape(name)}</figcaption>{maps}</div>"
    )


def _judged(seen: Seen) -> str:
    right = "ng" if seen.verdict == "NG" else "ok"
    return f'<span class="{right}">{seen.verdict}</span> {seen.score:.3g}, limit {seen.threshold:.3g}'


def _real_card(sheet: str, held_back: HeldBack) -> str:
    return (
        f'<section class="card"><h3>real pictures</h3><div class="two"><figure>{image(sheet, "real pictures")}'
        f"<figcaption>{escape(held_back.what)}, to hold the samples against</figcaption></figure>"
        "<p class='note'>Samples are what a family draws from the prior alone: what it believes a good part looks "
        "like. Blue dots are codes of good pictures, one for each place of a code; grey ones are samples of the "
        "prior that the codes should cover, and no more than cover.</p></div></section>"
    )


def _card(row: Row, samples: str, latent: str, axes: str, history: Path) -> str:
    with history.open(newline="", encoding="utf-8") as file:
        curves = curves_svg(list(csv.DictReader(file)))
    held = "" if row["latent"]["neighbour_accuracy"] is not None else "; this family's codes are held to no prior"
    return (
        f'<section class="card"><h3>{escape(row["name"])}, seed {row["seed"]}</h3><div class="two">'
        f"<figure>{image(samples, 'samples')}<figcaption>samples</figcaption></figure>"
        f"<figure>{latent}<figcaption>codes over the prior: {escape(axes + held)}</figcaption></figure></div>"
        f"<figure>{curves}</figure></section>"
    )

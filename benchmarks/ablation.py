"""What each part of the default recipe brings: trains without it, and measures like `accuracy.py`.

usage: python benchmarks/ablation.py --data ROOT --sets a,b,c --minutes 5 --work DIR --json FILE --table FILE.md

Everything that is left out is left out by replacing one function of the trainer, for this process only. A row per set
and variant is written as soon as it is finished, and rows that FILE holds already are kept.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import torch
from torch import Tensor

from aae_detect.bench.cli import main as bench
from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.bench.report import to_json
from aae_detect.golden import decode_golden
from aae_detect.whole_file import write_whole
from aae_export import export as export_step
from aae_export.cli import main as export
from aae_train import defect_fills, defect_shapes, run_folder, stage_pictures
from aae_train.changes import ANY_CAMERA
from aae_train.cli import main as train
from aae_train.descriptors import CHANNELS
from aae_train.golden_answer import make_golden
from aae_train.head_judge import SUREST, HeadJudge

Patches = Callable[[], Iterator[Any]]

LACKING, WHOLE = slice(CHANNELS, 2 * CHANNELS), slice(2 * CHANNELS, None)
"""Of the deviations that `HeadJudge.compare` gives: from the drawing, and those of whole pictures."""

_FIGURES = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro_30")


@dataclass(frozen=True)
class Variant:
    """The recipe less one part."""

    name: str
    patches: Patches
    options: tuple[str, ...] = ()
    """Of `aae-train`."""
    trained_as: str | None = None
    """Another variant whose training serves: only what is done with it differs."""


def _nothing() -> Iterator[Any]:
    yield from ()


def _judging_otherwise() -> Iterator[Any]:
    """Let a finished run be exported by another detector than it was trained for, which would be refused."""
    read = run_folder.read_trained

    def read_changed(run: Path) -> run_folder.TrainedModel:
        with patch.object(run_folder, "require_golden", lambda *_: None):
            trained = read(run)
        picture = decode_golden(trained.golden.picture_png_base64, trained.config.input_hw)
        return replace(trained, golden=make_golden(trained.detector, picture))

    yield patch.object(export_step, "read_trained", read_changed)


def _places_alone() -> Iterator[Any]:
    yield from _judging_otherwise()
    yield patch.object(HeadJudge, "combine", lambda _, standardised: standardised.clamp_min(SUREST)[:, 0])


def _head_alone() -> Iterator[Any]:
    yield from _judging_otherwise()
    yield patch.object(HeadJudge, "combine", lambda _, standardised: standardised.clamp_min(SUREST)[:, 1])


def _no_drawing() -> Iterator[Any]:
    """Let the head see the picture, and how far it lies from what is usual."""
    yield _compared(lambda drawn, deviations: (torch.zeros_like(drawn), _without(deviations, LACKING)))


def _no_deviations() -> Iterator[Any]:
    """Let the head see picture and drawing only."""
    yield _compared(lambda drawn, deviations: (drawn, torch.zeros_like(deviations)))


def _no_whole_pictures() -> Iterator[Any]:
    yield _compared(lambda drawn, deviations: (drawn, _without(deviations, WHOLE)))


def _no_other_groups() -> Iterator[Any]:
    """Tell the head of a training picture what all pictures call usual, itself among them."""
    compare = HeadJudge.compare
    yield patch.object(HeadJudge, "compare", lambda judge, picture, drawn, _=(): compare(judge, picture, drawn))


def _compared(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Any:
    """Change what a head is given of drawing and deviations."""
    compare = HeadJudge.compare

    def changed(judge: HeadJudge, picture: Tensor, drawn: Tensor, groups: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
        drawn, seen, deviations = compare(judge, picture, drawn, groups)
        drawn, deviations = change(drawn, deviations)
        return drawn, seen, deviations

    return patch.object(HeadJudge, "compare", changed)


def _without(deviations: Tensor, channels: slice) -> Tensor:
    left = deviations.clone()
    left[:, channels] = 0.0
    return left


def _no_learned_changes() -> Iterator[Any]:
    yield patch.object(stage_pictures, "learn_changes", lambda _: ANY_CAMERA)


def _fewer_kinds() -> Iterator[Any]:
    for kinds, dropped in ((defect_fills.FILLS, ("erased", "warped")), (defect_shapes.SHAPES, ("crack",))):
        kept = {name: kind for name, kind in kinds.items() if name not in dropped}
        yield patch.dict(kinds, kept, clear=True)


VARIANTS = (
    Variant("default", _nothing),
    Variant("places alone", _places_alone, trained_as="default"),
    Variant("head alone", _head_alone, trained_as="default"),
    Variant("head does not see the drawing", _no_drawing),
    Variant("head does not see the deviations", _no_deviations),
    Variant("head does not see whole pictures", _no_whole_pictures),
    Variant("head is told what its own picture calls usual", _no_other_groups),
    Variant("changes not learned from the good pictures", _no_learned_changes),
    Variant("no cracks, erased or warped places", _fewer_kinds),
    Variant("first weights by chance (--start scratch)", _nothing, ("--start", "scratch")),
    Variant("difference of picture and drawing (--head none)", _nothing, ("--head", "none")),
)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA", required=True)
@click.option("--sets", "set_names", default="cookies,aitex_f02,crackforest_tiles", show_default=True)
@click.option("--minutes", type=float, default=5.0, show_default=True, help="Training time per run.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/ablation"), show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), required=True, help="File of rows, added to.")
@click.option("--table", type=click.Path(path_type=Path), required=True, help="The same, to read.")
def main(data: Path, set_names: str, minutes: float, work: Path, target: Path, table: Path) -> None:
    """Measure the default recipe less one part at a time."""
    names = set_names.split(",")
    command = f"python benchmarks/ablation.py --sets {set_names} --minutes {minutes:g} --json FILE --table FILE.md"
    rows: list[dict[str, Any]] = json.loads(target.read_text())["rows"] if target.is_file() else []
    for variant in VARIANTS:
        for name in names:
            if any((row["variant"], row["set"], row["minutes"]) == (variant.name, name, minutes) for row in rows):
                continue
            figures = _measure(variant, data / name, minutes, work / f"{name}-{minutes:g}")
            rows.append({"variant": variant.name, "set": name, "minutes": minutes, **figures})
            document = {
                "command": command,
                "date": time.strftime("%Y-%m-%d"),
                "machine": describe_machine(),
                "versions": list_versions(),
                "rows": rows,
            }
            write_whole(target, to_json(document))
            write_whole(table, _to_table(rows, names, document))
            click.echo(f"{variant.name:48s} {name:20s} image AUROC {figures['image_auroc']:.3f}")


def _measure(variant: Variant, data: Path, minutes: float, work: Path) -> dict[str, Any]:
    """Train, unless that was done, export and measure, all with the variant's functions."""
    run = work / (variant.trained_as or variant.name).replace(" ", "-")
    out = work / (variant.name.replace(" ", "-") + "-export")
    with _applied(variant):
        if not (run / "model.safetensors").is_file():
            resume = ("--resume",) if (run / "config.json").is_file() else ()
            _call(train, data, "--out", run, "--minutes", minutes, *variant.options, *resume)
        _call(export, run, "--out", out)
    _call(bench, "accuracy", out / "detector.onnx", data, "--json", out / "accuracy.json", "--threads", 2)
    measured: dict[str, Any] = json.loads((out / "accuracy.json").read_text())
    steps = json.loads((run / "metrics.json").read_text())["steps"]
    return {**{key: measured[key] for key in (*_FIGURES, "image_auroc_ci95")}, "steps": steps}


@contextmanager
def _applied(variant: Variant) -> Iterator[None]:
    with ExitStack() as stack:
        for change in variant.patches():
            stack.enter_context(change)
        yield


def _call(command: click.Command, *arguments: object) -> None:
    """Run a command of ours in this process, with what is replaced in it.

    Raises:
        SystemExit: it ended with a code.
    """
    try:
        command.main([str(argument) for argument in arguments], standalone_mode=False)
    except SystemExit as end:  # some end so when all is well, too
        if end.code:
            raise


def _to_table(rows: list[dict[str, Any]], names: list[str], document: dict[str, Any]) -> str:
    """Write what each variant reaches: image AUROC and pixel AP, in percent."""
    lines = [
        "# What each part brings",
        "",
        f"`{document['command']}`, {document['date']}, {document['machine']['cpu']}.",
        "Image AUROC / pixel AP in percent; one run each, so that differences of a point or two are chance.",
        "",
        f"| | {' | '.join(names)} | mean |",
        f"|---|{'---|' * (len(names) + 1)}",
    ]
    for variant in VARIANTS:
        found = {row["set"]: row for row in rows if row["variant"] == variant.name}
        cells = [_cell([found[name]]) if name in found else "" for name in names]
        lines.append(f"| {variant.name} | {' | '.join(cells)} | {_cell(list(found.values())) if found else ''} |")
    return "\n".join(lines) + "\n"


def _cell(rows: list[dict[str, Any]]) -> str:
    image, pixel = (100 * statistics.mean(row[key] for row in rows) for key in ("image_auroc", "pixel_ap"))
    return f"{image:.1f} / {pixel:.1f}"


if __name__ == "__main__":
    main()

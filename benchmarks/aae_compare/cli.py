"""`aae-compare`: which family of models finds the defects on these parts?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.errors import ConfigError

if TYPE_CHECKING:
    from aae_compare.comparison import Comparison
    from aae_compare.document import Document
    from aae_compare.settings import Candidate

_EPILOG = """\b
Examples:
  aae-compare photos/good --out compared     every family, 2000 steps each
  aae-compare mvtec/bottle --out compared --minutes 10 --seeds 3
  aae-compare mvtec/bottle --out compared --models aae,aae:gaussian,aae:universal,vae
  aae-compare photos/good --out quick --size 64 --steps 50 --models aae,gan

\b
Exit codes: 0 done; 2 wrong usage or pictures; 5 an exported model does not answer like the trained one;
130 stopped by Ctrl-C (the same command goes on from there); 1 anything else.
"""


def _size_hw(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    sides = value.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise click.BadParameter(f"{value!r} is neither a number (256) nor height x width (256x320)")
    return int(sides[0]), int(sides[-1])


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for all of it.")
@click.option(
    "--models",
    default="aae,wae-mmd,vae,gan,gmmn,gmmn-ae",
    show_default=True,
    metavar="NAME,...",
    help="Families to compare; NAME:ENCODER takes another encoder (aae:gaussian, aae:universal).",
)
@click.option("--steps", type=click.IntRange(min=1), help="Training steps of each model.  [default: 2000]")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time of each run, instead of --steps."
)
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Runs of each model.")
@click.option(
    "--size",
    callback=_size_hw,
    default="256",
    show_default=True,
    metavar="N|HxW",
    help="Model input, pixels, multiples of 32; HxW is height x width.",
)
@click.option(
    "--prior",
    default="normal",
    show_default=True,
    metavar="NAME",
    help="What codes are held to: normal, uniform, mixture:K or swiss-roll.",
)
@click.option("--latent", metavar="grid|DIM", help="As of aae-train; each family has its own default.")
@click.option("--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    default=0,
    show_default=True,
    help="Threads of the measured models; 0: one per core.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@click.version_option(__version__, prog_name="aae-compare")
def main(data: Path, out: Path, models: str, seeds: int, **options: Any) -> None:
    """Train families of models on DATA under one budget and say which one to ship.

    DATA is what aae-train takes. Where it is in MVTec AD layout and its test folder holds good and defective pictures,
    these labels decide; else defects that are drawn on held-back good pictures.

    DIR gets compare.html (open it in a browser), compare.json with every figure, and the runs with their exports. A
    row is written as soon as it is measured; the same command goes on where it was interrupted, and may name more
    models or more seeds.
    """
    with cli_errors():
        from aae_compare.document import Document
        from aae_compare.settings import parse_candidates
        from aae_train.progress import stop_on_interrupt

        candidates = parse_candidates(models)
        comparison = _prepare(data, out, options)
        for candidate in candidates:  # an impossible one is known before the first is trained
            comparison.settings.train_config(data, candidate, seeds - 1)
        document = Document.open(out, comparison.settings)
        document.begin()
        with stop_on_interrupt() as stop:
            finished = _fill(document, comparison, [(c, s) for s in range(seeds) for c in candidates], stop)
        if not finished:
            click.echo(f"stopped; finished rows are in {out / 'compare.json'}; the same command goes on from there")
            sys.exit(130)
        _conclude(document, comparison)


def _prepare(data: Path, out: Path, options: dict[str, Any]) -> Comparison:
    from aae_compare.comparison import Comparison
    from aae_compare.pictures import check_labelled, fingerprint
    from aae_compare.settings import CompareSettings
    from aae_train.cli import DEFAULT_STEPS
    from aae_train.labels import find_labels

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("aae-compare is one process; start it without torchrun, or share single runs by aae-train")
    data = data.resolve()
    labels = find_labels(data)
    if labels.labelled is not None:
        check_labelled(labels.labelled)
    options["input_hw"] = options.pop("size")
    if options["steps"] is None and options["minutes"] is None:
        options["steps"] = DEFAULT_STEPS
    settings = CompareSettings(data=data.name, pictures_sha256=fingerprint(data, labels), **options)
    return Comparison(settings, data, labels, out)


def _fill(
    document: Document, comparison: Comparison, wanted: list[tuple[Candidate, int]], stop: Callable[[], bool]
) -> bool:
    """Make the rows that are missing; False where it was stopped before the last."""
    from aae_compare.row import measure_row, train

    for number, (candidate, seed) in enumerate(wanted, start=1):
        head = f"[{number}/{len(wanted)}] {candidate.name}, seed {seed}"
        if document.has(candidate.name, seed):
            click.echo(f"{head}: finished before")
            continue
        if stop():
            return False
        click.echo(f"{head}: training for {comparison.settings.budget}")
        if not train(comparison, candidate, seed, stop):
            return False
        row = measure_row(comparison, candidate, seed)
        document.add(row)
        low, high = row["detection"]["image_auroc_ci95"]
        click.echo(
            f"{head}: image AUROC {row['detection']['image_auroc']:.3f} ({low:.3f} to {high:.3f}, from "
            f"{row['figures_from']})"
        )
    return True


def _conclude(document: Document, comparison: Comparison) -> None:
    from aae_compare.comparison import first_rows
    from aae_compare.latency import measure_latencies
    from aae_compare.recommend import conclude
    from aae_compare.report import write_report

    click.echo("measuring how long a frame takes, all models in turns")
    detectors = {row["name"]: comparison.export_folder(row) / "detector.onnx" for row in first_rows(document.rows)}
    latencies = measure_latencies(detectors, comparison.provider, comparison.settings.threads)
    found = document.finish(conclude(document.rows, latencies))
    write_report(found, comparison)
    click.echo(f"\n{found['recommendation']['sentence']}\n")
    click.echo(f"wrote {document.out / 'compare.json'} and {document.out / 'compare.html'}")


if __name__ == "__main__":
    main()

"""What `--tile` gains where pictures are larger than the model's input: shrunk, or at their own resolution.

usage: python benchmarks/tiling.py --data ROOT --sets mvtec_leather_mini,glassfiber --minutes 15 --json FILE

For textures, as `--tile` is. Both models get the same pictures and time. A row is written as it is finished, and rows
that FILE holds already are kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import click

from aae_detect.bench.machine import describe_machine
from aae_detect.bench.report import to_json
from aae_detect.whole_file import write_whole
from commands import call

VARIANTS: dict[str, tuple[str, ...]] = {"shrunk": (), "tiles": ("--tile", "256")}
_KEPT = ("image_auroc", "image_auroc_ci95", "pixel_ap", "aupro_30", "false_reject_rate", "recall_at_threshold")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA", required=True)
@click.option("--sets", "set_names", default="mvtec_leather_mini,glassfiber", show_default=True)
@click.option("--minutes", type=float, default=15.0, show_default=True, help="Training time of each model.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/tiling"), show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), required=True, help="File of rows, added to.")
def main(data: Path, set_names: str, minutes: float, work: Path, target: Path) -> None:
    """Measure a model of whole pictures beside one of tiles."""
    rows: list[dict[str, Any]] = json.loads(target.read_text())["rows"] if target.is_file() else []
    for set_name, (variant, options) in product(set_names.split(","), VARIANTS.items()):
        key = {"set": set_name, "minutes": minutes, "variant": variant}
        if any({name: row[name] for name in key} == key for row in rows):
            continue
        row = {**key, **_measure(data / set_name, work / f"{set_name}-{variant}", minutes, options)}
        rows.append(row)
        document = {
            "command": f"python benchmarks/tiling.py --sets {set_names} --minutes {minutes:g} --json FILE",
            "date": time.strftime("%Y-%m-%d"),
            "machine": describe_machine(),
            "rows": rows,
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, to_json(document))
        click.echo(f"{set_name:20s} {variant:8s} image AUROC {row['image_auroc']:.3f}, pixel AP {row['pixel_ap']}")


def _measure(data: Path, run: Path, minutes: float, options: Sequence[str]) -> dict[str, Any]:
    """Train, export and measure; a run that was interrupted goes on."""
    resume = ("--resume",) if (run / "config.json").is_file() else ()
    call("aae_train.cli", data, "--out", run, "--minutes", minutes, *options, *resume)
    call("aae_export.cli", run)
    detector, answer = run / "export" / "detector.onnx", run / "accuracy.json"
    call("aae_detect.bench.cli", "accuracy", detector, data, "--json", answer, "--threads", 2)
    call("aae_detect.bench.cli", "latency", detector, "--json", run / "latency.json", "--threads", 2)
    accuracy = json.loads(answer.read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    (latency,) = json.loads((run / "latency.json").read_text())["rows"]
    return {
        **{key: accuracy[key] for key in _KEPT},
        "inference_ms": latency["inference_ms"],
        "steps": metrics["steps"],
        "pictures": metrics["pictures"],
    }


if __name__ == "__main__":
    main()

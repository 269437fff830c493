"""Accuracy over many sets: trains with the default settings, exports, and measures `detector.onnx` through the runtime.

usage: python benchmarks/accuracy.py --data ROOT [--sets a,b,c] --seeds 1 --minutes 15 --json FILE

A row per set and seed is written as soon as it is finished, and rows that are in FILE already are kept: an interrupted
measurement goes on where it stopped. Runs lie in --work, which may be deleted afterwards. One recipe for all
sets: there is no option per set, and nothing is chosen on test pictures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from aae_detect.bench.dataset import list_labelled_sets
from commands import call

_FORETOLD = ("image_auroc", "pixel_ap", "aupro_30")
_MEAN_KEYS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA", required=True)
@click.option("--sets", "set_names", help="Folders under DATA, with commas; default all that have a test folder.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs per set.")
@click.option("--minutes", type=float, default=15.0, show_default=True, help="Training time per run.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/accuracy"), show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), required=True, help="File of rows, added to.")
def main(data: Path, set_names: str | None, seeds: int, minutes: float, work: Path, target: Path) -> None:
    """Measure the default recipe on labelled sets in MVTec AD layout."""
    document: dict[str, Any] = json.loads(target.read_text()) if target.is_file() else {"rows": []}
    rows: list[dict[str, Any]] = document["rows"]
    names = set_names.split(",") if set_names else list_labelled_sets(data)
    command = (
        f"python benchmarks/accuracy.py --sets {','.join(names)} --seeds {seeds} --minutes {minutes:g} --json FILE"
    )
    for name in names:
        for seed in range(seeds):
            if any((row["set"], row["seed"], row["minutes"]) == (name, seed, minutes) for row in rows):
                continue
            row = _measure(data / name, seed, minutes, work / f"{name}-{seed}")
            rows.append({"set": name, "seed": seed, "minutes": minutes, **row})
            # Sets may be measured with several calls, of more seeds here than there.
            document["commands"] = sorted({*document.get("commands", []), command})
            _write(target, document["commands"], rows)
            click.echo(
                f"{name:20s} seed {seed}: image AUROC {row['image_auroc']:.3f}, pixel AUROC {row['pixel_auroc']}"
            )


def _measure(data: Path, seed: int, minutes: float, run: Path) -> dict[str, Any]:
    """Train, export and measure one run; one that was interrupted goes on."""
    resume = ["--resume"] if (run / "config.json").is_file() else []
    call("aae_train.cli", data, "--out", run, "--minutes", minutes, "--seed", seed, *resume)
    call("aae_export.cli", run)
    detector = run / "export" / "detector.onnx"
    measured = ("--json", run / "accuracy.json", "--threads", 2)
    call("aae_detect.bench.cli", "accuracy", detector, data, "--robustness", *measured)
    call("aae_detect.bench.cli", "latency", detector, "--json", run / "latency.json", "--threads", 2)
    accuracy: dict[str, Any] = json.loads((run / "accuracy.json").read_text())
    latency: dict[str, Any] = json.loads((run / "latency.json").read_text())["rows"][0]
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    del accuracy["command"]  # names folders of this machine; the command that counts stands over all rows
    return {
        **accuracy,
        "inference_ms": latency["inference_ms"],
        "gflop": _count_gflop(run),
        "detector_mb": detector.stat().st_size / 1e6,
        "training": {key: metrics[key] for key in ("steps", "training_seconds", "pictures", "select_score", "latent")},
        "calibration": metrics["calibration"],
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _count_gflop(run: Path) -> float:
    """Count what one picture costs; a multiplication and an addition are two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from aae_train.run_folder import read_trained

    trained = read_trained(run)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trained.detector(torch.zeros(1, *trained.config.input_hw, 3, dtype=torch.uint8))
    return counter.get_total_flops() / 1e9


def _commit() -> str:
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _write(target: Path, commands: list[str], rows: list[dict[str, Any]]) -> None:
    """Write all rows and the mean over sets, each set's seeds averaged first."""
    by_set: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_set.setdefault(row["set"], []).append(row)
    mean = {
        key: statistics.mean(statistics.mean(row[key] for row in of_set) for of_set in by_set.values())
        for key in _MEAN_KEYS
        if all(row[key] is not None for row in rows)
    }
    document = {
        "commands": commands,
        "rows": rows,
        "mean": mean,
        "select_score_rank_correlation": _rank_correlations(rows),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    os.replace(partial, target)


def _rank_correlations(rows: list[dict[str, Any]]) -> dict[str, float | int]:
    """Say how well the synthetic defects of training foretell real figures: Spearman's rho over rows that have both."""
    selected = [row for row in rows if row["training"]["select_score"] is not None and row["pixel_ap"] is not None]
    if len({row["set"] for row in selected}) < 3:
        return {"rows": len(selected)}
    score = _ranks([row["training"]["select_score"] for row in selected])
    found = {key: float(np.corrcoef(score, _ranks([row[key] for row in selected]))[0, 1]) for key in _FORETOLD}
    return {"rows": len(selected), **found}


def _ranks(values: list[float]) -> NDArray[np.float64]:
    array = np.asarray(values)
    return np.asarray([(array < value).sum() + (array == value).sum() / 2 for value in array], np.float64)


if __name__ == "__main__":
    main()

"""One row of the table: a model trained, exported, and measured through the runtime."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from aae_compare.comparison import Comparison
from aae_compare.evidence import WHAT, measure_evidence
from aae_compare.exported import Exported
from aae_compare.pictures import HeldBack
from aae_compare.quality import measure_latent, measure_samples
from aae_compare.settings import Candidate
from aae_detect.bench import metrics
from aae_detect.bench.accuracy import judge_pictures, measure_accuracy
from aae_detect.bench.bootstrap import bootstrap_intervals
from aae_detect.detector import Detector
from aae_export.export import export_run
from aae_train.progress import ProgressBar
from aae_train.run import Run
from aae_train.run_folder import MODEL_FILE, read_trained


def train(comparison: Comparison, candidate: Candidate, seed: int, stop: Callable[[], bool]) -> bool:
    """Bring a run to its end, from wherever it is; False where it was stopped before."""
    folder = comparison.run_folder(candidate.name, seed)
    if (folder / MODEL_FILE).is_file():
        return True
    config = comparison.settings.train_config(comparison.data, candidate, seed)
    run = Run(config, folder, lambda text: click.secho(f"  warning: {text}", fg="yellow", err=True))
    with ProgressBar() as bar:
        return run.train(stop, bar.update)


def measure_row(comparison: Comparison, candidate: Candidate, seed: int) -> dict[str, Any]:
    """Export and measure a finished run.

    Returns:
        The row: what was measured by `detection`, `evidence`, `samples`, `latent` and `cost`; `health` and `warnings`
        of the run; `scores` of every test picture by every kind of evidence, from which the table's intervals and
        the recommendation follow.

    Raises:
        ConfigError: the pictures are gone.
        ModelError: the export does not answer like the trained model.
    """
    name, threads, provider = candidate.name, comparison.settings.threads, comparison.provider
    folder = comparison.run_folder(name, seed)
    export = folder / "export"
    export_run(folder, export, comparison.data)
    held_back = comparison.held_back(name, seed)
    labelled, figures_from = comparison.test_set(name, seed)
    detector = Detector.load(export / "detector.onnx", provider, threads)
    judged = judge_pictures(detector, labelled)
    detection = measure_accuracy(judged, detector.threshold)
    notes = [comparison.labels.why_not] if comparison.labels.why_not else []
    if figures_from == "synthetic defects":
        notes.append(_drop_what_good_pictures_cannot_say(detection, held_back))
    exported = Exported(export, provider, threads)
    scores = {
        "residual": [item.score for item in judged],
        **measure_evidence(exported, [item.picture.path for item in judged]),
    }
    defective = [item.picture.defective for item in judged]
    real = [exported.read(path) for path in held_back.paths]
    metrics_json = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {
        "name": name,
        "model": candidate.model,
        "encoder": candidate.encoder,
        "seed": seed,
        "figures_from": figures_from,
        "notes": notes,
        "detection": {**detection, "threshold": detector.threshold},
        "evidence": {kind: _find_alone(defective, scores[kind]) for kind in WHAT if kind in scores},
        "samples": {**measure_samples(exported, real, seed), "against": held_back.what},
        "latent": measure_latent(exported, real, seed),
        "cost": _count_cost(folder, metrics_json),
        "training": {key: metrics_json[key] for key in ("pictures", "steps", "device", "select_score", "calibration")},
        "health": metrics_json.get("health"),
        "warnings": [*metrics_json["warnings"], *detector.warnings],
        "scores": {
            "pictures": [item.picture.path.relative_to(labelled.root).as_posix() for item in judged],
            "defective": [int(label) for label in defective],
            **scores,
        },
        "versions": metrics_json["versions"],
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _drop_what_good_pictures_cannot_say(detection: dict[str, Any], held_back: HeldBack) -> str:
    """Take out, in place, figures that rest on good pictures which were used up before; returns a note of why."""
    for name in ("false_reject_rate", "f1_at_threshold"):
        detection[name], detection[f"{name}_ci95"] = None, [None, None]
    if held_back.learned:
        return (
            "the good pictures were learned by the very models that are measured, because too few are there to hold "
            "some back: figures look better than they are, and a false-reject rate would mean nothing"
        )
    return "the good pictures also set the threshold, so a false-reject rate on them would mean nothing"


def _find_alone(defective: list[bool], scores: list[float]) -> dict[str, Any]:
    interval = bootstrap_intervals(defective, scores, {"image_auroc": metrics.auroc})["image_auroc"]
    labels = np.array(defective)
    return {"image_auroc": metrics.auroc(labels, scores), "image_auroc_ci95": list(interval)}


def _count_cost(folder: Path, metrics_json: dict[str, Any]) -> dict[str, Any]:
    model = read_trained(folder).model
    return {
        "parameters": sum(p.numel() for part in (model.encoder, model.decoder) for p in part.parameters()),
        "parameters_trained": sum(p.numel() for p in model.parameters()),
        "detector_bytes": (folder / "export" / "detector.onnx").stat().st_size,
        "training_seconds": metrics_json["training_seconds"],
        "models_trained": 1 + len(metrics_json["pictures"]["folds"]),
    }

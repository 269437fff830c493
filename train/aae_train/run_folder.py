"""The run folder: what lies in it, and under which names.

config.json             what was asked for
split.json              which picture did what
checkpoint.safetensors  the stage in progress, or the last at its end: all that a next step depends on
prior.safetensors       recorded samples, where the prior is a custom one
folds/fold-K.safetensors  finished models of a cross-fit
model.safetensors       the result: weights, statistics per place, threshold, golden sample
report.html             for people: whether to trust the model
odd_pictures.json  odd_pictures.png  good pictures by how unlike the others they look
history.csv  metrics.json  training_curves.png  contact_sheet.png
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae_detect import __version__
from aae_detect.errors import ConfigError
from aae_detect.prior import Prior
from aae_detect.spec import Calibration, GoldenSample
from aae_detect.threshold import Threshold
from aae_detect.whole_file import write_whole
from aae_train.checkpoint import read_tensors, write_tensors
from aae_train.config import CUSTOM, TrainConfig
from aae_train.detector import Detector, make_detector
from aae_train.detector_graph import DetectorGraph
from aae_train.evidence_statistics import Statistics
from aae_train.family import GenerativeModel
from aae_train.golden_answer import require_golden

MODEL_FILE = "model.safetensors"
PRIOR_FILE = "prior.safetensors"
REPORT_FILE = "report.html"
ODD_FILES = ("odd_pictures.json", "odd_pictures.png")
_FIRST_COLUMNS = ("stage", "step", "phase")


@dataclass(frozen=True)
class TrainedModel:
    """A finished run, ready to be exported."""

    config: TrainConfig
    model: GenerativeModel
    prior: Prior
    detector: DetectorGraph
    threshold: Threshold
    golden: GoldenSample
    """What it says of a picture, and still does."""

    weights_sha256: str
    """Of `model.safetensors`, lower-case hex."""


def fold_file(run: Path, stage: str) -> Path:
    """Return where the finished model of a fold lies."""
    return run / "folds" / f"{stage}.safetensors"


def new_run_folder(data: Path, runs: Path) -> Path:
    """Name the next run of a data folder, `runs/NAME-N`; nothing is made yet."""
    return runs / f"{data.name}-{max(_run_numbers(data, runs), default=0) + 1}"


def make_run_folder(out: Path | None, data: Path, runs: Path) -> Path:
    """Make the folder of a run that begins: of two that begin together, each gets one of its own.

    Args:
        out: Where the user wants it, see `check_new_folder`; None: the next of `runs`.
        data: The data folder.
        runs: Where runs lie.

    Raises:
        ConfigError: it cannot be written.
    """
    place = runs if out is None else out
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not os.access(place, os.W_OK):
            raise PermissionError(0, "no right to write there")
        while out is None:
            run = new_run_folder(data, runs)
            with suppress(FileExistsError):  # another one took the number meanwhile
                run.mkdir()
                out = run
        return out
    except OSError as error:
        raise ConfigError(f"{place} cannot be written ({error.strerror}); choose another folder with --out") from error


def newest_run_folder(data: Path, runs: Path) -> Path:
    """Return the newest run of a data folder; other folders of its name may have runs there, too.

    Raises:
        ConfigError: there is none.
    """
    for number in sorted(_run_numbers(data, runs), reverse=True):
        run = runs / f"{data.name}-{number}"
        with suppress(ConfigError, OSError):  # what cannot be read may be anybody's
            if TrainConfig.load(run).data == str(data):
                return run
    raise ConfigError(
        f"--resume: no run {runs / data.name}-N of {data} to continue; name it with --out, or start without it"
    )


def check_new_folder(out: Path) -> None:
    """Refuse a folder that would mix two runs.

    Raises:
        ConfigError: it holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} exists and is not an empty folder; choose another, or continue with --resume")


def settings_to_resume(out: Path, asked: TrainConfig, typed: set[str]) -> TrainConfig:
    """Return the settings that a run was begun with: they hold for all of it, and need not be typed again.

    Where the pictures lie is none of them: they may have been moved, and their names tell whether all are there.

    Args:
        out: The run folder.
        asked: Settings of this call.
        typed: Fields of `asked` that the user gave; the others are defaults and say nothing.

    Raises:
        ConfigError: no run was begun there, or the user gave a setting that differs from the run's.
    """
    if not (out / "config.json").is_file():
        raise ConfigError(f"--resume: {out} holds no config.json, so no run was begun there; start without --resume")
    begun = TrainConfig.load(out)
    now, before = asdict(asked), asdict(begun)
    if changed := [name for name in sorted(typed - {"data"}) if now[name] != before[name]]:
        what = ", ".join(f"{name} was {before[name]}, now {now[name]}" for name in changed)
        raise ConfigError(f"--resume: the settings differ from the run's ({what}); leave them out, or start a new run")
    return begun


def _run_numbers(data: Path, runs: Path) -> list[int]:
    pattern = re.compile(re.escape(data.name) + r"-(\d+)")
    names = (path.name for path in runs.iterdir()) if runs.is_dir() else iter(())
    return [int(match[1]) for match in map(pattern.fullmatch, names) if match]


def write_model(
    path: Path,
    detector: Detector,
    family: str,
    statistics: Statistics,
    threshold: Threshold,
    golden: GoldenSample,
) -> None:
    """Write the result of a run to `model.safetensors`."""
    tensors = detector.state_dict()
    tensors["statistics.centre"] = torch.from_numpy(statistics.centre)
    tensors["statistics.spread"] = torch.from_numpy(statistics.spread)
    notes = {
        "model": family,
        "threshold": threshold.value,
        "calibration": asdict(threshold.calibration),
        "golden": asdict(golden),
        "version": __version__,
    }
    write_tensors(path, tensors, notes)


def write_prior(run: Path, prior: Prior) -> None:
    """Write the recorded samples of a custom prior."""
    assert prior.bank is not None  # `record_prior` made it
    write_tensors(run / PRIOR_FILE, {"bank": torch.from_numpy(prior.bank)}, {"prior": prior.kind})


def read_prior(run: Path, config: TrainConfig) -> Prior:
    """Return the prior of a run.

    Raises:
        ConfigError: it is a custom one, and its samples are missing or damaged.
    """
    if config.prior != CUSTOM:
        return config.make_prior()
    tensors, _ = read_tensors(run / PRIOR_FILE)
    prior = Prior(CUSTOM, bank=tensors["bank"].numpy())
    prior.require_dim(config.latent_chw[0])
    return prior


def read_trained(run: Path) -> TrainedModel:
    """Read a finished run.

    Raises:
        ConfigError: no run, not finished, damaged, or of a version that made another detector of its weights.
    """
    config = TrainConfig.load(run)
    path = run / MODEL_FILE
    if not path.is_file():
        raise ConfigError(
            f"{run} holds no {MODEL_FILE}: the run is not finished; continue it with `aae-train --resume`"
        )
    tensors, notes = read_tensors(path)
    if "golden" not in notes:
        raise ConfigError(f"{path} is of an earlier aae-detect, and holds no golden sample to prove it by; train again")
    try:
        centre, spread = (tensors.pop(f"statistics.{name}") for name in ("centre", "spread"))
        calibration = notes["calibration"]
        calibration["scores"] = tuple(calibration.get("scores", ()))  # JSON has no tuples
        threshold = Threshold(float(notes["threshold"]), Calibration(**calibration))
        golden = GoldenSample(**notes["golden"])
        trained = make_detector(config)
        trained.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(f"{path} does not fit {run / 'config.json'}: {error}; train again") from error
    trained.eval().requires_grad_(False)
    graph = build_graph(trained, centre, spread, config.inside)
    require_golden(graph, golden, config.input_hw, str(notes.get("version")))
    prior = read_prior(run, config)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return TrainedModel(config, trained.model, prior, graph, threshold, golden, sha256)


def build_graph(
    detector: Detector, centre: Tensor, spread: Tensor, inside: NDArray[np.bool_] | None = None
) -> DetectorGraph:
    """Put networks and statistics together, and where to look."""
    return DetectorGraph(detector.model.encoder, detector.model.decoder, detector.judge, centre, spread, inside).eval()


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write `history.csv`: one row per logged step or selection; a column that does not apply stays empty."""
    measured = dict.fromkeys(name for row in rows for name in row if name not in _FIRST_COLUMNS)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*_FIRST_COLUMNS, *measured))
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON."""
    write_whole(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")

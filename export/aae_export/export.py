"""A finished run to its ONNX files, or to nothing."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from aae_detect import __version__
from aae_detect.detector import Detector
from aae_detect.errors import ConfigError, ModelError
from aae_detect.golden import decode_golden
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import prepare, to_bgr8
from aae_detect.signature import SUFFIX, SigningKey
from aae_detect.spec import METADATA_KEY, ModelSpec
from aae_detect.threshold import colour_scale
from aae_export.budget import Budget, Choice, decide
from aae_export.fold import fold
from aae_export.on_demand import OnDemand
from aae_export.onnx_file import OPSET, write_onnx
from aae_export.parity import Difference, compare, report_rows, require_parity
from aae_export.parts import write_parts
from aae_export.placing import make_scratch, put_in_place
from aae_export.precision import Cost, Material, Precision, make_precision
from aae_export.separation import without_unreadable
from aae_train.judge import CELL
from aae_train.labels import find_labels
from aae_train.pictures import find_pictures, load_picture
from aae_train.run_folder import TrainedModel, read_trained
from aae_train.split import Split

PARITY_PICTURES = 8


@dataclass(frozen=True)
class ExportReport:
    """What was exported."""

    folder: Path
    differences: tuple[Difference, ...]
    detector_sha256: str
    cost: Cost | None = None
    """What another precision costs, where one was asked for."""

    choice: Choice | None = None
    """What holds a time, where one was asked for."""

    left_out: tuple[str, ...] = ()
    """Labelled pictures that could not be read, each with the reason; looked at where another precision is measured."""


def export_run(
    run: Path,
    out: Path,
    data: Path | None = None,
    precision: Precision | None = None,
    force: bool = False,
    budget: Budget | None = None,
    key: SigningKey | None = None,
) -> ExportReport:
    """Export a run; the folder appears whole, after the parity gate, or not at all.

    A precision that is refused is missing from it, and told of when the rest is there.

    Args:
        run: A finished run folder.
        out: Gets `encoder.onnx`, `decoder.onnx`, `generator.onnx`, `detector.onnx`, `discriminator.onnx` where the
            family has one, and `export.json`; an earlier export there is replaced.
        data: Where the run's pictures lie now; None means where they lay when it was trained.
        precision: Writes `detector.PRECISION.onnx` beside the fp32 one.
        force: Writes it also where it costs too much.
        budget: Makes other precisions, measures them all, and chooses what holds this.
        key: Signs every ONNX file; each signature lies beside its file.

    Raises:
        ConfigError: the run is not finished, its pictures are gone, or `out` cannot be written.
        ModelError: a graph does not answer like the model, or the other precision costs too much.
    """
    trained = read_trained(run)
    place = out.resolve()  # "." has no folder beside it, and a link's name is not the folder's
    if place.exists() and (not place.is_dir() or _holds_foreign_files(place)):
        raise ConfigError(f"--out {out} exists and is not an earlier export; choose another folder")
    frames = _real_frames(run, trained, data)
    material = _material(run, trained, data) if precision is not None or budget is not None else None
    config = trained.config
    inputs = [prepare(frame, config.input_hw, config.fit)[0] for frame in frames]
    with make_scratch(place) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        differences = write_parts(folder, trained, inputs)
        differences += _write_detector(folder, trained, inputs)
        require_parity(differences)
        Detector.load(folder / "detector.onnx", provider="cpu")  # the golden sample must reproduce here, at least
        sha256 = hashlib.sha256((folder / "detector.onnx").read_bytes()).hexdigest()
        cost = choice = refused = None
        if precision is not None and material is not None:
            target = folder / f"detector.{precision}.onnx"
            try:
                cost = make_precision(folder / "detector.onnx", target, precision, material, force)
            except ModelError as error:  # fp32 has passed its gate, and is what the user is told to keep
                target.unlink(missing_ok=True)
                refused = error
        if budget is not None and material is not None:
            choice = decide(folder, config, material, budget, force)
        report = _report(run, trained, differences, sha256, folder)
        report["other_precision"] = None if cost is None else cost.to_dict()
        report["budget"] = None if choice is None else choice.to_dict()
        if key is not None:
            for path in sorted(folder.glob("*.onnx")):
                key.sign(path)
        (folder / "export.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        put_in_place(folder, place)
    if refused is not None:
        raise ModelError(f"{refused}; exported without it: {out / 'detector.onnx'}") from refused
    return ExportReport(out, tuple(differences), sha256, cost, choice, material.left_out if material else ())


def _write_detector(folder: Path, trained: TrainedModel, inputs: Sequence[NDArray[np.uint8]]) -> list[Difference]:
    """Write the detector with its description; returns how it compares."""
    outputs = ["anomaly_map", "anomaly_score", "reconstruction"]
    path = folder / "detector.onnx"
    golden = decode_golden(trained.golden.picture_png_base64, trained.config.input_hw)
    metadata = {METADATA_KEY: _spec(trained).to_json()}
    examples = {"image": torch.from_numpy(np.stack(inputs[:2]))}
    defaults = {}
    images = [*inputs, golden]
    if noise_dim := trained.model.encoder.noise_dim:
        # Zeros unless somebody gives others: the same frame always gets the same answer.
        defaults["noise"] = np.zeros((1, noise_dim), np.float32)
        examples["noise"] = torch.zeros(1, noise_dim)
    write_onnx(path, fold(trained.detector), examples, outputs, metadata, defaults)
    differences = compare("detector", path, trained.detector, {"image": images}, outputs)
    if noise_dim:
        noise = list(np.random.default_rng(0).standard_normal((len(images), noise_dim), np.float32))
        both = {"image": images, "noise": noise}
        differences += compare("detector, noise", path, trained.detector, both, outputs)
    return differences


def _spec(trained: TrainedModel) -> ModelSpec:
    config, threshold = trained.config, trained.threshold
    return ModelSpec(
        family=config.model,
        input_hw=config.input_hw,
        drawing_step=config.layout.drawing_step,
        fit=config.fit,
        bits=config.bits or 16,
        map_hw=(config.input_hw[0] // CELL, config.input_hw[1] // CELL),
        colour_scale=colour_scale(threshold.value),
        threshold=threshold.value,
        calibration=threshold.calibration,
        prior=trained.prior.name,
        latent_dim=config.latent_dim,
        weights_sha256=trained.weights_sha256,
        golden=trained.golden,
        versions=_versions(),
    )


def _real_frames(run: Path, trained: TrainedModel, data: Path | None) -> list[NDArray[np.uint8]]:
    """Read select pictures, whole and cut to odd and non-square sizes: what a camera gives is rarely the model's size.

    A run by cross-fitting has no select pictures of its own; there every picture trains, and any may be compared on.
    Pictures that are gone since are missed only where their scores are to be measured again, by another precision.
    """
    folder = find_pictures(data if data is not None else Path(trained.config.data))
    paths = (*folder.good, *folder.validation)
    names = [folder.name(path) for path in paths]
    split = Split.from_json((run / "split.json").read_text(encoding="utf-8"), names, whole=False)
    numbers = split.select or split.train or split.calibrate
    if not numbers:
        raise ConfigError(
            f"none of the run's pictures is in {folder.root}, and the export is compared on some of them; "
            "say with --data where they are now"
        )
    chosen = [numbers[i] for i in np.linspace(0, len(numbers) - 1, PARITY_PICTURES).astype(int)]
    frames = []
    for place, number in enumerate(chosen):
        frame = to_bgr8(read_picture(paths[number]), trained.config.bits)
        height, width = frame.shape[:2]
        if place % 3 == 1:  # wide, odd height
            frame = frame[: max(1, height * 2 // 3 // 2 * 2 - 1)]
        elif place % 3 == 2:  # tall, odd width
            frame = frame[:, : max(1, width // 2 // 2 * 2 - 1)]
        frames.append(np.ascontiguousarray(frame))
    return frames


def _material(run: Path, trained: TrainedModel, data: Path | None) -> Material:
    """Find the pictures that training did not learn from, and the labelled ones where there are some.

    A run by cross-fitting learned from all of them; there they show what values occur, and no more.
    """
    root = data if data is not None else Path(trained.config.data)
    folder = find_pictures(root)
    paths = (*folder.good, *folder.validation)
    split = Split.from_json((run / "split.json").read_text(encoding="utf-8"), [folder.name(path) for path in paths])

    config = trained.config

    def read(numbers: Sequence[int]) -> OnDemand:
        return OnDemand(
            len(numbers), lambda place: load_picture(paths[numbers[place]], config.input_hw, config.fit, config.bits)
        )

    found = find_labels(root).labelled
    labelled, left_out = (None, ()) if found is None else without_unreadable(found)
    shown, held_back = read(split.select or split.train), read(split.calibrate)
    return Material(shown, held_back, labelled, left_out, config.inside)


def _versions() -> dict[str, str]:
    packages = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")
    found = {"aae-detect": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # onnxruntime-gpu brings the module under another distribution's name
            found[package] = getattr(sys.modules.get(package), "__version__", "unknown")
    return found


def _report(
    run: Path, trained: TrainedModel, differences: Sequence[Difference], sha256: str, folder: Path
) -> dict[str, Any]:
    return {
        "run": run.name,
        "weights_sha256": trained.weights_sha256,
        "detector_sha256": sha256,
        "opset": OPSET,
        "precision": "fp32",
        "bytes": {path.name: path.stat().st_size for path in sorted(folder.glob("*.onnx"))},
        "parity": report_rows(differences),
        "versions": _versions(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _holds_foreign_files(out: Path) -> bool:
    known = {
        *(f"{role}.onnx" for role in ("encoder", "decoder", "generator", "discriminator", "detector")),
        *(f"detector.{precision}.onnx" for precision in get_args(Precision)),
        "export.json",
    }
    return any(path.name.removesuffix(SUFFIX) not in known for path in out.iterdir())

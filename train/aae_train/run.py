"""A training run from a folder of pictures to a finished run folder."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aae_detect import __version__
from aae_detect.errors import ConfigError
from aae_train.aae import AdversarialAutoencoder
from aae_train.calibration import Threshold, conformal_threshold
from aae_train.checkpoint import read_tensors, write_tensors
from aae_train.compute import choose_device, make_autocast, to_pictures
from aae_train.config import TrainConfig
from aae_train.figures import Sample, contact_sheet, training_curves
from aae_train.pictures import PictureReport, check_pictures, find_pictures
from aae_train.place_statistics import PlaceStatistics, fit_statistics
from aae_train.run_folder import MODEL_FILE, build_detector, write_history, write_json, write_model
from aae_train.select_score import measure_evidence
from aae_train.split import Split, split_pictures
from aae_train.stage import Listener, Stage, StageTrainer

_SAMPLES = 12


class Run:
    """One run folder and what is needed to bring it to its end."""

    def __init__(self, config: TrainConfig, out: Path, say: Callable[[str], None]) -> None:
        """Check the pictures and deal them out; writes nothing.

        Args:
            config: What was asked for.
            out: The run folder, which need not exist.
            say: Gets each warning for the user.

        Raises:
            ConfigError: the pictures cannot be used.
        """
        self.config, self.out = config, out
        self.warnings: list[str] = []
        self._say = say
        self.device = choose_device(config.device)
        self.pictures, self.names, validation_count = _read_pictures(config)
        for warning in self.pictures.warnings:
            self.warn(warning)
        split_file = out / "split.json"
        if split_file.is_file():
            self.split = Split.from_json(split_file.read_text(encoding="utf-8"), self.names)
        else:
            good_count = len(self.names) - validation_count
            self.split = split_pictures(good_count, config.seed, validation_count, self.pictures.groups)
        self.stages = _stages(self.split)

    def warn(self, text: str) -> None:
        """Tell the user, and keep it for `metrics.json`."""
        self.warnings.append(text)
        self._say(text)

    def train(self, stop: Callable[[], bool], listener: Listener) -> bool:
        """Train every model of the run that is not finished yet, then finish the folder.

        Returns:
            False where `stop` ended it early; `resume` continues it then.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "split.json").write_text(self.split.to_json(self.names), encoding="utf-8")
        (self.out / "config.json").write_text(self.config.to_json(), encoding="utf-8")
        checkpoint = self.out / "checkpoint.safetensors"
        config = self.config
        if config.minutes is not None:  # the time is for the whole run
            config = replace(config, minutes=config.minutes / len(self.stages))
        history = _read_finished_history(self.out)
        for stage in self.stages[:-1]:
            fold_file = self.out / "folds" / f"{stage.name}.safetensors"
            if not fold_file.is_file():
                trainer = StageTrainer(config, stage, self.pictures.store, self.device)
                if not _train_stage(trainer, checkpoint, stop, listener):
                    return False
                history += _rows(trainer)
                write_history(self.out / "history.csv", history)
                fold_file.parent.mkdir(exist_ok=True)
                write_tensors(fold_file, trainer.chosen().state_dict(), {"stage": stage.name})
        trainer = StageTrainer(config, self.stages[-1], self.pictures.store, self.device)
        if not _train_stage(trainer, checkpoint, stop, listener):
            write_history(self.out / "history.csv", [*history, *_rows(trainer)])
            return False
        history += _rows(trainer)
        write_history(self.out / "history.csv", history)
        self._finish(trainer, history)
        checkpoint.unlink(missing_ok=True)
        return True

    def _finish(self, trainer: StageTrainer, history: list[dict[str, Any]]) -> None:
        """Measure the trained model on held-back pictures and write everything that a run leaves behind."""
        model = trainer.chosen()
        statistics, scores = self._cross_fit() if self.split.folds else self._held_back(model)
        threshold = conformal_threshold(scores, self.config.target_frr, self.split.method)
        if threshold.warning:
            self.warn(threshold.warning)
        write_model(self.out / MODEL_FILE, model, statistics, threshold)
        training_curves(history, self.out / "training_curves.png")
        self._draw_contact_sheet(model, statistics, threshold)
        write_json(self.out / "metrics.json", self._metrics(trainer, model, threshold))

    def closing_words(self) -> str:
        """Say what came out, where it lies, and what to do next."""
        metrics = json.loads((self.out / "metrics.json").read_text(encoding="utf-8"))
        promised, count = metrics["calibration"]["promised_frr"], metrics["calibration"]["count"]
        chosen = (
            ""
            if metrics["select_score"] is None
            else (
                f"; step {metrics['chosen_step']} chosen: finds synthetic defects with an average precision of "
                f"{metrics['select_score']:.2f}"
            )
        )
        return "\n".join(
            [
                f"trained {metrics['steps']} steps in {metrics['training_seconds'] / 60:.1f} minutes{chosen}",
                f"threshold {metrics['threshold']:.4g}: rejects at most {promised:.1%} of good parts, from {count} "
                "good pictures",
                f"look at {self.out / 'contact_sheet.png'} and {self.out / 'training_curves.png'}",
                f"next: aae-export {self.out}",
            ]
        )

    def _held_back(self, model: AdversarialAutoencoder) -> tuple[PlaceStatistics, NDArray[np.float32]]:
        """Statistics from the select pictures, scores of the calibrate pictures, which nothing else touched."""
        statistics = fit_statistics(self._evidence(model, self.split.select))
        return statistics, _scores(statistics, self._evidence(model, self.split.calibrate))

    def _cross_fit(self) -> tuple[PlaceStatistics, NDArray[np.float32]]:
        """Statistics and scores of pictures by the models that did not learn them.

        Each picture's evidence comes from the model of its fold, and is standardised by the statistics of the other
        folds' pictures, so that it took no part in anything that it is scored by.
        """
        folds = []
        for number, fold in enumerate(self.split.folds, start=1):
            model = AdversarialAutoencoder(self.config).to(self.device)
            model.load_state_dict(read_tensors(self.out / "folds" / f"fold-{number}.safetensors")[0])
            folds.append(self._evidence(model.eval(), fold))
        scores = []
        for number, held_back in enumerate(folds):
            others = np.concatenate([evidence for k, evidence in enumerate(folds) if k != number])
            scores.append(_scores(fit_statistics(others), held_back))
        return fit_statistics(np.concatenate(folds)), np.concatenate(scores)

    def _evidence(self, model: AdversarialAutoencoder, numbers: Sequence[int]) -> NDArray[np.float32]:
        return measure_evidence(model, np.stack([self.pictures.store[number] for number in numbers]))

    def _draw_contact_sheet(
        self, model: AdversarialAutoencoder, statistics: PlaceStatistics, threshold: Threshold
    ) -> None:
        """Draw held-back good pictures beside what the model makes of them."""
        held_back = self.split.calibrate or self.split.train
        chosen = [held_back[i] for i in np.linspace(0, len(held_back) - 1, min(_SAMPLES, len(held_back))).astype(int)]
        centre, spread = (torch.from_numpy(a).to(self.device) for a in (statistics.centre, statistics.spread))
        detector = build_detector(model, centre, spread)
        images = np.stack([self.pictures.store[number] for number in chosen])
        with torch.no_grad():
            maps, scores, drawn = (t.cpu().numpy() for t in detector(torch.from_numpy(images).to(self.device)))
        samples = [
            Sample(image, drawing, anomaly_map, float(score), Path(self.names[number]).name)
            for image, drawing, anomaly_map, score, number in zip(images, drawn, maps, scores, chosen, strict=True)
        ]
        contact_sheet(samples, self.out / "contact_sheet.png", colour_scale(threshold.value), threshold.value)

    def _metrics(self, trainer: StageTrainer, model: AdversarialAutoencoder, threshold: Threshold) -> dict[str, Any]:
        split, progress = self.split, trainer.progress
        return {
            "model": self.config.model,
            "pictures": {
                "train": len(split.train),
                "select": len(split.select),
                "calibrate": len(split.calibrate),
                "folds": [len(fold) for fold in split.folds],
                "skipped": len(self.pictures.skipped),
            },
            "steps": progress.step,
            "training_seconds": round(progress.seconds, 1),
            "device": str(self.device),
            "bf16": bool(make_autocast(self.device)._enabled),
            "select_score": progress.best_score,
            "chosen_step": progress.best_step or progress.step,
            "threshold": threshold.value,
            "calibration": asdict(threshold.calibration),
            "latent": self._latent_summary(model),
            "warnings": self.warnings,
            "versions": {"aae-detect": __version__, "torch": torch.__version__, "numpy": version("numpy")},
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    @torch.no_grad()
    def _latent_summary(self, model: AdversarialAutoencoder) -> dict[str, float]:
        """How the codes of good pictures compare with the prior, which has mean 0 and standard deviation 1."""
        numbers = (self.split.calibrate or self.split.train)[:64]
        images = np.stack([self.pictures.store[number] for number in numbers])
        codes = model.encoder(to_pictures(images, self.device)).float()
        return {"mean": float(codes.mean()), "standard_deviation": float(codes.std())}


def colour_scale(threshold: float) -> tuple[float, float]:
    """Return the map values of the coldest and the hottest colour: from the average good place to twice the threshold.

    Zero is the centre of the good pictures, because the map is standardised.
    """
    return 0.0, 2.0 * max(threshold, 1.0)


def prepare_folder(out: Path, config: TrainConfig, resume: bool) -> None:
    """Refuse a folder that would mix two runs.

    Raises:
        ConfigError: it holds something and --resume was not given; or it was, and the settings differ.
    """
    config_file = out / "config.json"
    if resume:
        if not config_file.is_file():
            raise ConfigError(
                f"--resume: {out} holds no config.json, so no run was begun there; start without --resume"
            )
        before = asdict(TrainConfig.load(out))
        if changed := [name for name, value in asdict(config).items() if before[name] != value]:
            what = ", ".join(f"{name} was {before[name]}, now {asdict(config)[name]}" for name in changed)
            raise ConfigError(f"--resume: the settings differ from the run's ({what}); give the same ones")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} exists and is not an empty folder; choose another, or continue with --resume")


def _train_stage(trainer: StageTrainer, checkpoint: Path, stop: Callable[[], bool], listener: Listener) -> bool:
    if checkpoint.is_file():
        trainer.restore(checkpoint)
    return trainer.train(checkpoint, stop, listener)


def _read_pictures(config: TrainConfig) -> tuple[PictureReport, tuple[str, ...], int]:
    """Check the pictures; returns them, a name for each, and how many of them (the last ones) are for validation."""
    folder = find_pictures(Path(config.data))
    report = check_pictures(
        (*folder.good, *folder.validation),
        config.input_hw,
        config.skip_unreadable,
        fit=config.fit,
        bits=config.bits,
    )
    kept = [info.path for info in report.pictures]
    names = tuple(folder.name(path) for path in kept)
    validation = set(folder.validation)
    return report, names, sum(path in validation for path in kept)


def _stages(split: Split) -> list[Stage]:
    """List the models that a run trains, in order; the last one ships."""
    folds = [Stage(k + 1, f"fold-{k + 1}", split.train_without(k), ()) for k in range(len(split.folds))]
    return [*folds, Stage(0, "final", split.train, split.select)]


def _scores(statistics: PlaceStatistics, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = statistics.standardise(evidence).max(axis=(1, 2))
    return scores


def _rows(trainer: StageTrainer) -> list[dict[str, Any]]:
    return [{"stage": trainer.stage.name, **row} for row in trainer.progress.history]


def _read_finished_history(out: Path) -> list[dict[str, Any]]:
    """Read the rows of stages that are finished; those of the stage in progress are in its checkpoint."""
    path = out / "history.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    finished = {file.stem for file in (out / "folds").glob("*.safetensors")}
    return [row for row in rows if row["stage"] in finished]


def describe(run: Run) -> str:
    """Say what a run will do, for --dry-run and for the first lines of a run."""
    split, config = run.split, run.config
    if split.folds:
        parts = f"all train; {len(split.folds)}-fold cross-fit for statistics and threshold"
    else:
        parts = f"{len(split.train)} train, {len(split.select)} select, {len(split.calibrate)} calibrate"
    budget = f"{config.steps} steps each" if config.steps is not None else f"{config.minutes:g} minutes in all"
    height, width = config.input_hw
    lines = [
        f"data      {config.data}: {len(run.names)} good pictures ({parts})",
        f"model     {config.model}, {height}x{width} {config.fit}, latent {config.latent_dim}",
        f"training  {len(run.stages)} model{'s' * (len(run.stages) > 1)}, {budget}, batch {config.batch_size}, "
        f"on {run.device}{' in bf16' if make_autocast(run.device)._enabled else ''}",
        f"run       {run.out}",
    ]
    return "\n".join(lines)

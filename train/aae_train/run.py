"""A training run from a folder of pictures to a finished run folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aae_detect.errors import ConfigError
from aae_detect.whole_file import write_whole
from aae_train.checkpoint import write_tensors
from aae_train.compute import choose_device, make_autocast
from aae_train.config import TrainConfig
from aae_train.figures import training_curves
from aae_train.finish import Finisher
from aae_train.pictures import PictureReport, check_pictures, find_pictures
from aae_train.run_folder import MODEL_FILE, fold_file, write_history, write_json, write_model
from aae_train.split import Split, split_pictures
from aae_train.stage import Listener, Stage, StageTrainer


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
        write_whole(self.out / "split.json", self.split.to_json(self.names))
        write_whole(self.out / "config.json", self.config.to_json())
        checkpoint = self.out / "checkpoint.safetensors"
        config = self.config
        if config.minutes is not None:  # the time is for the whole run
            config = replace(config, minutes=config.minutes / len(self.stages))
        history = _read_finished_history(self.out)
        for stage in self.stages[:-1]:
            fold = fold_file(self.out, stage.name)
            if not fold.is_file():
                trainer = StageTrainer(config, stage, self.pictures.store, self.device)
                if not _train_stage(trainer, checkpoint, stop, listener):
                    return False
                history += _rows(trainer)
                write_history(self.out / "history.csv", history)
                fold.parent.mkdir(exist_ok=True)
                write_tensors(fold, trainer.chosen().state_dict(), {"stage": stage.name})
        trainer = StageTrainer(config, self.stages[-1], self.pictures.store, self.device)
        if not _train_stage(trainer, checkpoint, stop, listener):
            write_history(self.out / "history.csv", [*history, *_rows(trainer)])
            return False
        history += _rows(trainer)
        write_history(self.out / "history.csv", history)
        trainer.save(checkpoint)
        self._finish(trainer, history)
        return True

    def _finish(self, trainer: StageTrainer, history: list[dict[str, Any]]) -> None:
        """Measure the trained model on held-back pictures and write everything that a run leaves behind."""
        finisher = Finisher(self.config, self.out, self.pictures.store, self.names, self.split, self.device)
        model = trainer.chosen()
        statistics, threshold = finisher.calibrate(model)
        if threshold.warning:
            self.warn(threshold.warning)
        finisher.draw_contact_sheet(model, statistics, threshold)
        training_curves(history, self.out / "training_curves.png")
        metrics = finisher.metrics(model, threshold, trainer.progress)
        metrics["pictures"]["skipped"] = len(self.pictures.skipped)
        write_json(self.out / "metrics.json", {**metrics, "warnings": self.warnings})
        # Last: a folder that holds it is finished, also for a run that was killed right here.
        write_model(self.out / MODEL_FILE, model, statistics, threshold)

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


def check_new_folder(out: Path) -> None:
    """Refuse a folder that would mix two runs.

    Raises:
        ConfigError: it holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} exists and is not an empty folder; choose another, or continue with --resume")


def settings_to_resume(out: Path, asked: TrainConfig, typed: set[str]) -> TrainConfig:
    """Return the settings that a run was begun with: they hold for all of it, and need not be typed again.

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
    if changed := [name for name in sorted(typed) if now[name] != before[name]]:
        what = ", ".join(f"{name} was {before[name]}, now {now[name]}" for name in changed)
        raise ConfigError(f"--resume: the settings differ from the run's ({what}); leave them out, or start a new run")
    return begun


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

"""A training run from a folder of pictures to a finished run folder."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aae_detect.errors import ConfigError
from aae_detect.prior import Prior
from aae_detect.whole_file import write_whole
from aae_train.checkpoint import read_tensors, write_tensors
from aae_train.compute import memory_errors
from aae_train.config import CUSTOM, TrainConfig
from aae_train.figures import training_curves
from aae_train.finish import Finisher
from aae_train.held_out import Calibrated
from aae_train.look_through import look_again, look_through, weigh_odd_ones, write_odd_ones
from aae_train.processes import Processes
from aae_train.report.document import write_report
from aae_train.report.measure import Examined
from aae_train.run_folder import (
    MODEL_FILE,
    PRIOR_FILE,
    REPORT_FILE,
    fold_file,
    read_prior,
    write_history,
    write_json,
    write_model,
    write_prior,
)
from aae_train.shared_pictures import check_shares, read_shared_pictures
from aae_train.smallest_spot import measure_smallest_spot
from aae_train.split import Split, split_pictures
from aae_train.stage import Listener, Stage, StageTrainer

FOLDS_SHARE = 0.5
"""Share of the time that the models of a cross-fit have together; the other half is for the one that ships."""


class Run:
    """One run folder and what is needed to bring it to its end."""

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        say: Callable[[str], None],
        processes: Processes | None = None,
        prior: Prior | None = None,
    ) -> None:
        """Check the pictures and deal them out; writes nothing.

        Args:
            config: What was asked for.
            out: The run folder, which need not exist.
            say: Gets each warning for the user.
            processes: Who shares the run; None finds out.
            prior: From `custom_prior.record_prior`, where the settings say `custom`; a run that is resumed has it.

        Raises:
            ConfigError: the pictures cannot be used, or the prior is missing or not asked for.
        """
        self.config, self.out = config, out
        self.warnings: list[str] = []
        self._say = say
        self.processes = processes or Processes(config.device)
        self.device = self.processes.device
        self.processes.lead(lambda: check_shares(config.batch_size, self.processes.count))
        self.prior = self.processes.lead(lambda: _find_prior(config, out, prior))
        self.pictures, self.names, validation_count = read_shared_pictures(config, self.processes)
        for warning in self.pictures.warnings:
            self.warn(warning)
        self.split = self.processes.lead(lambda: self._find_split(validation_count))
        # Everywhere, though the leader would do: reading many large pictures takes longer than the others wait for it.
        self.odd = self.processes.together(
            lambda: look_through(self.pictures.store, self.names, self.warn, self.split.calibrate)
        )
        self.stages = _stages(self.split)

    def warn(self, text: str) -> None:
        """Tell the user, and keep it for `metrics.json`."""
        self.warnings.append(text)
        self._say(text)

    @memory_errors()
    def train(self, stop: Callable[[], bool], listener: Listener) -> bool:
        """Train every model of the run that is not finished yet, then finish the folder.

        Returns:
            False where `stop` ended it early; `resume` continues it then.

        Raises:
            AaeDetectError: the training diverged, or the memory of a GPU does not suffice.
        """
        self.processes.lead(self._begin_folder)
        checkpoint = self.out / "checkpoint.safetensors"
        config = self.config
        history = self.processes.lead(lambda: _read_finished_history(self.out))
        for stage in self.stages[:-1]:
            fold = fold_file(self.out, stage.name)
            if not self.processes.agree(fold.is_file()):
                trainer = self._trainer(_budgeted(config, FOLDS_SHARE / len(self.stages[:-1])), stage)
                if not self._train_stage(trainer, checkpoint, stop, listener):
                    return self.processes.agree(False)
                history += _rows(trainer)
                self._keep_fold(fold, trainer, history)
        share = 1 - FOLDS_SHARE if self.split.folds else 1.0
        trainer = self._trainer(_budgeted(config, share), self.stages[-1])
        finished = self._train_stage(trainer, checkpoint, stop, listener)
        history += _rows(trainer)
        if self.processes.leads:
            write_history(self.out / "history.csv", history)
        if finished:
            trainer.save(checkpoint)
            self.processes.lead(lambda: self._finish(trainer, history))
        return self.processes.agree(finished)  # so that all wait until the leader has written

    def _keep_fold(self, fold: Path, trainer: StageTrainer, history: list[dict[str, Any]]) -> None:
        def write() -> None:
            write_history(self.out / "history.csv", history)
            fold.parent.mkdir(exist_ok=True)
            notes = {"stage": trainer.stage.name, "seconds": trainer.progress.seconds}
            write_tensors(fold, trainer.chosen().state_dict(), notes)

        self.processes.lead(write)

    def _find_split(self, validation_count: int) -> Split:
        split_file = self.out / "split.json"
        if split_file.is_file():
            return Split.from_json(split_file.read_text(encoding="utf-8"), self.names)
        good_count = len(self.names) - validation_count
        return split_pictures(good_count, self.config.seed, validation_count, self.pictures.groups)

    def _begin_folder(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        # First: a folder that holds it can be resumed, also by a run that was killed right here and has no split yet.
        write_whole(self.out / "config.json", self.config.to_json())
        write_whole(self.out / "split.json", self.split.to_json(self.names))
        write_odd_ones(self.odd, self.pictures.store, self.names, self.out)
        if self.config.prior == CUSTOM:
            write_prior(self.out, self.prior)

    def _trainer(self, config: TrainConfig, stage: Stage) -> StageTrainer:
        return StageTrainer(config, stage, self.pictures.store, self.prior, self.processes)

    def _train_stage(
        self, trainer: StageTrainer, checkpoint: Path, stop: Callable[[], bool], listener: Listener
    ) -> bool:
        if self.processes.agree(checkpoint.is_file()):
            trainer.restore(checkpoint)
        return trainer.train(checkpoint, stop, listener)

    def _finish(self, trainer: StageTrainer, history: list[dict[str, Any]]) -> None:
        """Measure the trained model on held-back pictures and write everything that a run leaves behind."""
        finisher = Finisher(self.config, self.out, self.pictures.store, self.names, self.split, self.device)
        detector = trainer.chosen()
        model = detector.model
        calibrated = finisher.calibrate(detector, self.odd.found)
        threshold = calibrated.threshold
        if threshold.warning:
            self.warn(threshold.warning)
        self.odd = look_again(self.odd, calibrated, self.pictures.store, self.names, self.warn)
        weigh_odd_ones(self.odd, calibrated, self.names, self.warn)
        write_odd_ones(self.odd, self.pictures.store, self.names, self.out)
        finisher.draw_contact_sheet(calibrated)
        training_curves(history, self.out / "training_curves.png")
        health = finisher.examine(model, self.prior, trainer.progress)
        for warning in health.warnings(self.config.adversarial_loss):
            self.warn(warning)
        metrics = finisher.metrics(model, threshold, trainer.progress, health)
        folds = [read_tensors(fold_file(self.out, stage.name))[1] for stage in self.stages[:-1]]
        seconds = trainer.progress.seconds + sum(notes["seconds"] for notes in folds)
        spot = measure_smallest_spot(calibrated.held_out, self.pictures.store, threshold.value)
        metrics["smallest_spot"] = spot.to_dict()
        metrics["changes"] = asdict(trainer.changes)
        metrics["training_seconds"] = round(seconds, 1)
        metrics["pictures"]["skipped"] = len(self.pictures.skipped)
        self._report(metrics, calibrated)
        write_json(self.out / "metrics.json", {**metrics, "warnings": self.warnings})
        # Last: a folder that holds it is finished, also for a run that was killed right here.
        golden = finisher.golden(detector, calibrated.statistics)
        write_model(self.out / MODEL_FILE, detector, self.config.model, calibrated.statistics, threshold, golden)

    def _report(self, metrics: dict[str, Any], calibrated: Calibrated) -> None:
        told = {**metrics, "warnings": list(self.warnings)}
        seen = Examined(self.config, self.out, self.pictures.store, self.names, calibrated, self.odd)
        try:
            write_report(told, seen)
        except Exception as error:  # whatever is wrong with a page, hours of training must not be lost to it
            self.warn(f"{REPORT_FILE} could not be written ({error!r}); the model is not affected")


def _budgeted(config: TrainConfig, share: float) -> TrainConfig:
    """Give a stage its share of the time, which is for the whole run; steps are for each model."""
    return config if config.minutes is None else replace(config, minutes=config.minutes * share)


def _find_prior(config: TrainConfig, out: Path, given: Prior | None) -> Prior:
    if (given is not None) != (config.prior == CUSTOM) and not (out / PRIOR_FILE).is_file():
        raise ConfigError(
            f"prior {config.prior!r} in the settings, and {'a' if given else 'no'} prior given in Python: "
            f"a prior of your own goes with prior={CUSTOM!r} and Run(..., prior=record_prior(...))"
        )
    if given is None:
        return read_prior(out, config)
    given.require_dim(config.latent_chw[0])
    return given


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

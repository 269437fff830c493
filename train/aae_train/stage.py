"""Training one model from its first step to its last: the loop that a run goes through once, or once per fold."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aae_detect.errors import AaeDetectError
from aae_detect.prior import Prior
from aae_train.checkpoint import pack_training, read_tensors, unpack_training, write_tensors
from aae_train.compute import shrunk, to_pictures
from aae_train.config import TrainConfig
from aae_train.detector import Detector, make_detector
from aae_train.draw import Draw
from aae_train.family import Losses, Pictures
from aae_train.loader import Batch, Store
from aae_train.phases import HEAD_PHASE, learning_rate_share, list_phases
from aae_train.players import Players
from aae_train.processes import Processes
from aae_train.select_score import SelectScore
from aae_train.stage_pictures import StagePictures
from aae_train.starting_point import take_starting_point
from aae_train.tile import for_whole_pictures

EMA_DECAY = 0.995
"""The shipped weights are a running average over about 200 steps: calmer than any single step of two players."""

SELECTIONS = 10
"""How often the checkpoint is compared with the best so far."""

CHECKPOINT_SECONDS = 60.0
HISTORY_EVERY = 10

_START_STREAM = 8
"""Keeps the numbers of the start apart from those of the steps."""


@dataclass(frozen=True)
class Stage:
    """One model to train."""

    number: int
    """Feeds the random numbers, so that folds do not see the same batches."""
    name: str
    """`final` or `fold-K`."""
    train: tuple[int, ...]
    select: tuple[int, ...]
    """Empty where nothing may be chosen by looking: the last weights are taken then."""


@dataclass
class Progress:
    """How far a stage is; all that is not a tensor in a checkpoint."""

    stage: str
    step: int = 0
    phase: int = 0
    """Number of the family's phase, from 0."""
    phase_step: int = 0
    """Step with which the phase began."""
    seconds: float = 0.0
    """Training time so far, over all sittings."""
    selections_done: int = 0
    best_score: float | None = None
    best_step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


Listener = Callable[[Stage, float, Losses, Progress], None]
"""Called after each step with the stage, the share that is done (0 to 1), the losses and the progress."""


class StageTrainer:
    """Trains the model of one stage; can be stopped after any step and continued in another process."""

    def __init__(self, config: TrainConfig, stage: Stage, store: Store, prior: Prior, processes: Processes) -> None:
        self.stage, self.processes = stage, processes
        self._whole = config
        # The networks are as large as what they learn from.
        self.config = config if config.tile is None else replace(config, input_hw=(config.tile, config.tile))
        config = self.config
        self._prior = prior
        device = processes.device
        torch.manual_seed(config.seed * 1000 + stage.number)  # every process starts with the same weights
        detector = make_detector(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.detector: Detector = detector
        self.model, self.judge = self.detector.model, self.detector.judge
        self.pictures = StagePictures(store, stage.train, stage.number, config, processes)
        self.changes = self.pictures.changes
        first = self.pictures.first()
        rng = np.random.default_rng([config.seed, stage.number, _START_STREAM])
        samples = prior.sample_codes(len(first), self.model.prior_chw, rng)
        self.model.start(first, torch.from_numpy(samples).to(device))
        if self.judge.learns:
            self.judge.prepare(self.pictures.good_examples())
        if config.start == "drawn":
            take_starting_point(self.detector)
        self.phases = list_phases(self.model.phases, self.judge.learns)
        self.average: Detector = copy.deepcopy(self.detector).requires_grad_(False)
        players = self.model.players(config) | self.judge.players(config)
        self.players = Players(players, processes, config.precision)
        self.progress = Progress(stage.name)
        self._best: dict[str, Tensor] = {}
        self._select_score = SelectScore(store, stage.select) if stage.select else None

    def restore(self, path: Path) -> bool:
        """Continue from a checkpoint, if it is one of this stage."""
        tensors, notes = self.processes.lead(lambda: read_tensors(path))
        if notes["stage"] != self.stage.name:
            return False
        unpack_training(_under("training.", tensors), self.detector, self.players)
        self.average.load_state_dict(_under("average.", tensors))
        self._best = {name: t.to(self.processes.device) for name, t in _under("best.", tensors).items()}
        self.progress = Progress(**notes)
        return True

    def save(self, path: Path) -> None:
        """Write all that the next step depends on; in all processes, of which one writes.

        Raises:
            AaeDetectError: the weights are no finite numbers; the file stays as it was.
        """
        self._require_finite_weights()
        self.processes.lead(lambda: self._write(path))

    def _write(self, path: Path) -> None:
        tensors = {f"training.{n}": t for n, t in pack_training(self.detector, self.players).items()}
        tensors |= {f"average.{n}": t for n, t in self.average.state_dict().items()}
        tensors |= {f"best.{n}": t for n, t in self._best.items()}
        write_tensors(path, tensors, asdict(self.progress))

    def train(self, checkpoint: Path, stop: Callable[[], bool], listener: Listener) -> bool:
        """Train to the end of the stage's budget.

        Args:
            checkpoint: Written at the start, every minute, and when stopped.
            stop: Asked after each step.
            listener: Told after each step.

        Returns:
            False where it was stopped before the end; the checkpoint is written then.

        Raises:
            AaeDetectError: it diverged; the checkpoint is the last good one.
        """
        progress = self.progress
        with self.pictures.batches(progress.step) as loader:
            self.save(checkpoint)
            last, saved = time.monotonic(), progress.seconds
            while (done := self._share_done()) < 1.0:
                losses = self._step(next(loader), done)
                now = time.monotonic()
                # Time and wishes are those of all, so that all end a phase, and the stage, with the same step.
                told = self.processes.mean({"seconds": now - last, "stop": float(stop())})
                progress.seconds += told["seconds"]
                last = now
                self._maybe_select()
                listener(self.stage, self._share_done(), losses, progress)
                stopped = told["stop"] > 0
                if stopped or progress.seconds - saved > CHECKPOINT_SECONDS:
                    self.save(checkpoint)
                    saved = progress.seconds
                if stopped:
                    return False
        self._require_finite_weights()
        return True

    def _step(self, batch: Batch, done: float) -> Losses:
        """Take one step with a share of the budget done, 0 to 1."""
        progress = self.progress
        begins, ends = self._enter_phase(done)
        rate = learning_rate_share((done - begins) / (ends - begins), progress.step - progress.phase_step)
        self.players.set_rate(rate)
        device = self.processes.device
        mask = torch.from_numpy(batch.mask).to(device)
        clean = shrunk(to_pictures(batch.clean, device), self.config.layout.drawing_step)
        pictures = Pictures(to_pictures(batch.input, device), clean, mask, self.pictures.groups(batch.indices))
        number = self.stage.number
        draw = Draw(self._prior, self.model.prior_chw, self.config.seed, number, progress.step, self.processes)
        phase = self.phases[progress.phase].name
        if phase == HEAD_PHASE:
            with torch.no_grad(), self.players.autocast():
                drawn = self.model(pictures.shown).float().clamp(-1.0, 1.0)
            losses = self.judge.step(pictures, drawn, self.players)
        else:
            losses = self.model.step(phase, pictures, draw, self.players)
        losses = self.processes.mean(losses)
        progress.step += 1
        self._require_finite(losses)
        self._update_average()
        if progress.step % HISTORY_EVERY == 0 or progress.step == 1:
            progress.history.append({"step": progress.step, "phase": phase, **losses})
        return losses

    def _require_finite(self, measured: Losses) -> None:
        """Refuse to go on from what is no number, before anything is chosen by it or takes the checkpoint's place.

        Raises:
            AaeDetectError: the training diverged.
        """
        if all(map(math.isfinite, measured.values())):
            return
        told = ", ".join(f"{name} {value:.3g}" for name, value in measured.items())

        def fail() -> None:
            raise AaeDetectError(
                f"the training of {self.stage.name} diverged at step {self.progress.step} ({told}; expected finite "
                f"numbers); start a new run with a smaller --lr than {self.config.lr:g}"
            )

        self.processes.lead(fail)  # all measured the same, and one tells

    def _require_finite_weights(self) -> None:
        # Of the average, which a weight spoils for good if it is no finite number for a single step.
        self._require_finite({"weights": float(torch.nn.utils.get_total_norm(self.average.parameters()))})

    def _enter_phase(self, done: float) -> tuple[float, float]:
        """Go to the phase that a share of the budget belongs to; returns where it begins and ends, 0 to 1.

        A new phase starts with the averaged weights: what is kept still from there on is kept at its best.
        """
        progress, phases = self.progress, self.phases
        ends = list(itertools.accumulate(phase.share for phase in phases))
        while progress.phase < len(phases) - 1 and done >= ends[progress.phase]:
            progress.phase += 1
            progress.phase_step = progress.step
            self.detector.load_state_dict(self.average.state_dict())
        return ends[progress.phase] - phases[progress.phase].share, ends[progress.phase]

    def chosen(self) -> Detector:
        """Return the detector to ship: the best checkpoint by the select score, else the average of the last steps."""
        if self._best:
            self.average.load_state_dict(self._best)
        return for_whole_pictures(self.average, self._whole)

    def _share_done(self) -> float:
        if self.config.steps is not None:
            return self.progress.step / self.config.steps
        assert self.config.minutes is not None  # TrainConfig holds exactly one of the two
        # The first step warms caches and compiles nothing, yet a stage must take one, however short the time.
        return min(1.0, self.progress.seconds / (self.config.minutes * 60)) if self.progress.step else 0.0

    @torch.no_grad()
    def _update_average(self) -> None:
        in_phase = self.progress.step - self.progress.phase_step
        # Early on the average follows closely: it must not carry the untrained start for hundreds of steps.
        decay = min(EMA_DECAY, (1 + in_phase) / (10 + in_phase))
        for mean, weight in zip(self.average.parameters(), self.detector.parameters(), strict=True):
            mean.lerp_(weight, 1 - decay)
        for kept, value in zip(self.average.buffers(), self.detector.buffers(), strict=True):
            kept.copy_(value)

    def _maybe_select(self) -> None:
        """Compare the averaged weights with the best so far: ten times in the phases that select, last at the end."""
        progress, select_score = self.progress, self._select_score
        selecting = sum(phase.share for phase in self.phases if phase.selects)
        due = int((1 - (1 - self._share_done()) / selecting) * SELECTIONS + 1e-9)
        if select_score is None or due <= progress.selections_done or not self.phases[progress.phase].selects:
            return
        self._require_finite_weights()
        progress.selections_done = due
        score = self.processes.lead(lambda: select_score.measure(for_whole_pictures(self.average, self._whole)))
        progress.history.append({"step": progress.step, "select_score": score})
        if progress.best_score is None or score > progress.best_score:
            progress.best_score, progress.best_step = score, progress.step
            self._best = {name: tensor.clone() for name, tensor in self.average.state_dict().items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

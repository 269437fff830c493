"""A school: one process in which a head learns from many drawn products at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae_train.compute import keep_memory, to_pictures
from aae_train.config import TrainConfig
from aae_train.detector import Detector
from aae_train.family import Pictures
from aae_train.head import Head
from aae_train.head_judge import HeadJudge
from aae_train.loader import BatchLoader
from aae_train.players import Players
from aae_train.processes import Processes
from aae_train.stage import Stage, StageTrainer
from aae_train.stage_pictures import StagePictures
from aae_train.starting_point import HEAD, PARTS, take_starting_point
from drawn.products import draw_product

PICTURES = 64
"""Good ones of each product."""

DRAWING_STEPS = 100
"""In which the drawer learns a product."""

HEAD_STEPS = 200
"""For each product that a school takes in."""

SEED = 1

Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Lesson:
    """A product as the head sees it: its drawer and its places, and pictures with and without defects."""

    detector: Detector
    pictures: StagePictures
    loader: BatchLoader

    def teach(self, players: Players) -> float:
        """Take a step of the head; returns the loss."""
        batch = next(self.loader)
        groups = self.pictures.groups(batch.indices)
        shown = to_pictures(batch.input, "cpu")
        with torch.no_grad(), players.autocast():
            drawn = self.detector.model(shown).float().clamp(-1.0, 1.0)
        pictures = Pictures(shown, to_pictures(batch.clean, "cpu"), torch.from_numpy(batch.mask), groups)
        return self.detector.judge.step(pictures, drawn, players)["head"]


class School:
    """The products that a head learns from at present."""

    def __init__(self) -> None:
        self._lessons: dict[int, Lesson] = {}
        self._head: Head | None = None
        self._players: Players | None = None

    def round(self, numbers: Sequence[int], point: Path, rate: float) -> tuple[Weights, float]:
        """Let the products be those with these numbers, the newest first, and teach the head.

        Args:
            numbers: Of products; those that are here already are kept.
            point: File of weights: where new products' drawers begin, and the head goes on.
            rate: Learning rate of the head, as a share of its peak.

        Returns:
            Where the newest product's drawer and the head have ended, and the mean loss.
        """
        torch.set_num_threads(1)
        keep_memory()
        for left in self._lessons.keys() - set(numbers):
            self._lessons.pop(left).loader.close()
        for number in numbers:
            if number not in self._lessons:
                self._lessons[number] = self._take_in(number, point)
        newest = self._lessons[numbers[0]].detector
        take_starting_point(newest, point, (HEAD,))  # all products' judges share it
        if self._players is None:
            self._players = Players(newest.judge.players(_config(0)), Processes("cpu"))
        self._players.set_rate(rate)
        rng = np.random.default_rng([SEED, *numbers])
        chosen = rng.permutation(np.resize(list(numbers), HEAD_STEPS))
        losses = [self._lessons[number].teach(self._players) for number in chosen]
        return parts_of(newest), float(np.mean(losses))

    def _take_in(self, number: int, point: Path) -> Lesson:
        """Train a product's drawer, and find what is usual at its places."""
        pictures = draw_pictures(number)
        trainer = make_trainer(number, pictures)
        for detector in (trainer.detector, trainer.average):
            take_starting_point(detector, point)
        trainer.phases = trainer.model.phases  # without the head's
        with TemporaryDirectory() as folder:
            trainer.train(Path(folder) / "checkpoint.safetensors", lambda: False, lambda *_: None)
        detector = trainer.chosen().requires_grad_(False)
        judge = detector.judge
        assert isinstance(judge, HeadJudge)
        # All products' judges share a head, which is what learns.
        self._head = self._head or judge.head.requires_grad_(True)
        judge.head = self._head
        return Lesson(detector, trainer.pictures, trainer.pictures.batches(DRAWING_STEPS))


def draw_pictures(number: int) -> NDArray[np.uint8]:
    """Draw a product's good pictures, (PICTURES, 256, 256, 3) uint8 BGR."""
    product = draw_product(np.random.default_rng([SEED, number]))
    return np.stack([product.picture(np.random.default_rng([SEED, number, n])) for n in range(PICTURES)])


def make_trainer(number: int, pictures: NDArray[np.uint8]) -> StageTrainer:
    """Get ready to train a product, from nothing."""
    config = _config(number)
    stage = Stage(0, "final", tuple(range(PICTURES)), ())
    return StageTrainer(config, stage, pictures, config.make_prior(), Processes("cpu"))


def parts_of(detector: Detector) -> Weights:
    """Return a copy of what a starting point has of a detector."""
    state = detector.state_dict()
    return {name: state[name].clone() for part in PARTS for name in state if name.startswith(part)}


def _config(number: int) -> TrainConfig:
    return TrainConfig(data=f"drawn product {number}", steps=DRAWING_STEPS, seed=number, start="scratch")

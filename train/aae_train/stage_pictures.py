"""What a stage shows to those who learn: pictures or tiles of them, changed as far as the good ones allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aae_train.augment import cut_tile
from aae_train.changes import MOST_PICTURES, learn_changes
from aae_train.compute import to_pictures
from aae_train.config import TrainConfig
from aae_train.loader import BatchLoader, Store
from aae_train.processes import Processes

_MOST_FIRST = 32
"""Pictures that the weights are scaled to."""

_FIRST_LOOK = 100
"""Keeps what the judge is shown apart from the batches of the stages."""

_CUT_STREAM = 9
"""Keeps the places of the tiles that are looked at first apart from those of the steps."""

_FEWEST_EXAMPLES, _MOST_EXAMPLES = 240, 300
"""Changed good pictures of 256x256 that the judge learns from before the first step, and as many as they are; of larger
ones fewer, as all of them have to be in memory at once."""

_LEAST_EXAMPLES = 48


class StagePictures:
    """The training pictures of one stage."""

    def __init__(
        self, store: Store, numbers: tuple[int, ...], stage: int, config: TrainConfig, processes: Processes
    ) -> None:
        """Find out how far they may be changed.

        Args:
            store: All pictures.
            numbers: Those that the stage learns from.
            stage: Its number; stages see different batches.
            config: Whose `input_hw` is the size of what is shown: of a tile, where there are tiles.
            processes: Who shares the batches.
        """
        self._store, self._numbers, self._stage = store, numbers, stage
        self._config, self._processes = config, processes
        self.changes = processes.lead(lambda: learn_changes(self._spread(MOST_PICTURES)))

    def first(self) -> Tensor:
        """Return what the weights are scaled to, (N, 3, H, W) in [-1, 1]."""
        return to_pictures(self._spread(_MOST_FIRST), self._processes.device)

    def good_examples(self) -> tuple[Tensor, int]:
        """Return good pictures, (N, 3, H, W) in [-1, 1], and how many of them differ in more than by a change.

        Half are changed as in training. The others are as they are, because most of what will come is: against changed
        ones alone, places find synthetic defects with a pixel AP of 33.1 instead of 32.3 (mean of five sets).
        """
        count = len(self._numbers)
        height, width = self._config.input_hw
        most = max(_LEAST_EXAMPLES, min(_MOST_EXAMPLES, _MOST_EXAMPLES * 256**2 // (height * width)))
        shown = min(most, max(_FEWEST_EXAMPLES, 2 * count))
        with BatchLoader(
            self._store,
            self._numbers,
            batch_size=shown,
            seed=self._config.seed,
            stage=self._stage + _FIRST_LOOK,
            augment_config=self.changes,
            defect_rate=0.0,
            ahead=1,
            tile=self._config.tile,
        ) as loader:
            changed = next(loader).clean
        plain = self._spread(shown)
        plain = np.concatenate([plain] * max(1, shown // len(plain)))
        return to_pictures(np.concatenate([changed, plain]), self._processes.device), min(count, shown)

    def batches(self, start_step: int) -> BatchLoader:
        """Return the batches from a step on."""
        return BatchLoader(
            self._store,
            self._numbers,
            batch_size=self._config.batch_size,
            seed=self._config.seed,
            start_step=start_step,
            stage=self._stage,
            augment_config=self.changes,
            defect_rate=self._config.defect_rate,
            rank=self._processes.rank,
            processes=self._processes.count,
            tile=self._config.tile,
        )

    def _spread(self, most: int) -> NDArray[np.uint8]:
        """Return pictures that are evenly spread, or a tile of each; (N, H, W, 3) uint8."""
        places = np.linspace(0, len(self._numbers) - 1, min(most, len(self._numbers))).astype(int)
        rng = np.random.default_rng([self._config.seed, self._stage, _CUT_STREAM])
        return np.stack([cut_tile(self._store[self._numbers[place]], self._config.tile, rng) for place in places])

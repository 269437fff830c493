"""What a stage shows to those who learn: pictures or tiles of them, changed as far as the good ones allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aae_train.augment import cut_tile
from aae_train.changes import MOST_PICTURES, learn_changes
from aae_train.compute import to_pictures
from aae_train.config import TrainConfig
from aae_train.family import Examples
from aae_train.loader import BatchLoader, Store
from aae_train.processes import Processes
from aae_train.split import MAX_BLOCK

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

_GROUPS = 4
"""Of examples."""


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
        self.changes = processes.lead(lambda: learn_changes(self._spread(MOST_PICTURES)[1]))

    def first(self) -> Tensor:
        """Return what the weights are scaled to, (N, 3, H, W) in [-1, 1]."""
        return to_pictures(self._spread(_MOST_FIRST)[1], self._processes.device)

    def groups(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Deal pictures out by number, in blocks of neighbours (see `split`), whose twins are mostly beside them."""
        block = max(1, min(MAX_BLOCK, len(self._numbers) // (2 * _GROUPS)))
        places = np.searchsorted(self._numbers, numbers)
        return tuple((places // block % _GROUPS).tolist())

    def good_examples(self) -> Examples:
        """Return good pictures for a judge to learn from.

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
            changed = next(loader)
        numbers, plain = self._spread(shown)
        often = max(1, shown // len(plain))
        pictures = to_pictures(np.concatenate([changed.clean, *[plain] * often]), self._processes.device)
        return Examples(pictures, min(count, shown), self.groups([*changed.indices, *numbers * often]))

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

    def _spread(self, most: int) -> tuple[list[int], NDArray[np.uint8]]:
        """Return pictures that are evenly spread, or a tile of each: numbers (N,) and (N, H, W, 3) uint8."""
        places = np.linspace(0, len(self._numbers) - 1, min(most, len(self._numbers))).astype(int)
        numbers = [self._numbers[place] for place in places]
        rng = np.random.default_rng([self._config.seed, self._stage, _CUT_STREAM])
        return numbers, np.stack([cut_tile(self._store[number], self._config.tile, rng) for number in numbers])

"""Batches for training, made on other threads, and the same ones whenever and wherever they are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import ConfigError
from aae_train.augment import AugmentConfig, augment, cut_tile
from aae_train.picture_mask import inside_of, paint
from aae_train.synthetic import make_defect

_ORDER, _CONTENT = 0, 1
"""Keep apart the random streams of epoch k and step k."""


class Store(Protocol):
    """Pictures by number; `PictureStore`, or an array (N, H, W, 3)."""

    def __getitem__(self, number: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step sees. All arrays are its own."""

    step: int
    indices: tuple[int, ...]
    """(N,) numbers of the pictures in the store; N is this process's part of the batch."""

    clean: NDArray[np.uint8]
    """(N, H, W, 3) uint8 BGR: good pictures, augmented; what the model should draw."""

    input: NDArray[np.uint8]
    """(N, H, W, 3) uint8 BGR: the same, with a synthetic defect on a share of them."""

    mask: NDArray[np.uint8]
    """(N, H, W) uint8: 255 where `input` shows a defect, else 0."""


class BatchLoader:
    """An endless iterator of batches that works ahead on threads of its own.

    A batch is a function of seed, stage and step alone: neither the number of workers nor their timing nor the step
    that was started from has any part in it, so a run that was resumed sees what an unbroken one sees. Pictures come
    in epochs: each is seen once before any is seen again, a batch may span two epochs.

    Use it in a `with` block, or call `close`: the threads live until then. OpenCV and numpy work outside the
    interpreter lock, so the training thread is not held up.
    """

    def __init__(
        self,
        store: Store,
        indices: Sequence[int],
        batch_size: int,
        seed: int,
        start_step: int = 0,
        stage: int = 0,
        augment_config: AugmentConfig | None = None,
        defect_rate: float = 0.5,
        workers: int = 1,
        ahead: int = 4,
        rank: int = 0,
        processes: int = 1,
        tile: int | None = None,
    ) -> None:
        """Start working ahead.

        Args:
            store: Pictures by number, HxWx3 uint8 BGR, all of one size.
            indices: The numbers to train on, at least one.
            batch_size: Pictures in a batch; may exceed the number of pictures.
            seed: Any number from 0.
            start_step: Step of the first batch that is given.
            stage: Part of the run, from 0; stages see different batches.
            augment_config: How far good pictures are changed; None means the defaults.
            defect_rate: Chance of a synthetic defect for each picture, 0 to 1.
            workers: Threads.
            ahead: Batches that are made or being made before they are asked for.
            rank: Which part of each batch to make, 0 to `processes` - 1.
            processes: Parts that each batch is cut into; divides `batch_size`.
            tile: Side of the pieces that are cut out of the pictures, pixels; None gives whole ones.

        Raises:
            ConfigError: no pictures, or a number out of range.
        """
        if not indices:
            raise ConfigError("no pictures to train on; the split must leave at least one")
        if batch_size % processes:
            raise ConfigError(
                f"--batch-size {batch_size} cannot be shared by {processes} processes; give a multiple of {processes}"
            )
        if batch_size < 1 or workers < 1 or ahead < 1 or not 0 <= defect_rate <= 1:
            raise ConfigError(
                f"batch_size {batch_size}, workers {workers}, ahead {ahead} must be at least 1, "
                f"defect_rate {defect_rate} must lie in 0 to 1"
            )
        self._store, self._inside = store, inside_of(store)
        self._indices = np.asarray(indices, np.int64)
        self._batch_size = batch_size
        self._part = slice(rank * batch_size // processes, (rank + 1) * batch_size // processes)
        self._seed, self._stage = seed, stage
        self._tile = tile
        self._augment_config = augment_config or AugmentConfig()
        self._defect_rate = defect_rate
        self._next_step = start_step
        self._pending: deque[Future[Batch]] = deque()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="aae-loader")
        self._closed = False
        for _ in range(ahead):
            self._submit()

    def __iter__(self) -> BatchLoader:
        return self

    def __next__(self) -> Batch:
        """Return the batch of the next step; what went wrong on a worker is raised here, and closes the loader."""
        if self._closed:
            raise StopIteration
        try:
            batch = self._pending.popleft().result()
        except BaseException:
            self.close()
            raise
        self._submit()
        return batch

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and wait until they have ended; may be called more than once."""
        self._closed = True
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()

    def make(self, step: int) -> Batch:
        """Make the batch of a step, here and now; what the workers do."""
        chosen = self._choose(step)[self._part]
        clean, shown, masks = [], [], []
        for place, number in enumerate(chosen, start=self._part.start):
            # A stream for each picture, so that a process makes its own without making the others'.
            rng = np.random.default_rng([self._seed, self._stage, _CONTENT, step, place])
            good = augment(cut_tile(self._store[number], self._tile, rng), rng, self._augment_config)
            good = paint(good, self._inside)  # once more: what was turned or moved has brought its paint along
            clean.append(good)
            if rng.random() < self._defect_rate:
                foreign = cut_tile(self._store[int(rng.choice(self._indices))], self._tile, rng)
                defective, mask, _ = make_defect(good, rng, foreign, self._inside)
            else:
                defective, mask = good, np.zeros(good.shape[:2], np.uint8)
            shown.append(defective)
            masks.append(mask)
        return Batch(step, chosen, np.stack(clean), np.stack(shown), np.stack(masks))

    def _choose(self, step: int) -> tuple[int, ...]:
        """Say which pictures a step sees: the stream of shuffled epochs, cut into batches."""
        count = len(self._indices)
        places = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        chosen: list[int] = []
        for epoch in range(int(places[0]) // count, int(places[-1]) // count + 1):
            order = np.random.default_rng([self._seed, self._stage, _ORDER, epoch]).permutation(self._indices)
            chosen.extend(order[places[places // count == epoch] % count].tolist())
        return tuple(chosen)

    def _submit(self) -> None:
        self._pending.append(self._executor.submit(self.make, self._next_step))
        self._next_step += 1

"""However large pictures are: few of them are in memory at a time, and what is found is the same."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from aae_train.chunks import in_chunks
from aae_train.config import TrainConfig
from aae_train.descriptors import Descriptors, describe
from aae_train.detector import make_detector
from aae_train.evidence_statistics import Statistics, fit_places, fit_tails
from aae_train.finish import Finisher
from aae_train.split import Split


def drawn(count: int, side: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count))


def test_no_more_is_read_than_the_next_stack_holds() -> None:
    read: list[int] = []
    pictures = (read.append(number) or picture for number, picture in enumerate(drawn(7, 10)))
    chunks = in_chunks(pictures, chunk_px=320)
    assert next(chunks).shape == (3, 10, 10, 3) and read == [0, 1, 2]
    assert [len(chunk) for chunk in chunks] == [3, 1]
    assert [len(chunk) for chunk in in_chunks(drawn(3, 10), chunk_px=99)] == [1, 1, 1], "one at the least"
    assert [len(chunk) for chunk in in_chunks(drawn(7, 10), most=4)] == [4, 3]
    assert np.concatenate(list(in_chunks(drawn(7, 10)))).tobytes() == np.stack(list(drawn(7, 10))).tobytes()


@pytest.mark.parametrize(("side", "at_once"), [(64, 16), (256, 16), (512, 4), (1056, 1)])
def test_large_pictures_are_described_few_at_a_time(side: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = Descriptors.forward

    def watched(self: Descriptors, picture: torch.Tensor) -> torch.Tensor:
        seen.append(len(picture))
        return forward(self, picture)

    monkeypatch.setattr(Descriptors, "forward", watched)
    count = at_once + 1
    assert len(describe(drawn(count, side), 32)) == count
    assert seen == [at_once, 1]


class Watched:
    """A store that knows how many of the pictures that it gave are still held by somebody."""

    def __init__(self, side: int) -> None:
        self.side, self.most, self._alive = side, 0, weakref.WeakValueDictionary[int, np.ndarray]()
        self._given = 0

    def __getitem__(self, number: int) -> np.ndarray:
        picture = np.random.default_rng(number).integers(0, 256, (self.side, self.side, 3), np.uint8)
        self._given += 1
        self._alive[self._given] = picture
        self.most = max(self.most, len(self._alive))
        return picture


def test_the_threshold_needs_few_pictures_at_a_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TrainConfig(data="x", head="none", tile=64, input_hw=(512, 512))
    split = Split("split", tuple(range(8)), (8, 9, 10), tuple(range(11, 20)))
    store = Watched(512)
    finisher = Finisher(config, tmp_path, store, [str(n) for n in range(20)], split, torch.device("cpu"))
    detector = make_detector(config).requires_grad_(False)
    calibrated = finisher.calibrate(detector)
    assert store.most <= 3  # two of 512x512 in a stack, and the one before
    assert calibrated.learned == split.train
    (group,) = calibrated.held_out
    alone = [float(group.detect(store[number][None]).scores[0]) for number in split.calibrate]
    assert group.scores == pytest.approx(alone, rel=1e-4)


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values.mean(axis=(0, 2, 3))[:, None, None], (values**2).mean(axis=(0, 2, 3))[:, None, None]


def test_statistics_are_those_of_all_pictures_at_once() -> None:
    evidence = np.random.default_rng(1).gamma(2.0, 1.5, (6, 2, 8, 8)).astype(np.float32)
    values = evidence.astype(np.float64)
    overall, square = moments(values)
    spread = np.sqrt(square - overall**2)
    largest = ((values - overall) / spread).max(axis=(2, 3))
    middle = np.median(largest, axis=0)
    tails: Statistics = fit_tails(evidence)
    assert tails.centre[0] == pytest.approx(overall + middle[:, None, None] * spread, rel=1e-5)
    flat = np.broadcast_to(evidence[:, :, :1, :1], evidence.shape)  # nothing to share with neighbours
    places = fit_places(np.ascontiguousarray(flat))
    weight = 6 / (6 + 8)
    own, whole = flat.mean(axis=0, dtype=np.float64), moments(flat.astype(np.float64))
    assert places.centre[0] == pytest.approx(weight * own + (1 - weight) * whole[0], rel=1e-5)

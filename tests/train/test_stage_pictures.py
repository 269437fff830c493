"""What a stage shows, and who belongs together."""

import itertools

import numpy as np
import pytest

from aae_train.config import TrainConfig
from aae_train.processes import Processes
from aae_train.stage_pictures import StagePictures

HW = (32, 32)


def stage_pictures(numbers: tuple[int, ...]) -> StagePictures:
    store = np.random.default_rng(0).integers(0, 256, (max(numbers) + 1, *HW, 3), np.uint8)
    return StagePictures(store, numbers, 0, TrainConfig(data="-", input_hw=HW, batch_size=2), Processes("cpu"))


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (4, 4), (31, 4), (200, 4)])
def test_all_groups_have_pictures_as_far_as_there_are_any(count: int, expected: int) -> None:
    numbers = tuple(range(0, 3 * count, 3))
    groups = stage_pictures(numbers).groups(numbers)
    assert len(set(groups)) == expected
    most = max(groups.count(group) for group in set(groups))
    assert most <= max(1, 0.4 * count)


def test_neighbours_are_together() -> None:
    """Frames of a video: none but those at the ends of a block have their twin in another group."""
    numbers = tuple(range(200))
    groups = stage_pictures(numbers).groups(numbers)
    assert sum(a != b for a, b in itertools.pairwise(groups)) == 19


def test_examples_say_which_picture_each_was_made_from() -> None:
    """Plain ones are found in the store, and their group is that of the number."""
    numbers = (2, 3, 5, 7, 11, 13, 17, 19)
    pictures = stage_pictures(numbers)
    examples = pictures.good_examples()
    assert len(examples.groups) == len(examples.pictures)
    assert examples.count == len(numbers)
    store = np.random.default_rng(0).integers(0, 256, (20, *HW, 3), np.uint8)
    shown = ((examples.pictures + 1) * 127.5).round().numpy().astype(np.uint8).transpose(0, 2, 3, 1)
    plain = [n for number in numbers for n, one in enumerate(shown) if np.array_equal(one, store[number])]
    assert len(plain) >= len(numbers)
    for number in numbers:
        found = {examples.groups[n] for n in plain if np.array_equal(shown[n], store[number])}
        assert found == set(pictures.groups([number]))

import threading
import time
from itertools import islice

import cv2
import numpy as np
import pytest

from aae_detect.errors import ConfigError
from aae_train.augment import AugmentConfig, augment
from aae_train.loader import BatchLoader
from aae_train.pictures import PictureStore
from aae_train.synthetic import MIN_CHANGE

STILL = AugmentConfig(shift=0, brightness=0)


@pytest.fixture
def store():
    """Ten pictures, each told from the others by its level of blue."""
    pictures = np.full((10, 32, 48, 3), 120, np.uint8)
    pictures[..., 0] = np.arange(10)[:, None, None] * 20
    return pictures


def take(loader, count):
    with loader:
        return list(islice(loader, count))


def assert_same(first, second):
    assert first.step == second.step
    assert first.indices == second.indices
    for name in ("clean", "input", "mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("aae-loader")]


def test_shapes_and_what_the_arrays_mean(store):
    batch = take(BatchLoader(store, range(10), batch_size=6, seed=0, augment_config=STILL, defect_rate=0.5), 1)[0]
    assert batch.step == 0
    assert (batch.clean.shape, batch.clean.dtype) == ((6, 32, 48, 3), np.uint8)
    assert (batch.input.shape, batch.input.dtype) == ((6, 32, 48, 3), np.uint8)
    assert (batch.mask.shape, batch.mask.dtype) == ((6, 32, 48), np.uint8)
    np.testing.assert_array_equal(batch.clean, store[list(batch.indices)])
    change = np.abs(batch.input.astype(int) - batch.clean).max(axis=3)
    assert change[batch.mask == 0].max() < MIN_CHANGE
    assert set(np.unique(batch.mask)) == {0, 255}


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (1, 200)])
def test_no_defects_or_nothing_but_defects(store, rate, expected):
    batches = take(BatchLoader(store, range(10), batch_size=20, seed=0, defect_rate=rate), 10)
    assert sum(int((batch.mask.max(axis=(1, 2)) > 0).sum()) for batch in batches) == expected
    if rate == 0:
        np.testing.assert_array_equal(batches[0].input, batches[0].clean)


def test_defects_fall_on_about_the_share_asked_for(store):
    batches = take(BatchLoader(store, range(10), batch_size=40, seed=0, defect_rate=0.3), 10)
    share = np.mean([batch.mask.max(axis=(1, 2)) > 0 for batch in batches])
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 25])
def test_every_picture_is_seen_once_an_epoch(store, batch_size):
    indices = [1, 3, 4, 5, 8, 9, 0]
    batches = take(BatchLoader(store, indices, batch_size, seed=0, defect_rate=0), 42)
    seen = [number for batch in batches for number in batch.indices]
    epochs = [seen[start : start + 7] for start in range(0, len(seen) - 6, 7)]
    assert all(sorted(epoch) == sorted(indices) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > len(epochs) // 2  # and in another order each time


def test_good_pictures_are_augmented(store):
    batch = take(BatchLoader(store, [3], batch_size=8, seed=0, defect_rate=0), 1)[0]
    assert len({picture.tobytes() for picture in batch.clean}) > 1
    green = batch.clean[..., 1]
    assert green.min() >= 114
    assert green.max() <= 126


def test_the_same_batches_whatever_the_workers(store):
    class Uneven:
        def __getitem__(self, number):
            time.sleep(0.004 if number % 3 == 0 else 0)
            return store[number]

    alone = take(BatchLoader(store, range(10), 4, seed=7, workers=1, ahead=1), 12)
    crowd = take(BatchLoader(Uneven(), range(10), 4, seed=7, workers=4, ahead=9), 12)
    for first, second in zip(alone, crowd, strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("start", [1, 5, 7])
def test_a_resumed_run_sees_what_an_unbroken_one_sees(store, start):
    unbroken = take(BatchLoader(store, range(10), 4, seed=3), 9)
    resumed = take(BatchLoader(store, range(10), 4, seed=3, start_step=start), 9 - start)
    for first, second in zip(unbroken[start:], resumed, strict=True):
        assert_same(first, second)


def test_seeds_and_stages_differ(store):
    first, seed, stage = (
        take(BatchLoader(store, range(10), 8, **numbers), 1)[0]
        for numbers in ({"seed": 0}, {"seed": 1}, {"seed": 0, "stage": 1})
    )
    assert len({first.indices, seed.indices, stage.indices}) == 3
    assert not np.array_equal(first.input, stage.input)


def test_clean_is_the_store_s_picture_augmented_by_the_batch_s_generator(store):
    loader = BatchLoader(store, range(10), 1, seed=5, defect_rate=0)
    with loader:
        batch = loader.make(17)
    expected = augment(store[batch.indices[0]], np.random.default_rng([5, 0, 1, 17, 0]))
    np.testing.assert_array_equal(batch.clean[0], expected)


def test_processes_make_parts_of_one_batch(store):
    """Three processes together see what one sees, picture for picture."""

    def batch(**share):
        with BatchLoader(store, range(10), 6, seed=5, **share) as loader:
            return loader.make(17)

    whole, parts = batch(), [batch(rank=rank, processes=3) for rank in range(3)]
    assert sum((part.indices for part in parts), ()) == whole.indices
    for name in ("clean", "input", "mask"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_a_batch_that_cannot_be_shared_is_refused(store):
    with pytest.raises(ConfigError, match=r"--batch-size 8 cannot be shared by 3 processes; give a multiple of 3"):
        BatchLoader(store, range(10), 8, seed=0, processes=3)


def test_closing_leaves_no_threads(store):
    with BatchLoader(store, range(10), 2, seed=0, workers=3) as loader:
        next(loader)
        assert loader_threads()
    assert not loader_threads()
    loader.close()
    with pytest.raises(StopIteration):
        next(loader)


def test_an_interrupted_loop_leaves_no_threads(store):
    with pytest.raises(KeyboardInterrupt), BatchLoader(store, range(10), 2, seed=0, workers=2) as loader:
        for _ in loader:
            raise KeyboardInterrupt
    assert not loader_threads()


def test_works_ahead_but_not_without_end():
    asked = []

    class Counting:
        def __getitem__(self, number):
            asked.append(number)
            return np.zeros((16, 16, 3), np.uint8)

    with BatchLoader(Counting(), [0], 1, seed=0, defect_rate=0, ahead=3) as loader:
        deadline = time.monotonic() + 20
        while len(asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert len(asked) == 3
        next(loader)
    assert 3 <= len(asked) <= 4


def test_what_goes_wrong_on_a_worker_is_raised_where_the_batch_is_asked_for(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes())
    store = PictureStore(paths, (32, 32), budget_bytes=0)
    paths[1].unlink()
    loader = BatchLoader(store, range(3), 3, seed=0)
    with pytest.raises(ConfigError, match=r"1\.png"):
        next(loader)
    assert not loader_threads()


@pytest.mark.parametrize(
    "values",
    [{"indices": []}, {"batch_size": 0}, {"workers": 0}, {"ahead": 0}, {"defect_rate": 1.5}],
)
def test_refuses_settings_that_cannot_work(store, values):
    settings = {"indices": range(10), "batch_size": 2, "seed": 0, **values}
    with pytest.raises(ConfigError):
        BatchLoader(store, **settings)
    assert not loader_threads()

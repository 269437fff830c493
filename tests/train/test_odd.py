import numpy as np
import pytest

from aae_detect.demo import DemoCamera
from aae_train.descriptors import CHANNELS
from aae_train.odd import (
    _MOST_BYTES,
    MOST_PICTURES,
    ODD,
    OddOnes,
    _choose,
    _fill_up,
    _step,
    _whiten,
    rank_again,
    rank_odd_ones,
)
from aae_train.synthetic import make_defect


def parts(count: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs that lie nearly alike, under nearly the same light."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:96].astype(np.float32)
    pictures = []
    for _ in range(count):
        top, left, gain = 32 + rng.normal(0, 0.7), 48 + rng.normal(0, 0.7), 1 + rng.normal(0, 0.03)
        blob = 90 + 110 * np.exp(-((((y - top) / 14) ** 2 + ((x - left) / 24) ** 2) ** 2))
        noise = rng.normal(0, 2, (64, 96, 3))
        pictures.append(np.clip(blob[:, :, None] * gain + noise, 0, 255).astype(np.uint8))
    return np.stack(pictures)


@pytest.mark.parametrize("count", [20, 200])
def test_planted_defects_come_first(count: int) -> None:
    pictures = parts(count)
    planted = list(range(3, count, count // 4))[:4]
    for number in planted:
        pictures[number], _, _ = make_defect(pictures[number], np.random.default_rng(number), pictures[0])
    ranked = rank_odd_ones(pictures, range(count))
    assert len(set(ranked.numbers[: max(6, count // 10)]) & set(planted)) >= 3
    assert set(ranked.named) <= {*planted, *ranked.numbers[:6]}
    assert sorted(ranked.numbers) == list(range(count))
    assert list(ranked.oddness) == sorted(ranked.oddness, reverse=True)


def test_among_clean_pictures_nearly_none_is_named() -> None:
    named = [len(rank_odd_ones(parts(60, seed), range(60)).named) for seed in range(5)]
    assert sum(named) <= 3


def test_a_picture_of_something_else_is_named() -> None:
    pictures = parts(30)
    pictures[11] = 255 - pictures[11]
    ranked = rank_odd_ones(pictures, range(30))
    assert ranked.named[0] == 11
    assert ranked.oddness[0] > 2 * ODD


def test_only_the_pictures_that_are_named_to_it_are_compared() -> None:
    pictures = parts(30)
    pictures[11] = 255 - pictures[11]
    numbers = [number for number in range(30) if number != 11]
    assert sorted(rank_odd_ones(pictures, numbers).numbers) == numbers


def test_what_a_detector_sees_counts_as_much_as_how_pictures_compare() -> None:
    odd = OddOnes((4, 2, 0, 3, 1), (7.0, 1.0, 0.0, -0.5, -1.0))
    again = rank_again(odd, [5.0, 4.8, 5.1, 9.0, 5.2])  # of picture 4, 2, 0, 3, 1
    assert again.numbers[:2] == (3, 4)
    assert again.oddness[1] == 7.0
    assert again.named == (3, 4)
    assert list(again.oddness) == sorted(again.oddness, reverse=True)


def test_nobody_is_odd_for_being_held_back() -> None:
    """Scores of learned pictures are lower, all of them; what stands out among its like is named in both."""
    count, rng = 80, np.random.default_rng(0)
    learned = range(60)
    scores = rng.normal(0, 0.1, count) + np.where(np.arange(count) < 60, 0.0, 3.0)
    scores[7], scores[70] = 2.0, 6.0
    odd = OddOnes(tuple(range(count)), tuple(np.linspace(1, -1, count)))
    assert set(rank_again(odd, list(scores), learned).named) == {7, 70}
    few = rank_again(OddOnes((0, 1, 2), (1.0, 0.5, 0.0)), [1.0, 1.0, 50.0], (0, 1))
    assert few.named == ()


def test_of_very_few_pictures_none_is_called_odd() -> None:
    assert rank_odd_ones(parts(7), range(7)).named == ()


def test_of_very_many_some_are_looked_at() -> None:
    few = parts(40)

    class Many:
        def __getitem__(self, number: int) -> np.ndarray:
            return few[number % 40]

    assert len(rank_odd_ones(Many(), range(2 * MOST_PICTURES)).numbers) == MOST_PICTURES


def test_of_very_many_those_that_may_set_the_threshold_are_all_looked_at() -> None:
    needed = range(4, 3000, 10)
    chosen = _choose(range(3000), needed)
    assert set(needed) <= set(chosen) and len(chosen) == MOST_PICTURES and chosen == sorted(chosen)
    assert np.histogram(chosen, 10)[0] == pytest.approx(100, abs=3)
    assert _choose(range(3000), range(2000)) == list(range(2000))
    assert _choose(range(1000), needed) == list(range(1000))


def test_however_many_are_odd_none_may_set_the_threshold_and_twelve_are_named() -> None:
    odd = OddOnes(tuple(range(40)), (*[9.0] * 20, *[0.0] * 20))
    assert odd.found == tuple(range(20))
    assert odd.named == tuple(range(12))


def test_the_same_picture_over_and_over_is_not_odd() -> None:
    frame = DemoCamera(0, size_hw=(128, 192), defect_rate=0.0).render(0)[0]
    assert rank_odd_ones(np.stack([frame] * 12), range(12)).named == ()


@pytest.mark.parametrize("size", [(64, 96), (256, 352), (480, 640), (1024, 1024)])
def test_pictures_of_every_size_are_ranked(size: tuple[int, int]) -> None:
    pictures = np.stack([np.kron(p[::2, ::3], np.ones((size[0] // 32, size[1] // 32, 1))) for p in parts(9)])
    pictures = pictures.astype(np.uint8)
    pictures[4] = 255 - pictures[4]
    assert rank_odd_ones(pictures, range(9)).named[0] == 4


def test_whitened_descriptors_have_no_directions_left() -> None:
    """Against the formula for all of them at once, in double precision."""
    rng = np.random.default_rng(0)
    described = (rng.normal(size=(6, 3, 4, 5)) @ rng.normal(size=(5, 5)) + 7).astype(np.float32)
    rows = described.reshape(-1, 5).astype(np.float64)
    variances, directions = np.linalg.eigh(np.cov(rows.T))
    scale = 1 / np.sqrt(variances + 0.01 * variances.mean())
    expected = np.abs((rows - rows.mean(axis=0)) @ (directions * scale))
    _whiten(described)
    assert np.abs(described.reshape(-1, 5)) == pytest.approx(expected, abs=1e-4)


def test_the_places_of_many_large_pictures_fit_into_memory() -> None:
    assert [_step(hw, 1000) for hw in ((256, 256), (480, 640), (1024, 1024), (1536, 1536))] == [8, 16, 32, 32]
    assert _step((3008, 4000), 100) == 32, "no coarser than it takes"
    for size_hw in ((3008, 4000), (4096, 4096)):
        step = _step(size_hw, 1000)
        assert 1000 * CHANNELS * 4 * (size_hw[0] // step) * (size_hw[1] // step) <= _MOST_BYTES
    filled = _fill_up(np.arange(40 * 50 * 3).astype(np.uint8).reshape(40, 50, 3), 64)
    assert filled.shape == (64, 64, 3) and (filled[39:, 49:] == filled[39, 49]).all()

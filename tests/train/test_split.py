import json

import numpy as np
import pytest

from aae_detect.errors import ConfigError
from aae_train.split import Split, split_pictures


def parts(split):
    return split.train, split.select, split.calibrate


@pytest.mark.parametrize(
    ("count", "select", "calibrate"),
    [(60, 8, 15), (61, 8, 15), (100, 10, 25), (399, 40, 99), (400, 40, 100), (850, 64, 212), (5000, 64, 300)],
)
def test_sizes_with_many_pictures(count, select, calibrate):
    split = split_pictures(count, seed=3)
    assert split.method == "split"
    assert (len(split.select), len(split.calibrate)) == (select, calibrate)
    assert sorted(np.concatenate(parts(split))) == list(range(count))


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (3, 3), (4, 3), (31, 3), (59, 3)])
def test_few_pictures_are_cross_fitted(count, folds):
    split = split_pictures(count, seed=1)
    assert split.method == "cross-fit"
    assert split.train == tuple(range(count))
    assert split.select == split.calibrate == ()
    assert len(split.folds) == folds
    assert sorted(np.concatenate(split.folds)) == list(range(count))
    assert max(map(len, split.folds)) - min(map(len, split.folds)) <= max(1, count // 12 + 1)
    for number, fold in enumerate(split.folds):
        assert fold
        assert sorted((*fold, *split.train_without(number))) == list(range(count))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_hold_back(count):
    with pytest.raises(ConfigError, match=f"{count} good pictures were found.*expected at least 2"):
        split_pictures(count, seed=0)


def test_only_copies_are_as_good_as_one_picture():
    with pytest.raises(ConfigError, match="100 good pictures were found and 1 of them"):
        split_pictures(100, seed=0, groups=[7] * 100)


@pytest.mark.parametrize("count", [20, 300])
def test_the_seed_decides(count):
    assert split_pictures(count, seed=5) == split_pictures(count, seed=5)
    assert split_pictures(count, seed=5) != split_pictures(count, seed=6)


def test_a_validation_folder_sets_the_threshold_alone():
    split = split_pictures(210, seed=0, validation_count=29)
    assert split.method == "split"
    assert split.calibrate == tuple(range(210, 239))
    assert len(split.select) == 21
    assert sorted(split.train + split.select) == list(range(210))


def test_few_pictures_with_a_validation_folder_need_no_cross_fit():
    split = split_pictures(5, seed=0, validation_count=20)
    assert split.method == "split"
    assert [len(part) for part in parts(split)] == [4, 1, 20]


def test_a_small_validation_folder_calibrates_together_with_others():
    split = split_pictures(200, seed=0, validation_count=10)
    assert set(range(200, 210)) <= set(split.calibrate)
    assert len(split.calibrate) == 210 // 4


def test_a_small_validation_folder_of_a_small_set_joins_the_cross_fit():
    split = split_pictures(20, seed=0, validation_count=10)
    assert split.method == "cross-fit"
    assert split.train == tuple(range(30))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [30, 200])
def test_copies_stay_together(count, seed):
    groups = np.random.default_rng(seed).integers(0, count * 2 // 3, count).tolist()
    split = split_pictures(count, seed, groups=groups)
    held = split.folds or parts(split)
    assert sorted(np.concatenate(held)) == list(range(count))
    for first in range(len(held)):
        for second in range(first):
            assert not {groups[n] for n in held[first]} & {groups[n] for n in held[second]}


def test_many_copies_of_one_picture_do_not_fill_the_calibration_part():
    # 100 different pictures and 900 copies of the first: a quarter of the different ones calibrates.
    split = split_pictures(1000, seed=0, groups=[*range(100), *[0] * 900])
    assert len({min(n, 0) if n >= 100 else n for n in split.calibrate}) == 25


def test_a_copy_of_a_validation_picture_does_not_train():
    split = split_pictures(100, seed=0, validation_count=25, groups=[*range(100), 7, *range(200, 224)])
    assert 7 in split.calibrate
    assert 100 in split.calibrate


def test_groups_must_fit():
    with pytest.raises(ConfigError, match="3 groups were given for 4 pictures"):
        split_pictures(4, seed=0, groups=[0, 1, 2])


def test_neighbours_are_mostly_in_the_same_part():
    split = split_pictures(850, seed=0)
    train = set(split.train)
    seen = sum((n - 1 in train) or (n + 1 in train) for n in split.calibrate)
    assert seen <= 60  # 22 blocks of ten, some in two pieces: only their ends touch; one by one nearly all 212 would


@pytest.mark.parametrize("count", [100, 850])
def test_every_stretch_of_the_list_has_its_share(count):
    split = split_pictures(count, seed=4)
    quarters = np.histogram(split.calibrate, bins=4, range=(0, count))[0]
    assert quarters.min() >= len(split.calibrate) / 4 * 0.5


def test_calibration_pictures_are_drawn_evenly():
    counts = np.zeros(200)
    for seed in range(400):
        counts[list(split_pictures(200, seed).calibrate)] += 1
    # Each picture calibrates in a quarter of the splits: 100 +- 5 * sqrt(400 * 1/4 * 3/4).
    assert abs(counts - 100).max() < 5 * 8.7


@pytest.mark.parametrize("count", [30, 100])
def test_json_names_files_and_comes_back(count):
    split = split_pictures(count, seed=2)
    names = [f"good/part-{number}.png" for number in range(count)]
    text = split.to_json(names)
    assert Split.from_json(text, names) == split
    assert json.loads(text)["train"] == [names[number] for number in split.train]
    # A new picture moves the numbers, not the parts.
    moved = Split.from_json(text, ["good/a-new-one.png", *names])
    assert moved.train == tuple(number + 1 for number in split.train)


def test_json_with_a_picture_that_is_gone():
    names = [f"{number}.png" for number in range(10)]
    text = split_pictures(10, seed=0).to_json(names)
    with pytest.raises(ConfigError, match=r"1 pictures of this run are gone, the first is 3\.png"):
        Split.from_json(text, [name for name in names if name != "3.png"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"method": "guess", "train": [], "select": [], "calibrate": [], "folds": []}']
)
def test_json_that_is_no_split(text):
    with pytest.raises(ConfigError, match="cannot be read"):
        Split.from_json(text, [])


def test_a_split_checks_itself():
    with pytest.raises(ConfigError, match="twice"):
        Split("split", (0, 1), (1,), ())
    with pytest.raises(ConfigError, match="0 folds"):
        Split("cross-fit", (0, 1), (), ())
    with pytest.raises(ConfigError, match="exactly once"):
        Split("cross-fit", (0, 1), (), (), ((0,), (0,)))

from typing import Any

import numpy as np
import pytest

from aae_detect.errors import ConfigError
from aae_train.augment import SYMMETRIES, AugmentConfig, augment

STILL = AugmentConfig(shift=0, brightness=0)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_is_a_function_of_the_generator_alone(picture):
    before = picture.copy()
    first, second = augment(picture, rng(4)), augment(picture, rng(4))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(picture, before)
    assert not np.array_equal(first, augment(picture, rng(5)))
    assert (first.dtype, first.shape, first.flags.c_contiguous) == (np.uint8, (100, 150, 3), True)


def test_nothing_allowed_changes_nothing_and_gives_a_copy(picture):
    same = augment(picture, rng(), STILL)
    np.testing.assert_array_equal(same, picture)
    assert not np.shares_memory(same, picture)


def test_shift_moves_whole_pixels_within_its_share(picture):
    config = AugmentConfig(shift=0.02, brightness=0)
    seen = set()
    for seed in range(60):
        moved = augment(picture, rng(seed), config)
        # Away from the edges the picture is an exact copy of itself, at most 2 rows and 3 columns off.
        (offset,) = [
            (dy, dx)
            for dy in range(-3, 4)
            for dx in range(-4, 5)
            if np.array_equal(moved[10:-10, 10:-10], picture[10 - dy : 90 - dy, 10 - dx : 140 - dx])
        ]
        seen.add(offset)
    assert {dy for dy, _ in seen} == {-2, -1, 0, 1, 2}
    assert {dx for _, dx in seen} == {-3, -2, -1, 0, 1, 2, 3}


def test_what_moves_in_is_the_mirrored_picture():
    column = np.repeat(np.arange(0, 250, 5, dtype=np.uint8)[:, None, None], 3, axis=2)
    moved = augment(np.repeat(column, 50, axis=1), rng(1), AugmentConfig(shift=0.1, brightness=0))[:, 0, 0].astype(int)
    down = round(rng(1).uniform(-1, 1) * 0.1 * 50)
    source = np.abs(np.arange(50) - down)
    np.testing.assert_array_equal(moved, np.minimum(source, 98 - source) * 5)


def test_brightness_is_a_gain_within_its_bounds():
    gray = np.full((8, 8, 3), 100, np.uint8)
    levels = {int(augment(gray, rng(seed), AugmentConfig(shift=0))[0, 0, 0]) for seed in range(200)}
    assert levels == set(range(95, 106))
    white = np.full((8, 8, 3), 255, np.uint8)
    assert all(augment(white, rng(seed))[0, 0, 0] >= 242 for seed in range(20))  # saturates, never wraps


@pytest.mark.parametrize("names", [("mirror_x",), ("mirror_y", "half"), tuple(SYMMETRIES)])
def test_symmetries_come_equally_often_and_only_when_asked(names):
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    config = AugmentConfig(shift=0, brightness=0, symmetries=names)
    expected = {"none": picture, **{name: SYMMETRIES[name](picture) for name in names}}
    counts = dict.fromkeys(expected, 0)
    for seed in range(100 * len(expected)):
        changed = augment(picture, rng(seed), config)
        (found,) = [name for name, other in expected.items() if np.array_equal(changed, other)]
        counts[found] += 1
    assert all(60 <= count <= 140 for count in counts.values()), counts


def test_rotation_turns_about_the_centre():
    # A disc in the middle stays where it is; a bar does not.
    y, x = np.mgrid[:101, :101] - 50
    disc = np.repeat(((x**2 + y**2 < 900) * 200).astype(np.uint8)[:, :, None], 3, axis=2)
    bar = np.repeat(((np.abs(x) < 5) * 200).astype(np.uint8)[:, :, None], 3, axis=2)
    config = AugmentConfig(shift=0, brightness=0, rotation_deg=30)
    turned = augment(disc, rng(2), config)
    assert np.mean(np.abs(turned.astype(int) - disc)) < 2
    angle = rng(2).uniform(-1, 1, 4)[3] * 30
    turned_bar = augment(bar, rng(2), config)[:, :, 0] > 100
    expected = np.abs(x * np.cos(np.radians(angle)) - y * np.sin(np.radians(angle))) < 5
    inner = x**2 + y**2 < 45**2
    assert np.mean(turned_bar[inner] != expected[inner]) < 0.03


@pytest.mark.parametrize("values", [{"shift": -0.01}, {"shift": 0.3}, {"brightness": 2}, {"rotation_deg": 200}])
def test_refuses_settings_out_of_range(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        AugmentConfig(**values)


def retaken(**how: Any) -> np.ndarray:
    """Forty pictures of a coarse grain, taken again without moving anything."""
    still = AugmentConfig(shift=0.0, brightness=0.0, **how)
    return np.stack([augment(GRAIN, np.random.default_rng(seed), still) for seed in range(40)]).astype(float)


GRAIN = np.kron(np.random.default_rng(5).integers(40, 200, (24, 32, 1)), np.ones((4, 4, 3))).astype(np.uint8)


def test_exposure_changes_a_picture_as_a_whole_and_keeps_its_order() -> None:
    pictures = retaken(gamma=0.1)
    assert pictures.mean(axis=(1, 2, 3)).std() > 2
    darker, brighter = GRAIN < 90, GRAIN > 150
    assert all(p[darker].max() < p[brighter].min() for p in pictures)


def test_focus_blurs_some_pictures_and_leaves_the_others() -> None:
    sharpness = np.abs(np.diff(retaken(blur_px=1.0), axis=2)).mean(axis=(1, 2, 3))
    own = np.abs(np.diff(GRAIN.astype(float), axis=1)).mean()
    unchanged = np.isclose(sharpness, own)
    assert 15 < unchanged.sum() < 40
    assert sharpness[~unchanged].max() < own


def test_noise_is_gray_and_as_strong_as_was_asked_for() -> None:
    difference = retaken(noise=10.0) - GRAIN
    assert np.abs(difference[..., 0] - difference[..., 1]).max() < 1e-9
    strength = difference.std(axis=(1, 2, 3))
    assert 5 < strength.max() < 11
    assert 10 < (strength == 0).sum() < 35


def test_compression_changes_little_and_only_some() -> None:
    difference = np.abs(retaken(jpeg_quality=60) - GRAIN).mean(axis=(1, 2, 3))
    assert 20 < (difference == 0).sum() < 39
    assert 0.2 < difference.max() < 12

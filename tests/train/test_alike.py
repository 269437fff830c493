import numpy as np

from aae_train.alike import MOST_PICTURES, count_twins


def scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = np.full((128, 128, 3), 60, np.uint8)
    for _ in range(5):
        top, left = rng.integers(0, 96, 2)
        picture[top : top + 32, left : left + 32] = rng.integers(0, 256)
    return picture


def again(picture: np.ndarray, seed: int) -> np.ndarray:
    """The same scene with another moment's noise and a little more light."""
    noise = np.random.default_rng(seed).normal(1, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_the_same_part_pictured_again_is_a_twin() -> None:
    one = scene(0)
    pictures = np.stack([again(one, seed) for seed in range(6)] + [scene(seed) for seed in range(1, 4)])
    assert count_twins(pictures, range(9)) == (6, 9)


def test_different_parts_have_no_twins() -> None:
    assert count_twins(np.stack([scene(seed) for seed in range(12)]), range(12)) == (0, 12)


def test_a_texture_of_the_same_brightness_is_no_twin() -> None:
    """Coarse grains that fall elsewhere each time."""
    rng = np.random.default_rng(0)
    grains = [np.kron(rng.integers(60, 200, (32, 32, 1)), np.ones((4, 4, 3))).astype(np.uint8) for _ in range(6)]
    assert count_twins(np.stack(grains), range(6))[0] == 0


def test_of_very_many_some_are_compared() -> None:
    class Same:
        def __getitem__(self, number: int) -> np.ndarray:
            return np.zeros((32, 32, 3), np.uint8)

    assert count_twins(Same(), range(5 * MOST_PICTURES)) == (MOST_PICTURES, MOST_PICTURES)

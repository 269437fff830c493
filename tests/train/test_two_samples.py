import numpy as np
import pytest

from aae_train.two_samples import detail, diversity, neighbour_accuracy


def test_alike_samples_cannot_be_told() -> None:
    rng = np.random.default_rng(0)
    found = [neighbour_accuracy(rng.normal(size=(400, 3)), rng.normal(size=(400, 3))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.015)


def test_samples_apart_are_told_and_copies_fall_below_a_half() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 3))
    assert neighbour_accuracy(real, rng.normal(size=(200, 3)) + 20) == 1.0
    assert neighbour_accuracy(real, real + 1e-6) == 0.0


def test_it_is_that_of_scikit_learn() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(1)
    real, drawn = rng.normal(size=(150, 4)), 1.4 * rng.normal(size=(150, 4))
    points, is_real = np.concatenate([real, drawn]), np.arange(300) < 150
    nearest = neighbors.NearestNeighbors(n_neighbors=1).fit(points).kneighbors()[1][:, 0]
    told = is_real[nearest] == is_real
    assert neighbour_accuracy(real, drawn) == pytest.approx(told.mean())


def test_places_of_one_picture_are_not_taken_for_a_sign() -> None:
    """Four places of a picture, alike, each of which has exactly the prior."""
    rng = np.random.default_rng(2)
    plain, apart = [], []
    for _ in range(20):
        of_pictures = np.repeat(rng.normal(size=(40, 8)), 4, axis=0)
        places = np.sqrt(0.7) * of_pictures + np.sqrt(0.3) * rng.normal(size=(160, 8))
        prior, pictures = rng.normal(size=(160, 8)), np.repeat(np.arange(40), 4)
        plain.append(neighbour_accuracy(prior, places))
        apart.append(neighbour_accuracy(prior, places, pictures))
    assert np.mean(plain) > 0.55
    assert np.mean(apart) == pytest.approx(0.5, abs=0.04)


def test_diversity_by_hand() -> None:
    """Two pictures, all of whose numbers differ by 30; a third like the first."""
    pictures = np.zeros((3, 32, 48, 3), np.uint8)
    pictures[1] = 30
    assert diversity(pictures[:2]) == pytest.approx(30)
    assert diversity(pictures) == pytest.approx(20)  # pairs: 30, 0, 30
    assert diversity(pictures[[0, 2]]) == 0


def test_detail_knows_sharp_from_blurred() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (4, 64, 64, 3), np.uint8)
    blurred = np.full_like(sharp, 128)
    assert detail(blurred) == 0
    assert detail(sharp) > 100

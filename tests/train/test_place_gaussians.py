import numpy as np
import pytest
import torch

from aae_train.place_gaussians import SHARED_STEP, PlaceGaussians

CHANNELS, GRID_HW = 6, (8, 12)


def draw(count: int, seed: int = 0) -> torch.Tensor:
    """Descriptors that depend on one another, differently in the left and the right half, with a mean per place."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).normal(0, 0.5, (CHANNELS, *GRID_HW))
    left, right = np.random.default_rng(98).normal(0, 1, (2, CHANNELS, CHANNELS))
    noise = rng.normal(0, 1, (count, CHANNELS, *GRID_HW))
    mixed = np.einsum("ck,nkhw->nchw", left, noise)
    mixed[..., 6:] = np.einsum("ck,nkhw->nchw", right, noise[..., 6:])
    return torch.from_numpy((means + mixed).astype(np.float32))


def measure(gaussians: PlaceGaussians, descriptors: torch.Tensor) -> torch.Tensor:
    return gaussians.distances(gaussians(descriptors))


@pytest.fixture(scope="module")
def fitted() -> PlaceGaussians:
    gaussians = PlaceGaussians(CHANNELS, GRID_HW)
    gaussians.fit(draw(2000), 2000)
    return gaussians


def test_distances_are_those_of_the_gaussian_of_the_place(fitted: PlaceGaussians) -> None:
    """Against NumPy, place by place: Mahalanobis distance with the covariance of the block of 2x2 places."""
    known, fresh = draw(2000), draw(3, seed=1)
    found = measure(fitted, fresh)[:, 0]
    known, fresh = (d - d.mean(dim=(2, 3), keepdim=True) for d in (known, fresh))
    for y, x in ((0, 0), (3, 5), (7, 11), (4, 6)):
        block = known[:, :, y // 2 * 2 : y // 2 * 2 + 2, x // 2 * 2 : x // 2 * 2 + 2]
        centred = (block - block.mean(dim=0)).permute(0, 2, 3, 1).reshape(-1, CHANNELS)
        # Shrinkage and the pull of the means to the mean of all are small with 2,000 pictures, and in other units.
        precision = np.linalg.pinv(np.cov(centred.numpy().T), rcond=1e-3)
        away = (fresh[:, :, y, x] - known[:, :, y, x].mean(dim=0)).numpy()
        expected = np.sqrt(np.einsum("nk,kl,nl->n", away, precision, away) / CHANNELS)
        assert np.allclose(found[:, y, x].numpy(), expected, rtol=0.25)


def test_distances_are_about_one_on_good_pictures(fitted: PlaceGaussians) -> None:
    distances = measure(fitted, draw(200, seed=2))
    assert distances.shape == (200, 1, *GRID_HW)
    assert 0.8 < float(distances.mean()) < 1.1


def test_what_the_covariance_forbids_is_further_than_what_it_allows(fitted: PlaceGaussians) -> None:
    """The same length of step, along the direction in which good pictures vary most, and least."""
    good = draw(1, seed=3)
    rows = draw(500)[:, :, 2, 2].numpy()
    _, directions = np.linalg.eigh(np.cov(rows.T))

    def moved(direction: np.ndarray) -> float:
        picture = good.clone()
        picture[0, :, 2, 2] += torch.from_numpy(3 * direction.astype(np.float32))
        return float(measure(fitted, picture)[0, 0, 2, 2])

    assert moved(directions[:, 0]) > 2 * moved(directions[:, -1])


def test_a_picture_that_differs_as_a_whole_is_not_further_away(fitted: PlaceGaussians) -> None:
    good = draw(4, seed=4)
    assert torch.allclose(measure(fitted, good + 5.0), measure(fitted, good), atol=1e-3)


def test_channels_that_never_vary_are_harmless() -> None:
    """A gray camera's colours."""
    descriptors = draw(30)
    descriptors[:, 4:] = 0.0
    gaussians = PlaceGaussians(CHANNELS, GRID_HW)
    gaussians.fit(descriptors, 30)
    deviations = gaussians(descriptors)
    distances = gaussians.distances(deviations)
    assert torch.isfinite(deviations).all()
    assert 0.3 < float(distances.mean()) < 1.5


def test_a_single_picture_can_be_fitted() -> None:
    gaussians = PlaceGaussians(CHANNELS, GRID_HW)
    gaussians.fit(draw(1), 1)
    assert torch.isfinite(measure(gaussians, draw(2, seed=5))).all()


def test_each_deviation_is_that_of_its_descriptor(fitted: PlaceGaussians) -> None:
    """Whitened without a turn: a step of one descriptor is largest in its own deviation, whatever the product."""
    assert torch.allclose(fitted.whitening, fitted.whitening.T, atol=1e-5)
    good = draw(1, seed=3)
    for channel in range(CHANNELS):
        moved = good.clone()
        moved[0, channel, 2, 2] += 1.0
        step = (fitted(moved) - fitted(good))[0, :, 2, 2]
        assert step[channel] > 0


def test_means_may_come_from_others(fitted: PlaceGaussians) -> None:
    """As many sets of means as pictures; with the fitted ones, nothing changes."""
    fresh = draw(2, seed=6)
    other = fitted.means(draw(50, seed=7), 50)
    found = fitted(fresh, torch.cat([fitted.mean, other]))
    assert torch.allclose(found[0], fitted(fresh)[0], atol=1e-5)
    assert not torch.allclose(found[1], fitted(fresh)[1], atol=1e-2)
    assert torch.allclose(fitted.means(draw(2000), 2000), fitted.mean, atol=1e-5)


@pytest.mark.parametrize(("grid_hw", "step"), [((32, 32), 2), ((44, 32), 2), ((64, 64), 4), ((128, 128), 8)])
def test_larger_pictures_share_covariances_over_more_places(grid_hw: tuple[int, int], step: int) -> None:
    gaussians = PlaceGaussians(3, grid_hw)
    assert gaussians.step == step
    assert SHARED_STEP == 2
    distances = measure(gaussians, torch.randn(2, 3, *grid_hw))
    assert distances.shape == (2, 1, *grid_hw)

"""Whole pictures: what good ones differ by is explained, and what is missing is not."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from aae_train.descriptors import COLOURS
from aae_train.whole_picture import DIRECTIONS, WholePicture

GRID = (8, 12)


def good_colours(count: int, seed: int) -> Tensor:
    """Colours of parts that are lit from the left or the right, more or less, and otherwise differ by noise."""
    rng = np.random.default_rng(seed)
    part = np.zeros((COLOURS, *GRID))
    part[:, 2:6, 3:9] = [[[0.6]], [[0.1]], [[-0.2]]]
    across, light = np.linspace(-1, 1, GRID[1]), rng.normal(0, 0.2, (count, 2, 1, 1, 1))
    lit = part * (1 + light[:, 0]) + light[:, 1] * across
    return torch.from_numpy(lit + rng.normal(0, 0.01, lit.shape)).float()


def fitted(count: int = 60) -> WholePicture:
    whole = WholePicture(GRID)
    whole.fit(good_colours(count, seed=0), count)
    return whole


def test_what_good_pictures_differ_by_is_explained_and_a_bite_is_not() -> None:
    whole, fresh = fitted(), good_colours(200, seed=1)
    good = whole(fresh)
    assert 0.8 < good.std() < 1.5
    bitten = fresh.clone()
    bitten[:, :, 4:6, 7:9] = 0.0
    far = whole(bitten).abs()[:, 0, 4:6, 7:9].mean()
    assert far > 5 * good.abs().mean()


def test_directions_are_the_principal_ones() -> None:
    pictures = good_colours(60, seed=0)
    whole = fitted()
    pca = PCA(DIRECTIONS, svd_solver="full").fit(pictures.flatten(1).numpy())
    left = pictures.flatten(1).numpy() - pca.inverse_transform(pca.transform(pictures.flatten(1).numpy()))
    found = (whole(pictures) * whole.scale).flatten(1).numpy()
    np.testing.assert_allclose(found, left, atol=1e-4)


def test_few_pictures_tell_few_directions() -> None:
    for count, expected in ((3, 1), (4, 1), (11, 2), (300, DIRECTIONS)):
        whole = WholePicture(GRID)
        whole.fit(torch.cat([good_colours(count, seed=0)] * 3), count)
        assert int((whole.directions.norm(dim=1) > 0.5).sum()) == min(expected, 3 * count)


def test_what_never_varies_does_not_count_for_its_rounding() -> None:
    gray = good_colours(60, seed=0)
    gray[:, 1:] = 0.25
    whole = WholePicture(GRID)
    whole.fit(gray, 60)
    gray[:, 1:] += 1e-4
    assert whole(gray)[:, 1:].abs().max() < 0.1

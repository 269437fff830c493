"""Priors against what is known of them on paper: moments, clusters, the spiral, the order of a code's numbers."""

import math

import numpy as np
import pytest

from aae_detect.errors import ConfigError
from aae_detect.prior import MOST_COMPONENTS, Prior, parse_prior

NAMES = ("normal", "uniform", "mixture:2", "mixture:3", "mixture:10", "mixture:100", "swiss-roll")
COUNT = 200_000


def draw(name: str, count: int = COUNT, dim: int = 4, seed: int = 0) -> np.ndarray:
    return parse_prior(name).sample(count, dim, np.random.default_rng(seed)).astype(np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_mean_0_and_variance_1(name: str) -> None:
    samples = draw(name)
    # 5 standard errors: of a mean 1 / sqrt(n), of a variance at most sqrt(2 / n), as no kurtosis here is above 3.
    assert np.abs(samples.mean(axis=0)).max() < 5 / math.sqrt(COUNT)
    assert np.abs(samples.var(axis=0) - 1).max() < 5 * math.sqrt(2 / COUNT)


@pytest.mark.parametrize(("name", "fourth_moment"), [("normal", 3.0), ("uniform", 9 / 5)])
def test_fourth_moments(name: str, fourth_moment: float) -> None:
    assert np.mean(draw(name) ** 4) == pytest.approx(fourth_moment, rel=0.02)


def test_the_normal_prior_has_the_normal_distribution() -> None:
    samples = np.sort(draw("normal", 20_000, 1)[:, 0])
    expected = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in samples])
    assert np.abs(expected - np.linspace(0, 1, len(samples))).max() < 1.95 / math.sqrt(len(samples))  # p = 0.001


def test_the_uniform_prior_is_even_within_its_box() -> None:
    samples = draw("uniform")
    assert np.abs(samples).max() <= math.sqrt(3) + 1e-6
    shares = np.histogram(samples, 10, (-math.sqrt(3), math.sqrt(3)))[0] / samples.size
    assert shares == pytest.approx(np.full(10, 0.1), rel=0.02)


@pytest.mark.parametrize("components", [2, 3, 10, MOST_COMPONENTS])
def test_a_mixture_has_as_many_clusters_and_room_between_them(components: int) -> None:
    pairs = draw(f"mixture:{components}").reshape(COUNT, 2, 2)
    angle = np.arctan2(pairs[:, 0, 1], pairs[:, 0, 0])
    # Where a cluster's centre lies on the circle is not what is asked; that they lie evenly is. A sum of unit vectors
    # at K times the angle finds it.
    turned = angle * components
    offset = math.atan2(np.sin(turned).mean(), np.cos(turned).mean()) / components
    steps = (angle - offset) * components / (2 * math.pi)
    cluster = np.round(steps).astype(int) % components
    shares = np.bincount(cluster, minlength=components) / COUNT
    assert shares == pytest.approx(np.full(components, 1 / components), rel=0.15)
    # The border between two lies three standard deviations away, so 0.7 % come within a tenth of it; a ring: 10 %.
    to_border = 0.5 - np.abs(steps - np.round(steps))
    assert np.mean(to_border < 0.05) < 0.01
    centres = np.stack([pairs[cluster == k, 0].mean(axis=0) for k in range(components)])
    spread = np.std(pairs[:, 0] - centres[cluster], axis=0)
    nearest = np.linalg.norm(centres[0] - centres[1])
    assert (nearest > 5.5 * spread).all()


def test_a_sample_of_a_mixture_lies_in_one_cluster_in_all_its_pairs() -> None:
    pairs = draw("mixture:4", 2000, 6).reshape(2000, 3, 2)
    angles = np.arctan2(pairs[..., 1], pairs[..., 0])
    apart = np.angle(np.exp(1j * (angles - angles[:, :1])))
    assert np.mean(np.abs(apart) < math.pi / 4) > 0.98


def test_the_swiss_roll_is_a_spiral_of_even_density() -> None:
    """Undo the scaling by the moments of the curve, then ask whether the radius follows from the angle."""
    first, last = 1.5 * math.pi, 4.5 * math.pi
    turn = np.sqrt(np.linspace(first**2, last**2, 200_001))
    curve = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1)
    points = draw("swiss-roll", 20_000, 2) * curve.std(axis=0) + curve.mean(axis=0)
    radius = np.hypot(points[:, 0], points[:, 1])
    off = (radius - np.arctan2(points[:, 1], points[:, 0])) / (2 * math.pi)  # whole numbers on the curve
    assert np.quantile(np.abs(off - np.round(off)), 0.99) < 0.15  # half the way to the next winding is 0.5
    share = (radius**2 - first**2) / (last**2 - first**2)
    inner = np.histogram(share, 10, (0, 1))[0][1:-1] / len(share)  # noise blurs the two ends
    assert inner == pytest.approx(np.full(8, 0.1), rel=0.15)


def test_the_pairs_of_a_swiss_roll_are_independent() -> None:
    samples = draw("swiss-roll", 50_000, 4)
    assert abs(np.corrcoef(samples[:, 0], samples[:, 2])[0, 1]) < 0.02
    assert abs(np.corrcoef(samples[:, 0] ** 2, samples[:, 2] ** 2)[0, 1]) < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_samples(name: str) -> None:
    assert (draw(name, 5, seed=1) == draw(name, 5, seed=1)).all()
    assert (draw(name, 5, seed=1) != draw(name, 5, seed=2)).any()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_types(name: str) -> None:
    prior, rng = parse_prior(name), np.random.default_rng(0)
    samples, codes = prior.sample(7, 6, rng), prior.sample_codes(3, (6, 4, 5), rng)
    assert (samples.shape, samples.dtype) == ((7, 6), np.float32)
    assert (codes.shape, codes.dtype) == ((3, 120), np.float32)
    assert codes.flags.c_contiguous
    assert prior.sample(0, 6, rng).shape == (0, 6)


def test_a_custom_prior_gives_only_what_was_recorded_and_all_of_it() -> None:
    bank = np.arange(30, dtype=np.float32).reshape(10, 3)
    samples = Prior("custom", bank=bank).sample(1000, 3, np.random.default_rng(0))
    assert {tuple(row) for row in samples} == {tuple(row) for row in bank}


def test_the_numbers_of_one_place_stay_together_in_a_code() -> None:
    """A flattened (channels, height, width): with places (i, 100 + i), the planes differ by 100 everywhere."""
    bank = np.array([(i, 100 + i) for i in range(50)], np.float32)
    codes = Prior("custom", bank=bank).sample_codes(20, (2, 3, 4), np.random.default_rng(0)).reshape(20, 2, 3, 4)
    assert (codes[:, 1] - codes[:, 0] == 100).all()
    assert len(np.unique(codes[0, 0])) > 6  # each place draws for itself


def test_places_are_independent() -> None:
    pairs = parse_prior("mixture:10").sample_codes(20_000, (2, 1, 2), np.random.default_rng(0)).reshape(-1, 2, 2)
    correlation = np.corrcoef(pairs[:, 0, 0], pairs[:, 0, 1])[0, 1]  # the first number of both places
    assert abs(correlation) < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_read_back(name: str) -> None:
    assert parse_prior(name).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gaussian", "'gaussian' is none of normal, uniform, mixture:K, swiss-roll"),
        ("", "'' is none of"),
        ("normal:2", "'normal:2' is none of"),
        ("custom", "'custom' is none of"),
        ("Normal", "'Normal' is none of"),
        ("mixture", "write mixture:K with K from 2 to 100"),
        ("mixture:K", "write mixture:K with K from 2 to 100"),
        ("mixture:1", "write mixture:K with K from 2 to 100"),
        ("mixture:101", "write mixture:K with K from 2 to 100"),
        ("mixture:-3", "write mixture:K with K from 2 to 100"),
        ("mixture:2.5", "write mixture:K with K from 2 to 100"),
    ],
)
def test_what_is_no_prior(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_prior(text)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["mixture:10", "swiss-roll"])
def test_pairs_need_an_even_number(name: str) -> None:
    with pytest.raises(ConfigError, match=r"lies in pairs of numbers, the code has 3; give an even number"):
        draw(name, 1, 3)


@pytest.mark.parametrize(
    ("bank", "message"), [(None, "no samples"), (np.zeros((5, 3), np.float32), "samples of 3 numbers")]
)
def test_a_custom_prior_needs_samples_of_the_codes_size(bank: np.ndarray | None, message: str) -> None:
    with pytest.raises(ConfigError, match=f"has {message}, the code has 4 per place"):
        Prior("custom", bank=bank).sample(1, 4, np.random.default_rng(0))

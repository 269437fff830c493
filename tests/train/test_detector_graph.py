import numpy as np
import pytest
import torch
from torch import nn

from aae_detect.scoring import score_map
from aae_train.detector_graph import DecoderGraph, DetectorGraph, EncoderGraph
from aae_train.evidence_statistics import SPREAD_FLOOR, fit_places, fit_tails
from aae_train.judge import DrawingJudge


class Pixels(nn.Module):
    """An encoder whose code is the picture."""

    def forward(self, picture: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        return picture.flatten(1)


class Gray(nn.Module):
    """Draws plain gray whatever it is given."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(latent), 3, 32, 32)


def gray_detector(centre: float = 0.0, spread: float = 1.0) -> DetectorGraph:
    shape = (1, 2, 8, 8)
    return DetectorGraph(Pixels(), Gray(), DrawingJudge(), torch.full(shape, centre), torch.full(shape, spread))


def test_a_uniform_difference_by_hand() -> None:
    """Gray level 255 is 1.0 away from the gray drawing in every pixel, so detail and shift are 1 everywhere."""
    image = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    anomaly_map, score, drawn = gray_detector(centre=0.25, spread=0.5)(image)
    assert torch.allclose(anomaly_map, torch.full((1, 8, 8), 1.5), atol=1e-5)
    assert score.item() == pytest.approx(1.5, abs=1e-5)
    assert drawn.shape == (1, 32, 32, 3)
    assert drawn.dtype == torch.uint8
    assert drawn.unique().tolist() == [128]  # 127.5, rounded to even


def test_noise_counts_as_detail_and_averages_out_of_shift() -> None:
    picture = torch.zeros(1, 3, 64, 64)
    picture[..., ::2] = 0.5
    picture[..., 1::2] = -0.5
    detail, shift = DrawingJudge().evidence(picture, torch.zeros_like(picture))[0]
    assert torch.allclose(detail, torch.full((16, 16), 0.5), atol=1e-6)
    assert shift.abs().max() < 1e-6


def test_a_defect_at_the_rim_counts_like_one_in_the_middle() -> None:
    def peak(row: int, column: int) -> float:
        picture = torch.zeros(1, 3, 64, 64)
        picture[..., row : row + 4, column : column + 4] = 1.0
        return float(DrawingJudge().evidence(picture, torch.zeros_like(picture)).max())

    assert peak(0, 0) >= peak(32, 32)


def test_the_score_is_what_the_device_computes_from_the_map() -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))
    maps, scores, _ = gray_detector()(image)
    assert scores.tolist() == [score_map(m.numpy()) for m in maps]


def test_encoder_and_decoder_take_and_give_what_the_detector_does() -> None:
    image = torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 1, 1, 3).expand(1, 32, 32, 3)
    code = EncoderGraph(Pixels())(image)
    assert code.min() == -1.0
    assert code.max() == 1.0
    picture = DecoderGraph(nn.Unflatten(1, (3, 32, 32)))(code)
    assert torch.equal(picture, image)


def test_statistics_of_many_pictures_are_those_of_each_place() -> None:
    """A map whose right half is 1 higher: far from the step every place has its own centre and its own spread, 0.5."""
    rng = np.random.default_rng(0)
    means = np.zeros((1, 2, 8, 32), np.float32)
    means[..., 16:] = 1.0
    sample = fit_places((means + rng.normal(0, 0.5, (1000, 2, 8, 32))).astype(np.float32))
    assert np.abs(sample.centre[..., :4]).max() < 0.05
    assert np.abs(sample.centre[..., -4:] - 1).max() < 0.05
    assert np.abs(sample.spread[..., :4] - 0.5).max() < 0.05


def test_no_place_is_taken_for_steadier_than_the_floor_allows() -> None:
    values = np.random.default_rng(0).normal(0, 1, (500, 2, 8, 32)).astype(np.float32)
    values[..., :12] = 0.0  # a quiet corner, as in pictures where nothing has happened yet
    sample = fit_places(values)
    overall = values.std(axis=(0, 2, 3))
    assert sample.spread[0, :, 4, 2] == pytest.approx(SPREAD_FLOOR * overall, rel=0.05)


def test_statistics_of_few_pictures_lean_on_the_whole_map() -> None:
    rng = np.random.default_rng(0)
    sample = fit_places(rng.normal(3, 1, (2, 2, 16, 16)).astype(np.float32))
    assert np.abs(sample.centre - 3).max() < 0.5
    assert sample.spread.min() > 0.7
    standardised = sample.standardise(rng.normal(3, 1, (50, 2, 16, 16)).astype(np.float32))
    assert abs(standardised.mean()) < 0.3
    assert 0.7 < standardised.std() < 1.2


def test_of_tails_zero_is_the_usual_largest_value_and_one_its_spread() -> None:
    """Two kinds whose tails differ wildly; on fresh pictures the largest value of either is about 0, give or take 1."""
    rng = np.random.default_rng(0)

    def kinds(count: int) -> np.ndarray:
        bell = rng.normal(3, 1, (count, 1, 16, 16))
        heavy = np.exp(rng.normal(0, 1.5, (count, 1, 16, 16)))
        return np.concatenate([bell, heavy], axis=1).astype(np.float32)

    largest = fit_tails(kinds(300)).standardise(kinds(300)).max(axis=(2, 3))
    assert np.abs(np.median(largest, axis=0)).max() < 0.3
    quartiles = np.quantile(largest, [0.25, 0.75], axis=0)
    assert np.abs(quartiles[1] - quartiles[0] - 1.35).max() < 0.4  # that of a normal distribution


def test_one_odd_picture_does_not_set_the_scale_of_the_tails() -> None:
    rng = np.random.default_rng(0)
    evidence = rng.normal(0, 1, (40, 1, 16, 16)).astype(np.float32)
    steady = fit_tails(evidence)
    evidence[7, 0, 3, 3] = 40.0
    odd = fit_tails(evidence)
    fresh = rng.normal(0, 1, (200, 1, 16, 16)).astype(np.float32)
    widths = [np.diff(np.quantile(s.standardise(fresh).max(axis=(1, 2, 3)), [0.25, 0.75])) for s in (steady, odd)]
    assert widths[1] > 0.15 * widths[0]  # by the plain standard deviation it would be a twentieth


def test_a_place_that_never_varied_does_not_divide_by_zero() -> None:
    flat = np.zeros((10, 2, 8, 8), np.float32)
    for fit in (fit_places, fit_tails):
        assert np.isfinite(fit(flat).standardise(flat + 0.1)).all()

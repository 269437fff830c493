"""A prior given in Python: recorded once, and the run, its resumption and the device draw from the record."""

import json
from pathlib import Path

import numpy as np
import pytest

from aae_detect.errors import ConfigError
from aae_detect.prior import Prior
from aae_train.config import TrainConfig
from aae_train.custom_prior import record_prior
from aae_train.run import Run
from aae_train.run_folder import read_prior, write_prior


def ring(count: int, dim: int) -> np.ndarray:
    points = np.random.default_rng(0).standard_normal((count, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True) * np.sqrt(dim)


def test_what_is_drawn_comes_from_the_function() -> None:
    prior = record_prior(ring, 2)
    drawn = prior.sample(1000, 2, np.random.default_rng(1))
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), np.sqrt(2), rtol=1e-5)
    assert len(np.unique(drawn, axis=0)) > 800  # of 4096 recorded ones


def test_a_long_code_is_recorded_in_bounded_memory() -> None:
    bank = record_prior(ring, 4096).bank
    assert bank is not None
    assert bank.size <= 2**20


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (lambda n, dim: np.zeros((n, dim + 1)), r"returned shape \(4096, 3\) for \(4096, 2\)"),
        (lambda n, dim: np.zeros(n), r"returned shape \(4096,\)"),
        (lambda n, dim: np.full((n, dim), np.nan), "numbers that are not finite"),
    ],
)
def test_what_is_no_sample_is_refused(sample: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        record_prior(sample, 2)  # type: ignore[arg-type]


def test_it_comes_back_from_the_run_folder(tmp_path: Path) -> None:
    config = TrainConfig(data="x", prior="custom", latent="6")
    prior = record_prior(ring, 6)
    write_prior(tmp_path, prior)
    read = read_prior(tmp_path, config)
    np.testing.assert_array_equal(read.bank, prior.bank)
    with pytest.raises(ConfigError, match="samples of 6 numbers, the code has 4"):
        read_prior(tmp_path, TrainConfig(data="x", prior="custom", latent="4"))


def test_settings_and_prior_must_agree(demo_pictures: Path, tmp_path: Path) -> None:
    def make(name: str, prior: Prior | None) -> None:
        config = TrainConfig(data=str(demo_pictures), prior=name, latent="2", input_hw=(32, 32))
        Run(config, tmp_path / "run", say=print, prior=prior)

    with pytest.raises(ConfigError, match="prior 'normal' in the settings, and a prior given"):
        make("normal", record_prior(ring, 2))
    with pytest.raises(ConfigError, match=r"prior 'custom' in the settings, and no prior given.*record_prior"):
        make("custom", None)
    with pytest.raises(ConfigError, match="samples of 3 numbers, the code has 2"):
        make("custom", record_prior(ring, 3))


def test_a_run_goes_on_without_the_function(demo_pictures: Path, tmp_path: Path) -> None:
    config = TrainConfig(data=str(demo_pictures), prior="custom", latent="4", input_hw=(32, 32), steps=4, batch_size=2)
    taken: list[int] = []

    def note(*arguments: object) -> None:
        taken.append(1)

    begun = Run(config, tmp_path / "run", say=lambda text: None, prior=record_prior(ring, 4))
    assert not begun.train(lambda: len(taken) >= 2, note)
    assert Run(config, tmp_path / "run", say=lambda text: None).train(lambda: False, note)
    whole = Run(config, tmp_path / "whole", say=lambda text: None, prior=record_prior(ring, 4))
    assert whole.train(lambda: False, note)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["prior"] == "custom"

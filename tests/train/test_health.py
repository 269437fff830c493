"""Each way to fail, brought about for real, is seen and named; a model that works is not accused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from aae_detect.prior import Prior
from aae_train.config import TrainConfig
from aae_train.families import make_model
from aae_train.family import GenerativeModel
from aae_train.health import Health, examine, latent_match
from aae_train.posterior import Gaussian

CONFIG = TrainConfig(data="x", input_hw=(32, 32), latent="4")
PRIOR = CONFIG.make_prior()
FINE = Health(0.6, 0.55, 1.0, 0.9)


@pytest.fixture
def model() -> GenerativeModel:
    torch.manual_seed(0)
    model = make_model(CONFIG)
    pictures = torch.rand(32, 3, 1, 1).expand(-1, -1, 32, 32) * 2 - 1
    model.start(pictures, torch.randn(32, 4))
    return model.eval()


def flat_colours(count: int = 64) -> np.ndarray:
    colours = np.random.default_rng(0).integers(0, 256, (count, 1, 1, 3), np.uint8)
    return np.broadcast_to(colours, (count, 32, 32, 3)).copy()


def silence(network: nn.Module) -> None:
    """Make a network's last layer answer with a constant."""
    layer = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)][-1]
    nn.init.zeros_(layer.weight)


def test_a_model_that_works_is_left_alone() -> None:
    assert FINE.warnings() == []
    assert Health(None, None, 1.0, 1.0).warnings() == []


def test_a_generator_that_always_draws_the_same_has_collapsed(model: GenerativeModel) -> None:
    silence(model.decoder)
    health = examine(model, PRIOR, flat_colours(), [], seed=0)
    assert health.sample_diversity_ratio == pytest.approx(0, abs=1e-6)
    assert any("mode collapse" in warning and "--batch-size" in warning for warning in health.warnings())


def test_an_encoder_that_ignores_the_picture_has_collapsed(model: GenerativeModel) -> None:
    silence(model.encoder)
    health = examine(model, PRIOR, flat_colours(), [], seed=0)
    assert health.active_share == 0
    assert any("posterior collapse" in warning and "--latent" in warning for warning in health.warnings())


def test_noise_does_not_hide_that_an_encoder_ignores_the_picture() -> None:
    """A collapsed posterior is the prior itself: its codes vary as they should, and none of it comes from pictures."""
    torch.manual_seed(0)
    model = make_model(replace(CONFIG, encoder="gaussian")).eval()
    posterior = model.encoder.posterior
    assert isinstance(posterior, Gaussian)
    for parameter in posterior.parameters():
        nn.init.zeros_(parameter)
    health = examine(model, PRIOR, flat_colours(), [], seed=0)
    assert health.active_share == 0
    assert health.latent_neighbour_accuracy == pytest.approx(0.5, abs=0.2)


def test_codes_far_from_the_prior_miss_it(model: GenerativeModel) -> None:
    head = [m for m in model.encoder.modules() if isinstance(m, nn.Conv2d)][-1]
    assert head.bias is not None
    nn.init.constant_(head.bias, 30.0)
    health = examine(model, PRIOR, flat_colours(), [], seed=0)
    assert health.latent_neighbour_accuracy == 1.0
    assert any("codes miss their prior" in warning and "--prior" in warning for warning in health.warnings())


def test_a_discriminator_that_is_always_right_has_won(model: GenerativeModel) -> None:
    """Judged by the last fifth: what was before does not count."""
    early, late = [{"discriminator_accuracy": 0.5}] * 40, [{"discriminator_accuracy": 1.0}] * 10
    health = examine(model, PRIOR, flat_colours(), early + late + [{"select_score": 0.3}], seed=0)
    assert health.discriminator_accuracy == 1.0
    (told,) = [w for w in health.warnings("non-saturating") if "discriminator has won" in w]
    assert "take --adversarial-loss relativistic" in told
    (told,) = [w for w in health.warnings("relativistic") if "discriminator has won" in w]
    assert "--adversarial-loss" not in told  # no advice to do what was done
    assert examine(model, PRIOR, flat_colours(), late + early, seed=0).discriminator_accuracy == 0.5


@pytest.mark.parametrize("chw", [(4, 1, 1), (4, 3, 5)])
def test_codes_from_the_prior_match_it(chw: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    codes = Prior("mixture", 5).sample_codes(800, chw, rng)
    assert latent_match(codes, chw, Prior("mixture", 5), rng) == pytest.approx(0.5, abs=0.05)
    assert latent_match(codes, chw, Prior("normal"), rng) > 0.7


def test_families_without_a_held_code_or_a_discriminator_say_so() -> None:
    torch.manual_seed(0)
    network = make_model(TrainConfig(data="x", model="gmmn", input_hw=(32, 32))).eval()
    health = examine(network, PRIOR, flat_colours(8), [], seed=0)
    assert (health.latent_neighbour_accuracy, health.discriminator_accuracy) == (None, None)

import numpy as np
import pytest
import torch
from torch import Tensor

from aae_train.compute import to_pictures
from aae_train.config import MODELS, TrainConfig
from aae_train.families import make_model
from aae_train.networks import LatentDiscriminator


@pytest.mark.parametrize("input_hw", [(32, 32), (64, 96), (128, 64)])
@pytest.mark.parametrize("latent", ["grid", "6"])
def test_shapes_follow_the_input(input_hw: tuple[int, int], latent: str) -> None:
    config = TrainConfig(data="x", input_hw=input_hw, latent=latent, latent_channels=3)
    model = make_model(config)
    picture = torch.zeros(2, 3, *input_hw)
    code = model.encoder(picture)
    places = (input_hw[0] // 16) * (input_hw[1] // 16)
    assert code.shape == (2, config.latent_dim) == (2, 3 * places if latent == "grid" else 6)
    step = config.layout.drawing_step
    assert step == (2 if latent == "grid" else 1)
    assert model.decoder(code).shape == (2, 3, input_hw[0] // step, input_hw[1] // step)
    assert model.latent_discriminator is not None
    assert model.latent_discriminator(code).shape == (2, places if latent == "grid" else 1)


def test_the_discriminator_of_codes_is_one_of_places() -> None:
    """What it computes by matrices is what its 1x1 convolutions say, gradients of gradients among it."""
    discriminator = LatentDiscriminator((3, 4, 6), width=16)
    code = torch.randn(2, 72, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def penalty(logits: Tensor) -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(logits.square().sum(), code, create_graph=True)
        return logits, slope, *torch.autograd.grad(slope.square().sum(), discriminator.parameters(), allow_unused=True)

    by_matrices = penalty(discriminator(code))
    by_convolutions = penalty(discriminator.layers(code.view(2, 3, 4, 6)).flatten(1))
    for found, expected in zip(by_matrices, by_convolutions, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", MODELS)
def test_every_family_draws_from_its_prior(family: str) -> None:
    config = TrainConfig(data="x", model=family, input_hw=(64, 96))
    model = make_model(config)
    step = config.layout.drawing_step
    channels, height, width = model.prior_chw
    assert model.generate(torch.zeros(2, channels * height * width)).shape == (2, 3, 64 // step, 96 // step)
    if (discriminator := model.picture_discriminator) is not None:
        assert discriminator(torch.zeros(2, 3, 64, 96)).shape == (2, 1)


@pytest.mark.parametrize("family", MODELS)
def test_nothing_depends_on_the_rest_of_the_batch(family: str) -> None:
    """No layer may normalise over a batch: pictures would be judged by their neighbours, shards would differ."""
    model = make_model(TrainConfig(data="x", model=family, input_hw=(64, 64)))
    pictures = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model(pictures)[:1], model(pictures[:1]), atol=1e-5)
    assert not [name for name, _ in model.named_modules() if "norm" in name.lower()]


@pytest.mark.parametrize("latent", ["grid", "6"])
def test_the_start_gives_codes_of_zero_mean_and_unit_variance(latent: str) -> None:
    torch.manual_seed(0)
    config = TrainConfig(data="x", input_hw=(64, 64), latent=latent)
    model = make_model(config)
    images = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    images = np.ascontiguousarray(np.repeat(np.repeat(images[:, ::8, ::8], 8, axis=1), 8, axis=2))
    pictures = to_pictures(images, torch.device("cpu"))
    with torch.no_grad():
        assert model.encoder(pictures).std() < 0.5  # what it mends
    model.start(pictures, torch.randn(16, config.latent_dim))
    with torch.no_grad():
        codes = model.encoder(pictures).unflatten(1, config.latent_chw)
        drawn = model.decoder(codes.flatten(1))
    assert codes.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    if latent == "grid":
        assert (codes.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-3
    assert codes.std(correction=0).item() == pytest.approx(1, abs=1e-2)
    assert (drawn.mean(dim=(0, 2, 3)) - pictures.mean(dim=(0, 2, 3))).abs().max() < 1e-3


@pytest.mark.parametrize("family", MODELS)
def test_a_flat_picture_does_not_blow_the_start_up(family: str) -> None:
    config = TrainConfig(data="x", model=family, input_hw=(32, 32))
    model = make_model(config)
    channels, height, width = model.prior_chw
    pictures = torch.zeros(2, 3, 32, 32)
    model.start(pictures, torch.randn(2, channels * height * width))
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert bool(torch.isfinite(model(pictures)).all())


def test_the_start_keeps_a_layer_that_says_the_same_of_everything() -> None:
    """The posterior's variance starts as a constant, and is meant to."""
    config = TrainConfig(data="x", model="vae", input_hw=(32, 32))
    model = make_model(config)
    before = model.encoder.posterior.log_variance.bias.clone()  # type: ignore[union-attr, operator]
    model.start(torch.rand(8, 3, 32, 32) * 2 - 1, torch.randn(8, config.latent_dim))
    assert torch.equal(model.encoder.posterior.log_variance.bias, before)  # type: ignore[union-attr]

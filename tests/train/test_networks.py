import numpy as np
import pytest
import torch

from aae_train.aae import AdversarialAutoencoder
from aae_train.compute import to_pictures
from aae_train.config import TrainConfig
from aae_train.start import scale_to_data


@pytest.mark.parametrize("input_hw", [(32, 32), (64, 96), (128, 64)])
def test_shapes_follow_the_input(input_hw: tuple[int, int]) -> None:
    config = TrainConfig(data="x", input_hw=input_hw, latent_channels=3)
    model = AdversarialAutoencoder(config)
    picture = torch.zeros(2, 3, *input_hw)
    code = model.encoder(picture)
    assert code.shape == (2, config.latent_dim) == (2, 3 * (input_hw[0] // 16) * (input_hw[1] // 16))
    assert model.decoder(code).shape == picture.shape
    assert model.discriminator(code).shape == (2,)


def test_nothing_depends_on_the_rest_of_the_batch() -> None:
    """No layer may normalise over a batch: pictures would be judged by their neighbours."""
    model = AdversarialAutoencoder(TrainConfig(data="x", input_hw=(64, 64)))
    pictures = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model(pictures)[:1], model(pictures[:1]), atol=1e-5)


def test_the_start_gives_codes_of_zero_mean_and_unit_variance() -> None:
    torch.manual_seed(0)
    model = AdversarialAutoencoder(TrainConfig(data="x", input_hw=(64, 64)))
    images = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    images = np.ascontiguousarray(np.repeat(np.repeat(images[:, ::8, ::8], 8, axis=1), 8, axis=2))
    pictures = to_pictures(images, torch.device("cpu"))
    with torch.no_grad():
        assert model.encoder(pictures).std() < 0.5  # what it mends
    scale_to_data(model, pictures)
    with torch.no_grad():
        codes = model.encoder(pictures).unflatten(1, (8, 4, 4))
        drawn = model.decoder(codes.flatten(1))
    assert codes.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert (codes.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3
    assert (drawn.mean(dim=(0, 2, 3)) - pictures.mean(dim=(0, 2, 3))).abs().max() < 1e-3


def test_a_flat_picture_does_not_blow_the_start_up() -> None:
    model = AdversarialAutoencoder(TrainConfig(data="x", input_hw=(32, 32)))
    pictures = torch.zeros(2, 3, 32, 32)
    scale_to_data(model, pictures)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert bool(torch.isfinite(model(pictures)).all())

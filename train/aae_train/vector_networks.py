"""Networks and constants for data that are rows of numbers rather than pictures: measurements, small digits, toys.

A row of D numbers travels as a picture of one pixel with D channels, (B, D, 1, 1): so every family, posterior and
export part works on it unchanged. The layers are dense ones; as in `networks`, none normalises over a batch.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aae_train.aae import AdversarialAutoencoder
from aae_train.config import TrainConfig
from aae_train.families import code_generator
from aae_train.family import GenerativeModel
from aae_train.gan import GenerativeAdversarialNetwork
from aae_train.gmmn import MomentMatchingAutoencoder, MomentMatchingNetwork
from aae_train.networks import Decoder, Encoder, PictureDiscriminator
from aae_train.posterior import EncoderKind, Posterior, Universal, make_posterior
from aae_train.vae import VariationalAutoencoder
from aae_train.wae import WassersteinAutoencoder

WIDTH = 128
"""Numbers in each of the two hidden layers."""

PENALTY = 0.05
"""Weight of R1 and R2 of the GAN: it grows with the numbers of a picture (`gan.penalty_for`), and rows have few."""

WAE_WEIGHT = 10.0
"""lambda of the WAE for rows of unit variance: on a ring of Gaussians, 68 % of the samples lie near one of them instead
of 37 % with the pictures' 0.1."""

MMD_SCALES = (1 / 256, 1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)
"""Of the GMMN: rows may show structure much finer than their median distance. On the same ring 69 % instead of 56 %."""


def to_vectors(rows: NDArray[Any]) -> Tensor:
    """Take (N, D) rows to (N, D, 1, 1) float32."""
    return torch.from_numpy(rows).float()[:, :, None, None]


def make_vector_model(config: TrainConfig, length: int, width: int = WIDTH) -> GenerativeModel:
    """Make the family that `config.model` names, for rows of so many numbers; `config.latent` must be a number."""
    chw = config.latent_chw
    assert config.encoder is not None  # TrainConfig fills it in
    encoder = Encoder(vector_encoder_trunk(length, width), vector_posterior(config.encoder, chw, width))
    decoder = Decoder(chw, vector_decoder_trunk(chw[0], length, width))
    match config.model:
        case "vae":
            return VariationalAutoencoder(encoder, decoder)
        case "wae-mmd":
            return WassersteinAutoencoder(encoder, decoder, WAE_WEIGHT)
        case "gan":
            discriminator = vector_discriminator(length, width)
            return GenerativeAdversarialNetwork(
                encoder, decoder, discriminator, config.adversarial_loss, PENALTY, augment=False
            )
        case "gmmn":
            return MomentMatchingNetwork(encoder, decoder, MMD_SCALES)
        case "gmmn-ae":
            return MomentMatchingAutoencoder(encoder, decoder, code_generator(chw[0], width))
    return AdversarialAutoencoder(encoder, decoder, vector_latent_discriminator(chw[0], width), config.adversarial_loss)


def vector_posterior(kind: EncoderKind, latent_chw: tuple[int, int, int], width: int = WIDTH) -> Posterior:
    """Make the posterior of a kind; a universal one takes as many numbers of noise as there are features.

    With the eight that pictures take, noise hardly moves the code at the start, and codes of few clusters stay clusters
    that leave most of the prior empty.
    """
    return Universal(width, latent_chw, width) if kind == "universal" else make_posterior(kind, width, latent_chw)


def vector_encoder_trunk(length: int, width: int = WIDTH) -> nn.Sequential:
    """Make the trunk of an encoder, (B, length, 1, 1) to features (B, width, 1, 1)."""
    return nn.Sequential(*_hidden(length, width, nn.ReLU()), nn.Unflatten(1, (width, 1, 1)))


def vector_decoder_trunk(latent_length: int, length: int, width: int = WIDTH) -> nn.Sequential:
    """Make the trunk of a decoder, (B, latent_length, 1, 1) to (B, length, 1, 1)."""
    last = nn.Linear(width, length)
    return nn.Sequential(*_hidden(latent_length, width, nn.ReLU()), last, nn.Unflatten(1, (length, 1, 1)))


def vector_discriminator(length: int, width: int = WIDTH) -> PictureDiscriminator:
    """Make a discriminator of rows, (B, length, 1, 1) to (B, 1); its features are what the last hidden layer sees."""
    return PictureDiscriminator(nn.Sequential(*_hidden(length, width, nn.LeakyReLU(0.2))), nn.Linear(width, 1))


def vector_latent_discriminator(latent_length: int, width: int = WIDTH) -> nn.Sequential:
    """Make a discriminator of codes, (B, latent_length) to (B, 1).

    It is `LatentDiscriminator` for one place, in dense layers: they take less than half of a 1x1 convolution's time.
    """
    return nn.Sequential(*_hidden(latent_length, width, nn.LeakyReLU(0.2)), nn.Linear(width, 1))


def _hidden(length: int, width: int, activation: nn.Module) -> list[nn.Module]:
    """(B, length, 1, 1) to (B, width)."""
    return [nn.Flatten(), nn.Linear(length, width), activation, nn.Linear(width, width), activation]

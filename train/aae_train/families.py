"""The families by name."""

from __future__ import annotations

from torch import nn

from aae_train.aae import AdversarialAutoencoder
from aae_train.config import GRID, TrainConfig
from aae_train.family import GenerativeModel
from aae_train.gan import PENALTY_EVERY, GenerativeAdversarialNetwork, penalty_for
from aae_train.gmmn import MomentMatchingAutoencoder, MomentMatchingNetwork
from aae_train.networks import (
    Decoder,
    Encoder,
    LatentDiscriminator,
    decoder_trunk,
    encoder_trunk,
    picture_discriminator,
)
from aae_train.posterior import make_posterior
from aae_train.vae import VariationalAutoencoder
from aae_train.wae import WassersteinAutoencoder

_CODE_WIDTH = 256


def make_model(config: TrainConfig) -> GenerativeModel:
    """Make the networks that a run trains, as `config.model` names them."""
    chw = config.latent_chw
    layout = config.layout
    trunk, channels = encoder_trunk(layout, config.input_hw, "grid" if config.latent == GRID else "vector")
    assert config.encoder is not None  # TrainConfig fills it in
    encoder = Encoder(trunk, make_posterior(config.encoder, channels, chw))
    decoder = Decoder(chw, decoder_trunk(layout, chw, config.input_hw, config.latent == GRID))
    match config.model:
        case "vae":
            return VariationalAutoencoder(encoder, decoder)
        case "wae-mmd":
            return WassersteinAutoencoder(encoder, decoder)
        case "gan":
            discriminator = picture_discriminator(config.input_hw)
            penalty = penalty_for(config.input_hw)
            return GenerativeAdversarialNetwork(
                encoder, decoder, discriminator, config.adversarial_loss, penalty, PENALTY_EVERY
            )
        case "gmmn":
            return MomentMatchingNetwork(encoder, decoder)
        case "gmmn-ae":
            return MomentMatchingAutoencoder(encoder, decoder, code_generator(chw[0], _CODE_WIDTH))
    return AdversarialAutoencoder(encoder, decoder, LatentDiscriminator(chw), config.adversarial_loss)


def code_generator(dim: int, width: int) -> nn.Sequential:
    """Make the network of GMMN+AE from the prior to codes, (B, dim) to (B, dim)."""
    return nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))

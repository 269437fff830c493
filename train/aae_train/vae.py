"""The variational autoencoder (Kingma & Welling, arXiv 1312.6114): one training step.

    loss = -log p(x|z) + KL(q(z|x) || N(0, 1)),     z ~ q(z|x)

The decoder's p(x|z) is a Gaussian whose variance is the best one for the batch, the mean squared error itself (Rybkin
et al., arXiv 2006.13202): then -log p(x|z) is P/2 log mse for P numbers in a picture, up to a constant, and no weight
between the two terms has to be found by hand.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.family import GenerativeModel, Losses, Pictures
from aae_train.losses import kl_to_standard_normal, reconstruction_loss
from aae_train.networks import Decoder, Encoder
from aae_train.players import Player, Players
from aae_train.posterior import Gaussian


class VariationalAutoencoder(GenerativeModel):
    """Encoder with a Gaussian posterior, and decoder."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        """Put the networks together; the encoder's posterior must be Gaussian."""
        assert isinstance(encoder.posterior, Gaussian)  # TrainConfig refuses others
        super().__init__(encoder, decoder)

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Who learns: both together."""
        return {"reconstruction": Player((self.encoder, self.decoder), config.lr)}

    def step(self, phase: str, pictures: Pictures, draw: Draw, players: Players) -> Losses:
        """Draw from a sampled code, and pay for what the code tells."""
        with players.autocast():
            features = self.encoder.trunk(pictures.shown)
            mean, log_variance = cast(Gaussian, self.encoder.posterior).moments(features)
            noise = draw.normal(len(mean), self.encoder.noise_dim)
            drawn = self.decoder(mean.float() + (0.5 * log_variance.float()).exp() * noise)
        kl = kl_to_standard_normal(mean.float(), log_variance.float()).mean()
        # Over all processes: the logarithm of a mean is not the mean of logarithms.
        mse = players.processes.gather((drawn.float() - pictures.clean).square().mean()[None]).mean()
        players.descend("reconstruction", negative_elbo(mse, kl, pictures.clean[0].numel()))
        with torch.no_grad():
            reconstruction = reconstruction_loss(pictures.clean, drawn.float())
        return {"reconstruction": reconstruction.item(), "kl": kl.item()}


def negative_elbo(mse: Tensor, kl: Tensor, numbers: int) -> Tensor:
    """Return (P/2 log mse + KL) / P, in nat per number of the picture, up to a constant.

    Args:
        mse: Mean squared error of all numbers of the batch.
        kl: Mean KL of a picture's code, nat.
        numbers: P, the numbers of one picture.
    """
    # The smallest is a fortieth of a grey level: below, the logarithm would reward rounding.
    return 0.5 * mse.clamp_min(4e-8).log() + kl / numbers

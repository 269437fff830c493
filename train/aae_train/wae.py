"""The Wasserstein autoencoder with MMD (Tolstikhin et al., arXiv 1711.01558, algorithm 2): one training step.

    loss = reconstruction + lambda * MMD^2(codes, samples of the prior)

No discriminator: a kernel compares codes and prior, so nothing can win or lose. As in all families the prior is one of
places, so a batch's codes give many samples.
"""

from __future__ import annotations

from torch import Tensor

from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.family import GenerativeModel, Losses, Pictures
from aae_train.losses import reconstruction_loss
from aae_train.mmd import imq_kernel, mmd_squared
from aae_train.networks import Decoder, Encoder
from aae_train.players import Player, Players

WEIGHT = 0.1
"""lambda: reconstruction losses lie around 0.03 to 0.3, MMD^2 of these kernels between 0 and 5."""

MOST_PLACES = 1024
"""Codes of places that are compared: the kernel's cost grows with the square."""

FEWEST_PRIOR_SAMPLES = 256
"""The prior is free, so few codes are compared with many samples of it."""


class WassersteinAutoencoder(GenerativeModel):
    """Encoder and decoder."""

    def __init__(self, encoder: Encoder, decoder: Decoder, weight: float = WEIGHT) -> None:
        """Put the networks together.

        Args:
            encoder: Pictures to codes, any posterior.
            decoder: Codes to pictures.
            weight: Of MMD^2 against the reconstruction loss.
        """
        super().__init__(encoder, decoder)
        self.weight = weight

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Who learns: both together."""
        return {"reconstruction": Player((self.encoder, self.decoder), config.lr)}

    def step(self, phase: str, pictures: Pictures, draw: Draw, players: Players) -> Losses:
        """Redraw, with codes that spread like the prior."""
        with players.autocast():
            code = self.encoder(pictures.shown, draw.normal(len(pictures.shown), self.encoder.noise_dim))
            drawn = self.decoder(code)
        reconstruction = reconstruction_loss(pictures.clean, drawn.float())
        chw = self.prior_chw
        places = by_place(players.processes.gather(code.float()), chw)
        # By chance: at even distances they might all lie in one column of the grid.
        places = places[draw.choose(len(places), MOST_PLACES)]
        # Every process compares all codes with the same samples: the comparison is one, over the whole batch.
        rows = max(len(code) * players.processes.count, -(-FEWEST_PRIOR_SAMPLES // (chw[1] * chw[2])))
        prior_places = by_place(draw.prior_for_all(rows), chw)
        prior_places = prior_places[draw.choose(len(prior_places), MOST_PLACES)]
        mmd = mmd_squared(places, prior_places, imq_kernel(2.0 * chw[0]))
        players.descend("reconstruction", reconstruction + self.weight * mmd)
        return {"reconstruction": reconstruction.item(), "mmd": mmd.item()}


def by_place(codes: Tensor, latent_chw: tuple[int, int, int]) -> Tensor:
    """Take codes (N, L * h * w) to the codes of their places, (N * h * w, L)."""
    return codes.view(len(codes), latent_chw[0], -1).transpose(1, 2).reshape(-1, latent_chw[0])

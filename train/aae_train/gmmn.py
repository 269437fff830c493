"""Generative moment matching (Li et al., arXiv 1502.02761): a generator without a discriminator.

    GMMN      the generator minimises MMD(drawings of prior samples, pictures); then an encoder learns the codes from
              which the frozen generator redraws a picture.
    GMMN+AE   an autoencoder learns codes of pictures; a small network learns to draw such codes from the prior, by
              the MMD between its codes and the pictures'. Codes have few numbers, and MMD sees them better than pixels.

As in the paper the square root of MMD^2 is minimised, which keeps its gradient when it becomes small.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.family import GenerativeModel, Losses, Phase, Pictures
from aae_train.losses import reconstruction_loss
from aae_train.mmd import GAUSSIAN_SCALES, gaussian_kernel, median_square, mmd_squared_biased
from aae_train.networks import Decoder, Encoder
from aae_train.players import Player, Players, frozen
from aae_train.start import scale_to_data

RECENT_CODES = 512
"""Codes of the latest pictures that GMMN+AE compares with: one batch says little about a distribution."""

_CODES_DRAWN = 256


class MomentMatchingNetwork(GenerativeModel):
    """GMMN: generator (the decoder), and the encoder that is taught after it."""

    phases = (Phase("generator", 0.6, selects=False), Phase("encoder", 0.4))
    holds_prior = False

    def __init__(self, encoder: Encoder, decoder: Decoder, scales: tuple[float, ...] = GAUSSIAN_SCALES) -> None:
        """Put the networks together.

        Args:
            encoder: Pictures to codes, deterministic.
            decoder: The generator: samples of the prior to pictures.
            scales: Of the squared bandwidth, see `mmd.gaussian_kernel`.
        """
        super().__init__(encoder, decoder)
        self.scales = scales

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Who learns: the generator, then the encoder."""
        return {"generator": Player((self.decoder,), config.lr), "encoder": Player((self.encoder,), config.lr)}

    def start(self, pictures: Tensor, prior_sample: Tensor) -> None:
        """Scale both networks, the generator to samples of the prior."""
        scale_to_data(self.encoder, pictures)
        scale_to_data(self.decoder, prior_sample, drawn_like=pictures)

    def step(self, phase: str, pictures: Pictures, draw: Draw, players: Players) -> Losses:
        """Teach the generator, or the encoder."""
        if phase == "encoder":
            with frozen(self.decoder):
                with players.autocast():
                    drawn = self.decoder(self.encoder(pictures.shown))
                reconstruction = reconstruction_loss(pictures.clean, drawn.float())
                players.descend("encoder", reconstruction)
            return {"reconstruction": reconstruction.item()}
        with frozen(self.encoder):
            with players.autocast():
                drawn = self.decoder(draw.prior(len(pictures.clean)))
            mmd = root_mmd(
                players.processes.gather(drawn.float().flatten(1)),
                players.processes.gather(pictures.clean.flatten(1)),
                self.scales,
            )
            players.descend("generator", mmd)
        return {"mmd": mmd.item()}


class MomentMatchingAutoencoder(GenerativeModel):
    """GMMN+AE: encoder, decoder, and a network from the prior to codes."""

    holds_prior = False
    recent: Tensor
    recent_count: Tensor

    def __init__(self, encoder: Encoder, decoder: Decoder, to_code: nn.Module) -> None:
        """Put the networks together.

        Args:
            encoder: Pictures to codes, deterministic.
            decoder: Codes to pictures.
            to_code: (B, D) samples of the prior to (B, D) codes.
        """
        super().__init__(encoder, decoder)
        self.to_code = to_code
        length = decoder.latent_chw[0] * decoder.latent_chw[1] * decoder.latent_chw[2]
        self.register_buffer("recent", torch.zeros(RECENT_CODES, length))
        self.register_buffer("recent_count", torch.zeros((), dtype=torch.int64))

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Who learns: the autoencoder, and the generator of codes beside it."""
        return {
            "reconstruction": Player((self.encoder, self.decoder), config.lr),
            "generator": Player((self.to_code,), config.lr),
        }

    def start(self, pictures: Tensor, prior_sample: Tensor) -> None:
        """Scale all networks."""
        super().start(pictures, prior_sample)
        scale_to_data(self.to_code, prior_sample)

    def generate(self, prior_sample: Tensor) -> Tensor:
        """Draw pictures from samples of the prior, through codes."""
        drawing: Tensor = self.decoder(self.to_code(prior_sample))
        return drawing

    def step(self, phase: str, pictures: Pictures, draw: Draw, players: Players) -> Losses:
        """Teach the autoencoder, then the generator of codes."""
        with frozen(self.to_code):
            with players.autocast():
                code = self.encoder(pictures.shown)
                drawn = self.decoder(code)
            reconstruction = reconstruction_loss(pictures.clean, drawn.float())
            players.descend("reconstruction", reconstruction)
        known = self._remember(players.processes.gather(code.detach().float()))
        with frozen(self.encoder, self.decoder):
            # Every process does all of it: a small network, and the same codes whatever the number of processes.
            mmd = root_mmd(self.to_code(draw.prior_for_all(_CODES_DRAWN)), known)
            players.descend("generator", mmd)
        return {"reconstruction": reconstruction.item(), "mmd": mmd.item()}

    def _remember(self, codes: Tensor) -> Tensor:
        """Put codes in front of the recent ones; returns all that are known."""
        self.recent.copy_(torch.cat([codes, self.recent])[:RECENT_CODES])
        self.recent_count.copy_((self.recent_count + len(codes)).clamp_max(RECENT_CODES))
        return self.recent[: int(self.recent_count)]


def root_mmd(drawn: Tensor, real: Tensor, scales: tuple[float, ...] = GAUSSIAN_SCALES) -> Tensor:
    """Return sqrt(MMD^2) under Gaussian kernels around the median distance of the real ones.

    Args:
        drawn: (N, D).
        real: (M, D), M at least 2.
        scales: Of the squared bandwidth.
    """
    kernel = gaussian_kernel(median_square(real.detach()), scales)
    return (mmd_squared_biased(drawn, real, kernel) + 1e-8).sqrt()

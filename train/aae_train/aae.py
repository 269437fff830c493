"""The adversarial autoencoder (Makhzani et al., arXiv 1511.05644): one training step, in two phases.

    reconstruction:   encoder and decoder learn to draw the picture from its code;
    regularization:   the discriminator learns to tell codes from samples of the prior,
                      then the encoder, as generator, learns to be taken for the prior.

Whoever is not being taught is frozen: no gradient is computed for it and no optimizer touches it. The posterior may be
deterministic, Gaussian or universal: only samples of codes are needed, and so any prior will do that can be sampled.
"""

from __future__ import annotations

from torch import Tensor, nn

from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.family import GenerativeModel, Losses, Pictures
from aae_train.losses import (
    AdversarialLoss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    reconstruction_loss,
    told_apart,
)
from aae_train.networks import Decoder, Encoder
from aae_train.players import Player, Players, frozen

PENALTY = 0.1
"""Weight of R1 and R2 on codes, whose numbers have variance 1."""


class AdversarialAutoencoder(GenerativeModel):
    """Encoder, decoder, and a discriminator of codes."""

    def __init__(
        self, encoder: Encoder, decoder: Decoder, discriminator: nn.Module, loss: AdversarialLoss = "relativistic"
    ) -> None:
        """Put the networks together.

        Args:
            encoder: Pictures to codes.
            decoder: Codes to pictures.
            discriminator: (B, D) codes to logits (B, places).
            loss: Of the regularization phase.
        """
        super().__init__(encoder, decoder)
        self.discriminator = discriminator
        self.loss = loss

    @property
    def latent_discriminator(self) -> nn.Module:
        """(B, D) codes to logits (B, places)."""
        return self.discriminator

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Who learns: the encoder twice, in either phase."""
        return {
            "reconstruction": Player((self.encoder, self.decoder), config.lr),
            "discriminator": Player((self.discriminator,), config.adversarial_lr, beta1=0.5),
            "generator": Player((self.encoder,), config.adversarial_lr, beta1=0.5),
        }

    def step(self, phase: str, pictures: Pictures, draw: Draw, players: Players) -> Losses:
        """Do both phases once."""
        noise = draw.normal(len(pictures.shown), self.encoder.noise_dim)
        with frozen(self.discriminator):
            with players.autocast():
                drawn = self.decoder(self.encoder(pictures.shown, noise))
            reconstruction = reconstruction_loss(pictures.clean, drawn.float())
            players.descend("reconstruction", reconstruction)

        with players.autocast():
            code = self.encoder(pictures.shown, noise).float()
        prior_sample = draw.prior(len(code))
        with frozen(self.encoder, self.decoder):
            with players.autocast():
                discriminator = self._discriminator_loss(prior_sample, code.detach())
            players.descend("discriminator", discriminator)

        with frozen(self.discriminator, self.decoder):
            with players.autocast():
                prior_logits, code_logits = self.discriminator(prior_sample), self.discriminator(code)
            prior_logits, code_logits = prior_logits.float(), code_logits.float()
            generator = generator_loss(self.loss, prior_logits, code_logits)
            players.descend("generator", generator)
        return {
            "reconstruction": reconstruction.item(),
            "discriminator": discriminator.item(),
            "generator": generator.item(),
            "discriminator_accuracy": told_apart(prior_logits, code_logits).item(),
        }

    def _discriminator_loss(self, prior_sample: Tensor, code: Tensor) -> Tensor:
        if self.loss == "non-saturating":
            logits = self.discriminator(prior_sample).float(), self.discriminator(code).float()
            return discriminator_loss(self.loss, *logits)
        prior_sample, code = prior_sample.clone().requires_grad_(), code.clone().requires_grad_()
        prior_logits, code_logits = self.discriminator(prior_sample).float(), self.discriminator(code).float()
        # Per place, as the discriminator judges: a place's logit depends on its own numbers alone.
        penalty = gradient_penalty(prior_logits, prior_sample) + gradient_penalty(code_logits, code)
        loss = discriminator_loss(self.loss, prior_logits, code_logits)
        total: Tensor = loss + 0.5 * PENALTY * penalty / code_logits.shape[1]
        return total

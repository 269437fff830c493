"""The generative adversarial network (Goodfellow et al., arXiv 1406.2661), and an encoder for it.

    adversary:   the discriminator learns to tell pictures from drawings of prior samples, the generator frozen;
                 the generator learns to pass the frozen discriminator.
    encoder:     with both frozen, an encoder learns the codes from which the generator redraws a picture, in pixels and
                 in the discriminator's features (f-AnoGAN's izi_f: Schlegl et al., Medical Image Analysis 54, 2019).

The stable default is the relativistic loss with R1 and R2 (arXiv 2501.05441); the discriminator sees everything, real
or drawn, shifted and with other light (arXiv 2006.10738): few pictures would be learned by heart otherwise.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.family import GenerativeModel, Losses, Phase, Pictures
from aae_train.losses import (
    AdversarialLoss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    reconstruction_loss,
    told_apart,
)
from aae_train.networks import Decoder, Encoder, PictureDiscriminator
from aae_train.players import Player, Players, frozen
from aae_train.start import scale_to_data

PENALTY_AT_64 = 1.0
"""Weight of R1 and R2 for pictures of 64x64; see `penalty_for`."""

PENALTY_EVERY = 4
"""A penalty needs the gradient of a gradient, in fp32, and costs more than all else in a step (lazy regularization:
arXiv 1912.04958)."""

FEATURE_WEIGHT = 0.1
"""Of the discriminator's features against pixels, for the encoder (kappa in f-AnoGAN)."""

_QUIET = 0.03
"""Scale of the discriminator's first logits: at 1, the penalty of 256x256 pictures starts in the thousands, and Adam
remembers it for hundreds of steps."""

_SHIFT, _BRIGHTNESS, _CONTRAST = 1 / 16, 0.2, 0.2
"""How far the discriminator's view is changed: of the side, of half the range, of the contrast."""


class GenerativeAdversarialNetwork(GenerativeModel):
    """Generator (the decoder), discriminator of pictures, and the encoder that is taught after them."""

    phases = (Phase("adversary", 0.6, selects=False), Phase("encoder", 0.4))
    holds_prior = False
    discriminator: PictureDiscriminator

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        discriminator: PictureDiscriminator,
        loss: AdversarialLoss = "relativistic",
        penalty: float = 1.0,
        penalty_every: int = 1,
        augment: bool = True,
    ) -> None:
        """Put the networks together.

        Args:
            encoder: Pictures to codes, deterministic.
            decoder: The generator: samples of the prior to pictures.
            discriminator: Pictures to logits.
            loss: Of both players.
            penalty: Weight of R1 and R2, for the relativistic loss.
            penalty_every: Steps from one penalty to the next, which then counts as many times.
            augment: Change what the discriminator sees; off for data that are no pictures.
        """
        super().__init__(encoder, decoder)
        self.discriminator = discriminator
        self.loss, self.augment = loss, augment
        self.penalty, self.penalty_every = penalty, penalty_every

    @property
    def picture_discriminator(self) -> PictureDiscriminator:
        """Pictures to logits, with `features`."""
        return self.discriminator

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Who learns: two against each other, then the encoder."""
        return {
            "discriminator": Player((self.discriminator,), config.adversarial_lr, beta1=0.0),
            "generator": Player((self.decoder,), config.adversarial_lr, beta1=0.0),
            "encoder": Player((self.encoder,), config.lr),
        }

    def start(self, pictures: Tensor, prior_sample: Tensor) -> None:
        """Scale all three networks; the generator to what it is fed, samples of the prior."""
        scale_to_data(self.encoder, pictures)
        scale_to_data(self.decoder, prior_sample, drawn_like=pictures)
        scale_to_data(self.discriminator, pictures)
        with torch.no_grad():
            self.discriminator.head.weight.mul_(_QUIET)  # type: ignore[operator]  # a dense layer

    def step(self, phase: str, pictures: Pictures, draw: Draw, players: Players) -> Losses:
        """Teach the two players, or the encoder."""
        if phase == "encoder":
            return self._teach_encoder(pictures, players)
        return self._play(pictures.clean, draw, players)

    def _play(self, real: Tensor, draw: Draw, players: Players) -> Losses:
        count = len(real)
        # Real and drawn pictures are changed each in its own way.
        real_changes, drawn_changes = draw.uniform(count, 4), draw.uniform(count, 4)
        with frozen(self.decoder), torch.no_grad(), players.autocast():
            drawn = self.decoder(draw.prior(count)).float()
        with frozen(self.decoder, self.encoder):
            views = self._change(real, real_changes), self._change(drawn, drawn_changes)
            penalised = self.loss == "relativistic" and draw.step % self.penalty_every == 0
            discriminator = self._penalised_loss(*views) if penalised else self._plain_loss(*views, players)
            players.descend("discriminator", discriminator)

        real_changes, drawn_changes = draw.uniform(count, 4), draw.uniform(count, 4)
        with frozen(self.discriminator, self.encoder):
            with players.autocast():
                drawn = self.decoder(draw.prior(count))
                real_logits = self.discriminator(self._change(real, real_changes)).float()
                drawn_logits = self.discriminator(self._change(drawn, drawn_changes)).float()
            generator = generator_loss(self.loss, real_logits, drawn_logits)
            players.descend("generator", generator)
        return {
            "discriminator": discriminator.item(),
            "generator": generator.item(),
            "discriminator_accuracy": told_apart(real_logits, drawn_logits).item(),
        }

    def _plain_loss(self, real: Tensor, drawn: Tensor, players: Players) -> Tensor:
        with players.autocast():
            real_logits, drawn_logits = self.discriminator(real), self.discriminator(drawn)
        return discriminator_loss(self.loss, real_logits.float(), drawn_logits.float())

    def _penalised_loss(self, real: Tensor, drawn: Tensor) -> Tensor:
        real, drawn = real.detach().requires_grad_(), drawn.detach().requires_grad_()
        # fp32: the gradient's own gradient is taken, which bf16 is too coarse for.
        real_logits, drawn_logits = self.discriminator(real), self.discriminator(drawn)
        penalty = gradient_penalty(real_logits, real) + gradient_penalty(drawn_logits, drawn)
        weight = 0.5 * self.penalty * self.penalty_every
        return discriminator_loss(self.loss, real_logits, drawn_logits) + weight * penalty

    def _teach_encoder(self, pictures: Pictures, players: Players) -> Losses:
        with frozen(self.decoder, self.discriminator):
            with players.autocast():
                drawn = self.decoder(self.encoder(pictures.shown))
                features = self.discriminator.features(drawn).float()
                with torch.no_grad():
                    wanted = self.discriminator.features(pictures.clean).float()
            reconstruction = reconstruction_loss(pictures.clean, drawn.float())
            # Over all processes: a quotient of means is not the mean of quotients.
            size = players.processes.gather(wanted.square().mean()[None]).mean().clamp_min(1e-8)
            feature = F.mse_loss(features, wanted) / size
            players.descend("encoder", reconstruction + FEATURE_WEIGHT * feature)
        return {"reconstruction": reconstruction.item(), "feature": feature.item()}

    def _change(self, pictures: Tensor, uniform: Tensor) -> Tensor:
        return change_view(pictures, uniform) if self.augment else pictures


def penalty_for(input_hw: tuple[int, int]) -> float:
    """Return the weight of R1 and R2 that leaves both players a chance, which grows with the cube of the side.

    In large pictures two distributions lie further apart, and each pixel has to change less to tell them (arXiv
    2501.05441 takes 2 at 64x64 and 150 at 256x256). Tried here: on parts at 64x96, 0.05 lets the discriminator win
    within 200 steps, with 1 and 5 it is a game; on textures at 256x256 it wins within 100 steps with 10, and leads, but
    does not win, for 400 with 150.
    """
    return PENALTY_AT_64 * float((input_hw[0] * input_hw[1] / 64**2) ** 1.5)


def change_view(pictures: Tensor, uniform: Tensor) -> Tensor:
    """Shift each picture and change its light, so that a gradient passes through.

    Args:
        pictures: (B, 3, H, W).
        uniform: (B, 4) in 0 to 1: shift down, shift across, brightness, contrast.
    """
    height, width = pictures.shape[2:]
    most = max(1, round(height * _SHIFT)), max(1, round(width * _SHIFT))
    padded = F.pad(pictures, (most[1], most[1], most[0], most[0]), mode="replicate")
    tops = (uniform[:, 0] * (2 * most[0] + 1)).long().clamp_max(2 * most[0]).tolist()
    lefts = (uniform[:, 1] * (2 * most[1] + 1)).long().clamp_max(2 * most[1]).tolist()
    shifted = torch.stack(
        [
            picture[:, top : top + height, left : left + width]
            for picture, top, left in zip(padded, tops, lefts, strict=True)
        ]
    )
    brightness = ((uniform[:, 2] * 2 - 1) * _BRIGHTNESS).view(-1, 1, 1, 1)
    contrast = 1 + ((uniform[:, 3] * 2 - 1) * _CONTRAST).view(-1, 1, 1, 1)
    mean = shifted.mean(dim=(1, 2, 3), keepdim=True)
    return (shifted - mean) * contrast + mean + brightness

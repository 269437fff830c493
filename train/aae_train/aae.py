"""The adversarial autoencoder (Makhzani et al., arXiv 1511.05644): one training step, in two phases.

    reconstruction:   encoder and decoder learn to draw the picture from its code;
    regularization:   the discriminator learns to tell codes from samples of the prior,
                      then the encoder, as generator, learns to be taken for the prior.

Whoever is not being taught is frozen: no gradient is computed for it and no optimizer touches it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aae_train.config import TrainConfig
from aae_train.losses import discriminator_loss, generator_loss, reconstruction_loss
from aae_train.networks import Decoder, Encoder, LatentDiscriminator


class AdversarialAutoencoder(nn.Module):
    """Encoder, decoder and latent discriminator, under the names that they have in `model.safetensors`."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.latent_channels)
        self.decoder = Decoder(config.latent_channels, config.input_hw)
        self.discriminator = LatentDiscriminator(config.latent_dim)

    def forward(self, picture: Tensor) -> Tensor:
        """Redraw pictures (B, 3, H, W) in [-1, 1]."""
        reconstruction: Tensor = self.decoder(self.encoder(picture))
        return reconstruction


@dataclass(frozen=True)
class StepLosses:
    """What one step measured."""

    reconstruction: float
    """`reconstruction_loss`, in units of [-1, 1]."""
    discriminator: float
    """log 4 = 1.386 where it cannot tell; 0 where it has won."""
    generator: float
    """log 2 = 0.693 where the discriminator cannot tell."""
    discriminator_accuracy: float
    """Share of codes and prior samples told apart, 0 to 1; 0.5 where it cannot tell."""


class Optimizers:
    """One optimizer per player."""

    def __init__(self, model: AdversarialAutoencoder, config: TrainConfig) -> None:
        autoencoder = [*model.encoder.parameters(), *model.decoder.parameters()]
        self.reconstruction = torch.optim.Adam(autoencoder, lr=config.lr, betas=(0.9, 0.99))
        # beta1 = 0.5: momentum makes two players that answer each other circle (DCGAN, arXiv 1511.06434).
        adversarial = {"lr": config.adversarial_lr, "betas": (0.5, 0.99)}
        self.discriminator = torch.optim.Adam(model.discriminator.parameters(), **adversarial)  # type: ignore[arg-type]
        self.generator = torch.optim.Adam(model.encoder.parameters(), **adversarial)  # type: ignore[arg-type]
        self._peaks = [(self.reconstruction, config.lr)]
        self._peaks += [(o, config.adversarial_lr) for o in (self.discriminator, self.generator)]

    def named(self) -> dict[str, torch.optim.Optimizer]:
        """All of them, by player."""
        return {
            "reconstruction": self.reconstruction,
            "discriminator": self.discriminator,
            "generator": self.generator,
        }

    def set_rate(self, share_of_peak: float) -> None:
        """Set every learning rate to a share of its peak, 0 to 1."""
        for optimizer, peak in self._peaks:
            for group in optimizer.param_groups:
                group["lr"] = peak * share_of_peak


def train_step(
    model: AdversarialAutoencoder,
    optimizers: Optimizers,
    noisy: Tensor,
    clean: Tensor,
    prior_sample: Tensor,
    autocast: torch.autocast,
) -> StepLosses:
    """Do both phases once.

    Args:
        model: Trained in place.
        optimizers: Of this model.
        noisy: (B, 3, H, W) in [-1, 1]: what the encoder sees, some with synthetic defects.
        clean: (B, 3, H, W) in [-1, 1]: what the decoder has to draw.
        prior_sample: (B, D) from the prior.
        autocast: Entered around the networks; losses are computed in fp32.
    """
    with frozen(model.discriminator):
        with autocast:
            drawn = model(noisy)
        reconstruction = reconstruction_loss(clean, drawn.float())
        _descend(optimizers.reconstruction, reconstruction)

    with autocast:
        code = model.encoder(noisy).float()
    with frozen(model.encoder, model.decoder):
        prior_logits = model.discriminator(prior_sample)
        code_logits = model.discriminator(code.detach())
        discriminator = discriminator_loss(prior_logits, code_logits)
        _descend(optimizers.discriminator, discriminator)

    with frozen(model.discriminator, model.decoder):
        generator = generator_loss(model.discriminator(code))
        _descend(optimizers.generator, generator)

    told_apart = torch.cat([prior_logits > 0, code_logits < 0]).float().mean()
    return StepLosses(reconstruction.item(), discriminator.item(), generator.item(), told_apart.item())


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@contextmanager
def frozen(*players: nn.Module) -> Iterator[None]:
    """Keep players still: inside, no gradient is computed for their parameters."""
    for player in players:
        player.requires_grad_(False)
    try:
        yield
    finally:
        for player in players:
            player.requires_grad_(True)

"""Posteriors q(z|x): how an encoder's features become a code (Makhzani et al., arXiv 1511.05644, section 2).

    deterministic   z = m(x)
    gaussian        z = m(x) + s(x) * noise         mean and variance per number, reparametrised (arXiv 1312.6114)
    universal       z = f(x, noise)                 noise goes through the network: any distribution

Noise is standard normal, flat (B, noise_dim); where none is given it is zero, so that the same picture always gets the
same code.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

EncoderKind = Literal["deterministic", "gaussian", "universal"]
ENCODERS: tuple[EncoderKind, ...] = get_args(EncoderKind)

UNIVERSAL_NOISE = 8
"""Numbers of noise per place of a universal posterior."""

_START_LOG_VARIANCE = -4.0
"""A narrow posterior, standard deviation 0.14, at the start: noise as large as the code would drown it before the
decoder has learned to listen."""


class Posterior(nn.Module):
    """Features (B, C, h, w) and noise to flat codes (B, L * h * w)."""

    def __init__(self, latent_chw: tuple[int, int, int], noise_channels: int) -> None:
        super().__init__()
        self.latent_chw = latent_chw
        self.noise_channels = noise_channels

    @property
    def noise_dim(self) -> int:
        """Numbers of noise that one picture takes."""
        return self.noise_channels * self.latent_chw[1] * self.latent_chw[2]

    def _noise_map(self, features: Tensor, noise: Tensor | None) -> Tensor:
        """Lay noise (B, noise_dim) out as (B, noise_channels, h, w)."""
        if noise is None:
            return features.new_zeros(features.shape[0], self.noise_channels, *self.latent_chw[1:])
        return noise.view(-1, self.noise_channels, *self.latent_chw[1:])


class Deterministic(Posterior):
    """One code per picture."""

    def __init__(self, channels: int, latent_chw: tuple[int, int, int]) -> None:
        super().__init__(latent_chw, 0)
        self.mean = _head(channels, latent_chw[0])

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return codes; there is no noise to use."""
        code: Tensor = self.mean(features)
        return code.flatten(1)


class Gaussian(Posterior):
    """A mean and a variance per number of the code."""

    def __init__(self, channels: int, latent_chw: tuple[int, int, int]) -> None:
        super().__init__(latent_chw, latent_chw[0])
        self.mean = _head(channels, latent_chw[0])
        self.log_variance = nn.Conv2d(channels, latent_chw[0], 1)
        nn.init.zeros_(self.log_variance.weight)
        assert self.log_variance.bias is not None
        nn.init.constant_(self.log_variance.bias, _START_LOG_VARIANCE)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return codes: the means where there is no noise."""
        if noise is None:
            code: Tensor = self.mean(features)
            return code.flatten(1)
        mean, log_variance = self.moments(features)
        return mean + (0.5 * log_variance).exp() * noise

    def moments(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance, each (B, D)."""
        mean: Tensor = self.mean(features)
        # Held to a range whose exponential is finite in every number format.
        log_variance: Tensor = self.log_variance(features).clamp(-14.0, 6.0)
        return mean.flatten(1), log_variance.flatten(1)


class Universal(Posterior):
    """Noise beside the features, through layers of its own."""

    def __init__(self, channels: int, latent_chw: tuple[int, int, int], noise_channels: int = UNIVERSAL_NOISE) -> None:
        super().__init__(latent_chw, noise_channels)
        self.mix = nn.Sequential(
            nn.Conv2d(channels + noise_channels, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(),
        )
        self.code = _head(channels, latent_chw[0])

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return codes; without noise, the code in the middle."""
        mixed = self.mix(torch.cat([features, self._noise_map(features, noise).to(features.dtype)], dim=1))
        code: Tensor = self.code(mixed)
        return code.flatten(1)


def make_posterior(kind: EncoderKind, channels: int, latent_chw: tuple[int, int, int]) -> Posterior:
    """Make the posterior of a kind for features of so many channels."""
    if kind == "gaussian":
        return Gaussian(channels, latent_chw)
    if kind == "universal":
        return Universal(channels, latent_chw)
    return Deterministic(channels, latent_chw)


def _head(channels: int, numbers: int) -> nn.Conv2d:
    return nn.Conv2d(channels, numbers, 1)

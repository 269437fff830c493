"""The prior: the distribution that the latent code is held to."""

from __future__ import annotations

import torch
from torch import Tensor

NAME = "normal"


def sample_prior(count: int, latent_dim: int, generator: torch.Generator) -> Tensor:
    """Sample the standard normal prior.

    Args:
        count: Number of samples.
        latent_dim: Length of a code.
        generator: On the CPU, so that every device gets the same numbers.

    Returns:
        (count, latent_dim) float32 on the CPU.
    """
    return torch.randn(count, latent_dim, generator=generator)

"""The losses of an adversarial autoencoder, each with its formula."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(picture: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean |x - x'| + 4 mean (x - x')^2.

    The absolute error keeps fine texture sharp. The squared one outweighs it where a difference exceeds an eighth of
    the range of values: so small things that are drawn quite wrongly, such as a hole or a colour, are learned first.

    Args:
        picture: (B, 3, H, W) in [-1, 1].
        reconstruction: The same shape.
    """
    return F.l1_loss(reconstruction, picture) + 4.0 * F.mse_loss(reconstruction, picture)


def discriminator_loss(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """-log D(z) - log(1 - D(q(x))), averaged (Goodfellow et al., arXiv 1406.2661, on codes: arXiv 1511.05644).

    Args:
        prior_logits: (B,) logits for samples of the prior.
        code_logits: (B,) logits for codes of pictures.
    """
    return F.softplus(-prior_logits).mean() + F.softplus(code_logits).mean()


def generator_loss(code_logits: Tensor) -> Tensor:
    """-log D(q(x)), averaged: the non-saturating form, which still has a gradient when the discriminator wins."""
    return F.softplus(-code_logits).mean()

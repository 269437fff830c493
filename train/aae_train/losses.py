"""The losses that families share, each with its formula."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

AdversarialLoss = Literal["relativistic", "non-saturating"]
ADVERSARIAL_LOSSES: tuple[AdversarialLoss, ...] = get_args(AdversarialLoss)


def reconstruction_loss(picture: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean |x - x'| + 4 mean (x - x')^2.

    The absolute error keeps fine texture sharp. The squared one outweighs it where a difference exceeds an eighth of
    the range of values: so small things that are drawn quite wrongly, such as a hole or a colour, are learned first.

    Args:
        picture: (B, 3, H, W) in [-1, 1].
        reconstruction: The same shape.
    """
    return F.l1_loss(reconstruction, picture) + 4.0 * F.mse_loss(reconstruction, picture)


def discriminator_loss(kind: AdversarialLoss, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises.

        non-saturating   mean -log D(real) + mean -log(1 - D(fake))      (Goodfellow et al., arXiv 1406.2661)
        relativistic     mean -log sigmoid(d(real) - d(fake))            (arXiv 1807.00734, as in arXiv 2501.05441)

    Args:
        kind: Which.
        real: Logits d of what it should take for real, any shape.
        fake: Logits of what it should not, the same shape.
    """
    if kind == "relativistic":
        return F.softplus(fake - real).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(kind: AdversarialLoss, real: Tensor, fake: Tensor) -> Tensor:
    """What the generator minimises.

        non-saturating   mean -log D(fake): the form that still has a gradient when the discriminator wins
        relativistic     mean -log sigmoid(d(fake) - d(real))

    Args:
        kind: Which.
        real: Logits of real ones; only the relativistic loss looks at them.
        fake: Logits of the generator's, the same shape.
    """
    if kind == "relativistic":
        return F.softplus(real - fake).mean()
    return F.softplus(-fake).mean()


def gradient_penalty(logits: Tensor, inputs: Tensor) -> Tensor:
    """Mean |d logits / d inputs|^2 over the batch: R1 on real inputs, R2 on generated ones (arXiv 1801.04406).

    With both, the two players of the relativistic loss converge near the solution (arXiv 2501.05441).

    Args:
        logits: (B, ...) that depend on `inputs`.
        inputs: (B, ...) that require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    return gradient.flatten(1).square().sum(dim=1).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - log s^2 - 1) / 2, summed over the code (arXiv 1312.6114, appendix B).

    Args:
        mean: (B, D).
        log_variance: (B, D).

    Returns:
        (B,) nat.
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(dim=1)


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """Share of pairs in which the discriminator ranks the real one higher, 0 to 1; 0.5 where it cannot tell."""
    return (real > fake).float().mean() + 0.5 * (real == fake).float().mean()

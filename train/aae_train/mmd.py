"""Maximum mean discrepancy: how far apart two samples are, seen through a kernel (Gretton et al., JMLR 13, 2012).

    MMD^2(X, Y) = E k(x, x') + E k(y, y') - 2 E k(x, y)

Several bandwidths are added up, because one alone is blind to what is much finer or much coarser than itself.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Kernel = Callable[[Tensor], Tensor]
"""Squared distances, any shape, to similarities."""

GAUSSIAN_SCALES = (0.0625, 0.25, 1.0, 4.0)
IMQ_SCALES = (0.02, 0.1, 0.5, 1.0, 5.0)
"""Of the squared bandwidth."""


def gaussian_kernel(typical_square: Tensor | float, scales: tuple[float, ...] = GAUSSIAN_SCALES) -> Kernel:
    """Return sum of exp(-d^2 / (2 s typical_square)) over the scales s (GMMN, arXiv 1502.02761)."""
    return lambda squares: torch.stack([(-squares / (2 * s * typical_square)).exp() for s in scales]).sum(0)


def imq_kernel(typical_square: float) -> Kernel:
    """Return sum of c / (c + d^2) with c = s typical_square: inverse multiquadratics, heavy-tailed (arXiv 1711.01558).

    Far codes still feel a pull, which a Gaussian would not give them.
    """
    return lambda squares: torch.stack([s * typical_square / (s * typical_square + squares) for s in IMQ_SCALES]).sum(0)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return |x_i - y_j|^2, (N, M), of (N, D) and (M, D)."""
    squares = x.square().sum(1)[:, None] + y.square().sum(1)[None, :] - 2.0 * x @ y.T
    return squares.clamp_min(0.0)  # rounding may fall below


def median_square(x: Tensor) -> Tensor:
    """Return the median squared distance between different rows of (N, D), N at least 2: a bandwidth that fits."""
    squares = squared_distances(x, x)
    apart = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return squares[apart].median().clamp_min(1e-12)


def mmd_squared(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """Estimate MMD^2 without bias: an element is not compared with itself, so equal distributions give 0 on average.

    That takes independent elements: several places of one picture, which are alike, make it somewhat larger.

    Args:
        x: (N, D), N at least 2.
        y: (M, D), M at least 2.
        kernel: From above.
    """
    return _within(x, kernel) + _within(y, kernel) - 2.0 * kernel(squared_distances(x, y)).mean()


def mmd_squared_biased(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """Estimate MMD^2 with every pair, also of an element with itself: never negative, so that a root can be taken."""
    inside = kernel(squared_distances(x, x)).mean() + kernel(squared_distances(y, y)).mean()
    return (inside - 2.0 * kernel(squared_distances(x, y)).mean()).clamp_min(0.0)


def _within(x: Tensor, kernel: Kernel) -> Tensor:
    count = len(x)
    similarities = kernel(squared_distances(x, x))
    return (similarities.sum() - similarities.diagonal().sum()) / (count * (count - 1))

"""Parzen-window log-likelihood: how likely test points are under a blur of a model's samples.

    log p(x) = log mean_i N(x; s_i, sigma^2 I)        sigma chosen on validation points

The estimate of the generative papers before 2016 (Breuleux et al., Neural Computation 23(8), 2011; arXiv 1406.2661,
1502.02761, 1511.05644). It falls short of the true likelihood, by much in many dimensions (arXiv 1511.01844): held
against each other are only figures with the same data, the same number of samples and the same test points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGMAS = tuple(float(sigma) for sigma in np.geomspace(0.03, 1.0, 24))
"""Candidates, for numbers in 0 to 1."""

_PAIRS = 4_000_000
"""Distances held in memory at a time."""


@dataclass(frozen=True)
class ParzenScore:
    """What came out, in nat."""

    mean: float
    """Mean log-likelihood of the test points."""
    standard_error: float
    """Of that mean, over test points; the samples are taken as given."""
    sigma: float
    """The width that suits the validation points best."""


def log_density(
    points: NDArray[np.floating], samples: NDArray[np.floating], sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """Return log p of each point for each sigma, (S, N) nat.

    Args:
        points: (N, D).
        samples: (M, D), the centres of the windows.
        sigmas: S widths of a window.
    """
    dim = samples.shape[1]
    centre = samples.mean(axis=0, dtype=np.float64)  # distances stay, and lose less to rounding
    points, samples = points - centre, samples - centre
    sizes = np.square(samples).sum(axis=1)
    rows = max(1, _PAIRS // len(samples))
    found = np.empty((len(sigmas), len(points)))
    for start in range(0, len(points), rows):
        part = points[start : start + rows]
        squares = np.maximum(np.square(part).sum(axis=1)[:, None] + sizes[None, :] - 2 * part @ samples.T, 0.0)
        nearest = squares.min(axis=1)
        squares -= nearest[:, None]  # the nearest sample's window is the largest number of the sum
        for row, sigma in zip(found, sigmas, strict=True):
            total = np.log(np.exp(squares / (-2 * sigma**2)).mean(axis=1))
            row[start : start + rows] = total - nearest / (2 * sigma**2) - 0.5 * dim * np.log(2 * np.pi * sigma**2)
    return found


def parzen_score(
    samples: NDArray[np.floating], validation: NDArray[np.floating], test: NDArray[np.floating]
) -> ParzenScore:
    """Choose sigma on the validation points and measure the test points.

    Args:
        samples: (M, D) of the model.
        validation: (N, D).
        test: (K, D), K at least 2.
    """
    sigma = SIGMAS[int(log_density(validation, samples, SIGMAS).mean(axis=1).argmax())]
    (found,) = log_density(test, samples, [sigma])
    return ParzenScore(float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))), sigma)

"""What good pictures look like at every place: a Gaussian of the descriptors there (after PaDiM, arXiv 2011.08785).

Two changes to the method. Descriptors are taken relative to the picture's own level, so that one picture's light or
texture as a whole counts for nothing and what stands out from its own picture counts. And neighbouring places share a
covariance, while each keeps a mean of its own: a covariance of every place would be most of the model file.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIOR_COUNT = 4
"""A place's own mean counts as much as that of all places once this many pictures stand behind it."""

SHARED_STEP = 2
"""Places a side that share a covariance."""

MOST_COVARIANCES = 24
"""A side; larger pictures share over more places."""

_WHITENING_FLOOR = 0.01
"""Added to each variance before whitening, as a share of their mean: what never varied must not be blown up."""

_SHRINKAGE = 0.05
"""Added to each variance within a place, in units of the variance over all places: few pictures make thin Gaussians."""

_BOUND = 2.0
"""Standard deviations of a channel, see `_offset`."""


class PlaceGaussians(nn.Module):
    """Descriptors to deviations and distances; fitted in closed form, nothing in it learns by gradient."""

    whitening: Tensor
    mean: Tensor
    scale: Tensor
    factors: Tensor

    def __init__(self, channels: int, grid_hw: tuple[int, int] | None) -> None:
        """Make room for Gaussians.

        Args:
            channels: Of the descriptors.
            grid_hw: Places down and across, even; None for one Gaussian that serves all places of grids of any size.
        """
        super().__init__()
        height, width = grid_hw or (1, 1)
        self.step = SHARED_STEP if grid_hw else 1
        while max(height, width) > MOST_COVARIANCES * self.step and not (
            height % (2 * self.step) or width % (2 * self.step)
        ):
            self.step *= 2
        blocks = (height // self.step) * (width // self.step)
        self._everywhere = grid_hw is None
        self.register_buffer("whitening", torch.eye(channels))
        self.register_buffer("mean", torch.zeros(1, channels, height, width))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))
        # Half precision: they are half of what an exported detector weighs, and three digits are plenty.
        self.register_buffer("factors", torch.eye(channels, dtype=torch.float16).repeat(blocks, 1, 1))

    @torch.no_grad()
    def fit(self, descriptors: Tensor, count: int) -> None:
        """Learn from good pictures.

        Args:
            descriptors: (N, C, h, w).
            count: Different pictures among them; the others are changed copies.
        """
        values = descriptors.double()
        relative = values - values.mean(dim=(2, 3), keepdim=True)
        overall = relative.mean(dim=(0, 2, 3), keepdim=True)
        mean = self.means(values, count)
        self.mean.copy_(mean)
        self.scale.copy_((relative - mean).std(dim=(0, 2, 3), keepdim=True))
        away = values - mean - self._offset(values, mean)
        # Over all places, means included: a direction in which places differ anyway needs a larger step to be odd.
        rows = (away + mean - overall).transpose(0, 1).flatten(1)
        variances, directions = torch.linalg.eigh(rows.cov())
        scaled = directions * (variances.clamp_min(0) + _WHITENING_FLOOR * variances.mean() + 1e-12).rsqrt()
        # Turned back: each deviation stays the one of its descriptor, as near as may be, so that what a head has
        # learned of one product holds for another.
        whitening = scaled @ directions.T
        blocks = self._blocks(torch.einsum("nchw,ck->nhwk", away, whitening))  # (blocks, samples, K)
        blocks = blocks - blocks.mean(dim=1, keepdim=True)
        covariance = blocks.mT @ blocks / max(1, blocks.shape[1] - 1)
        precision = torch.linalg.inv(covariance + _SHRINKAGE * torch.eye(covariance.shape[-1]).to(covariance))
        self.whitening.copy_(whitening.T)
        self.factors.copy_(torch.linalg.cholesky(precision))

    def means(self, descriptors: Tensor, count: int) -> Tensor:
        """Estimate what is usual at each place, (1, C, h, w) or (1, C, 1, 1), from what `fit` takes."""
        relative = descriptors - descriptors.mean(dim=(2, 3), keepdim=True)
        overall = relative.mean(dim=(0, 2, 3), keepdim=True)
        if self._everywhere:
            return overall
        own_weight = count / (count + PRIOR_COUNT)
        return own_weight * relative.mean(dim=0, keepdim=True) + (1 - own_weight) * overall

    def forward(self, descriptors: Tensor, mean: Tensor | None = None) -> Tensor:
        """Compare descriptors (N, C, h, w) with what is usual: with `mean`, (1 or N, C, h, w), instead of their own.

        Returns:
            (N, C, h, w) deviations from the mean of the place, whitened over all places.
        """
        mean = self.mean if mean is None else mean
        return self.whiten(descriptors - mean - self._offset(descriptors, mean))

    def whiten(self, away: Tensor) -> Tensor:
        """Whiten distances from anything (N, K, h, w), of the last K descriptors; the others' are nothing."""
        return F.conv2d(away, self.whitening[:, -away.shape[1] :, None, None])

    def distances(self, deviations: Tensor) -> Tensor:
        """Measure deviations (N, C, h, w) by how far each place varies in each direction.

        Returns:
            (N, 1, h, w): root mean square of the deviations whitened for the place, about 1 on good pictures.
        """
        if self._everywhere:
            local = torch.einsum("nchw,ck->nkhw", deviations, self.factors[0].float())
            return local.square().mean(dim=1, keepdim=True).sqrt()
        rows, columns = self.mean.shape[2] // self.step, self.mean.shape[3] // self.step
        local = self._blocks(deviations.permute(0, 2, 3, 1)) @ self.factors.float()  # (blocks, N * step^2, K)
        squares = local.square().mean(dim=2)
        squares = squares.view(rows, columns, -1, self.step, self.step).permute(2, 0, 3, 1, 4)
        return squares.reshape(-1, 1, rows * self.step, columns * self.step).sqrt()

    def _offset(self, descriptors: Tensor, mean: Tensor) -> Tensor:
        """Find by how much a picture as a whole lies off the means, (N, C, 1, 1).

        A mean that counts no place for more than `_BOUND` scales (Huber, 1964), in a step from the plain one: a strong
        defect would otherwise make the good places look odd, in the other direction. A second step changes nothing.
        """
        away = descriptors - mean
        bound = _BOUND * self.scale
        offset = away.mean(dim=(2, 3), keepdim=True)
        return offset + torch.maximum(torch.minimum(away - offset, bound), -bound).mean(dim=(2, 3), keepdim=True)

    def _blocks(self, cells: Tensor) -> Tensor:
        """Gather (N, h, w, K) by covariance: (blocks, N * step * step, K)."""
        if self._everywhere:
            return cells.reshape(1, -1, cells.shape[3])
        rows, columns = self.mean.shape[2] // self.step, self.mean.shape[3] // self.step
        tiles = cells.reshape(-1, rows, self.step, columns, self.step, cells.shape[3])
        return tiles.permute(1, 3, 0, 2, 4, 5).reshape(rows * columns, -1, cells.shape[3])

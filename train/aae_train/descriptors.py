"""Hand-made descriptors of small places: how strong edges of each size and direction are, and which colour.

They need no training, and so serve where nothing is trained yet: to see which changes the good pictures show. Rectified
derivatives of lightness up to second order on a pyramid (the energy of a filter bank, as textures have been described
since Malik & Perona, 1990), in logarithms, so that light that is twice as strong adds a constant; and the colour.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from aae_detect._opencv import cv2
from aae_train.compute import to_pictures

_CHUNK = 16
LEVELS = 4
"""Of the pyramid; each halves the resolution."""

SIGNED_FROM = 2
"""First level whose derivatives also count with their sign; on finer ones the mean of a place is next to nothing."""

CHANNELS = LEVELS * 7 + (LEVELS - SIGNED_FROM) * 5 + 3
_ENERGY_FLOOR = 0.03
"""Added before the logarithm, in units of the range from -1 to 1, about four gray levels: sensor noise is no structure.
Against 0.01, held-out kinds of synthetic defects are localized better, and found as often."""


class Descriptors(nn.Module):
    """Pictures to descriptors on a grid; nothing in it learns."""

    colours: Tensor
    first: Tensor
    smooth: Tensor
    halve: Tensor
    derivatives: Tensor

    def __init__(self, step: int = 16) -> None:
        """Fix the grid.

        Args:
            step: Pixels a side of one place, a power of two from 8.
        """
        super().__init__()
        self.step = step
        # Lightness, and blue and red against the rest; of BGR.
        opponents = torch.tensor([[0.114, 0.587, 0.299], [0.5, -0.25, -0.25], [-0.25, -0.25, 0.5]])
        self.register_buffer("colours", opponents[:, :, None, None], persistent=False)
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("smooth", torch.outer(line, line)[None, None], persistent=False)
        # Every other pixel of what `smooth` and the mean of two make.
        wider = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("halve", torch.outer(wider, wider)[None, None], persistent=False)
        slope, bend = torch.tensor([-1.0, 0.0, 1.0]) / 2, torch.tensor([1.0, -2.0, 1.0])
        dx, dy = torch.outer(line, slope), torch.outer(slope, line)
        diagonals = [(dx + dy) / 2**0.5, (dx - dy) / 2**0.5]
        second = [torch.outer(line, bend), torch.outer(bend, line), 2 * torch.outer(slope, slope)]
        self.register_buffer("derivatives", torch.stack([dx, dy, *second, *diagonals])[:, None], persistent=False)
        # All that the finest level asks of a picture, in one pass over it.
        planes = torch.cat([F.pad(self.derivatives, (0, 1, 0, 1)), self.halve])
        self.register_buffer("first", planes * opponents[0][None, :, None, None], persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Describe pictures.

        Args:
            picture: (N, 3, H, W), BGR in [-1, 1], sides multiples of `step`.

        Returns:
            (N, CHANNELS, H / step, W / step) float32: for each level seven logarithms of energies and, on the
            coarse ones, five signed means; then three colours.
        """
        # A mean of energies needs no more than every other pixel of the finest level, where most of the time goes.
        first = F.conv2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), self.first, stride=2)
        found = [self._energies(first[:, :-1], 1)]
        lightness = first[:, -1:]
        for level in range(1, LEVELS):
            padded = F.pad(lightness, (1, 1, 1, 1), mode="replicate")
            derived = F.conv2d(padded, self.derivatives)
            found.append(self._energies(derived, level))
            if level >= SIGNED_FROM:
                found.append(self._pool(derived[:, :5], level))
            lightness = F.conv2d(padded, self.halve, stride=2)
        return torch.cat([*found, F.conv2d(self._pool(picture, 0), self.colours)], dim=1)

    def _energies(self, derived: Tensor, level: int) -> Tensor:
        return torch.log(self._pool(derived.abs(), level) + _ENERGY_FLOOR)

    def _pool(self, planes: Tensor, level: int) -> Tensor:
        """Take planes of the resolution of a level to the grid, each place seeing a little of its neighbours."""
        planes = F.avg_pool2d(planes, self.step >> level)
        kernel = self.smooth.expand(planes.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), kernel, groups=planes.shape[1])


@torch.no_grad()
def describe(pictures: Iterable[NDArray[np.uint8]], step: int) -> NDArray[np.float32]:
    """Describe pictures, each HxWx3 uint8 BGR, on the CPU; returns (N, H / step, W / step, CHANNELS)."""
    network, found, waiting = Descriptors(step), [], iter(pictures)
    while chunk := list(itertools.islice(waiting, _CHUNK)):
        described = network(to_pictures(np.stack(chunk), torch.device("cpu")))
        found.append(described.permute(0, 2, 3, 1).contiguous().numpy())
    return np.concatenate(found)


def share_with_neighbours(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur statistics of places (h, w, C) a little: parts never lie on the very same pixel."""
    return np.asarray(cv2.GaussianBlur(places, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE), np.float64)

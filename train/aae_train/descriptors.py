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

_BLOCK = 16
"""Seven pairs, and two planes of nothing: ONNX Runtime keeps blocks of 16 channels in its own layout."""

_ENERGY_FLOOR = 0.03
"""Added before the logarithm, in units of the range from -1 to 1, about four gray levels: sensor noise is no structure.
Against 0.01, held-out kinds of synthetic defects are localized better, and found as often."""


class Descriptors(nn.Module):
    """Pictures to descriptors on a grid; nothing in it learns.

    Derivatives come as pairs of rectified planes, which blocks of 16 channels hold: their sum is the energy, their
    difference the signed mean, and an edge CPU takes convolution, rectifier and mean of such blocks in its stride.
    """

    light: Tensor
    halve: Tensor
    first: Tensor
    derivatives: Tensor
    colours: Tensor
    smooth: Tensor
    mix: Tensor

    def __init__(self, step: int = 16) -> None:
        """Fix the grid.

        Args:
            step: Pixels a side of one place, a power of two from 8.
        """
        super().__init__()
        self.step = step
        # Lightness, and blue and red against the rest; of BGR.
        opponents = torch.tensor([[0.114, 0.587, 0.299], [0.5, -0.25, -0.25], [-0.25, -0.25, 0.5]])
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        # Every other pixel of what `smooth` and the mean of two make.
        wider = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        halve = torch.outer(wider, wider)[None, None]
        slope, bend = torch.tensor([-1.0, 0.0, 1.0]) / 2, torch.tensor([1.0, -2.0, 1.0])
        dx, dy = torch.outer(line, slope), torch.outer(slope, line)
        diagonals = [(dx + dy) / 2**0.5, (dx - dy) / 2**0.5]
        second = [torch.outer(line, bend), torch.outer(bend, line), 2 * torch.outer(slope, slope)]
        derivatives = torch.stack([dx, dy, *second, *diagonals])[:, None]
        pairs = torch.cat([derivatives, -derivatives, torch.zeros(_BLOCK - 14, 1, 3, 3)])
        of_light = opponents[0][None, :, None, None]
        mean = torch.full((step, step), 1 / step**2)
        for name, kernels in (
            ("light", halve * of_light),
            ("halve", halve),
            ("first", F.pad(pairs, (0, 1, 0, 1)) * of_light),
            ("derivatives", pairs),
            ("colours", opponents[:, :, None, None] * mean),
            ("smooth", torch.outer(line, line)[None, None]),
            ("mix", _mixture()),
        ):
            self.register_buffer(name, kernels, persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Describe pictures.

        Args:
            picture: (N, 3, H, W), BGR in [-1, 1], sides multiples of `step`.

        Returns:
            (N, CHANNELS, H / step, W / step) float32: for each level seven logarithms of energies and, on the
            coarse ones, five signed means; then three colours.
        """
        # A mean of energies needs no more than every other pixel of the finest level, where most of the time goes.
        padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
        pooled = [self._pool(F.conv2d(padded, self.first, stride=2), 1)]
        lightness = F.conv2d(padded, self.light, stride=2)
        for level in range(1, LEVELS):
            padded = F.pad(lightness, (1, 1, 1, 1), mode="replicate")
            pooled.append(self._pool(F.conv2d(padded, self.derivatives), level))
            if level < LEVELS - 1:
                lightness = F.conv2d(padded, self.halve, stride=2)
        colours = self._share(F.conv2d(picture, self.colours, stride=self.step))
        mixed = F.conv2d(self._share(torch.cat(pooled, dim=1)), self.mix)
        energies = torch.log(mixed[:, : LEVELS * 7].clamp_min(0.0) + _ENERGY_FLOOR)
        signed = mixed[:, LEVELS * 7 :]
        found = []
        for level in range(LEVELS):
            found.append(energies[:, level * 7 : (level + 1) * 7])
            if (coarse := level - SIGNED_FROM) >= 0:
                found.append(signed[:, coarse * 5 : (coarse + 1) * 5])
        return torch.cat([*found, colours], dim=1)

    def _pool(self, derived: Tensor, level: int) -> Tensor:
        """Take planes of the resolution of a level to the grid, rectified."""
        side = self.step >> level
        return F.avg_pool2d(derived.relu(), side) if side > 1 else derived.relu()

    def _share(self, places: Tensor) -> Tensor:
        """Let each place see a little of its neighbours."""
        kernel = self.smooth.expand(places.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(places, (1, 1, 1, 1), mode="replicate"), kernel, groups=places.shape[1])


def _mixture() -> Tensor:
    """Make the 1x1 kernels that take all levels' pairs to energies, and then the coarse ones' to signed means."""
    rows = []
    for level, number in itertools.product(range(LEVELS), range(7)):
        rows.append(torch.zeros(LEVELS * _BLOCK))
        rows[-1][[level * _BLOCK + number, level * _BLOCK + number + 7]] = 1.0
    for level, number in itertools.product(range(SIGNED_FROM, LEVELS), range(5)):
        rows.append(torch.zeros(LEVELS * _BLOCK))
        rows[-1][level * _BLOCK + number], rows[-1][level * _BLOCK + number + 7] = 1.0, -1.0
    return torch.stack(rows)[:, :, None, None]


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

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
from aae_train.chunks import in_chunks
from aae_train.compute import shrunk, to_pictures

_CHUNK, _CHUNK_PX = 16, 16 * 256 * 256
"""Pictures that are described in one go, and their pixels."""

LEVELS = 4
"""Of the pyramid; each halves the resolution."""

DERIVATIVES = 7
FINEST = DERIVATIVES
"""The first descriptors, which only a picture in its full size has."""

SIGNED, SIGNED_LEVELS = 5, 2
"""Derivatives that also count with their sign, and the coarsest levels where they do; on finer ones the mean of a
place is next to nothing."""

COLOURS = 3
"""The last descriptors: mean lightness and colour of the place."""

CHANNELS = LEVELS * DERIVATIVES + SIGNED_LEVELS * SIGNED + COLOURS

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

    first: Tensor
    derivatives: Tensor
    halve: Tensor
    opponents: Tensor
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
        slope, bend = torch.tensor([-1.0, 0.0, 1.0]) / 2, torch.tensor([1.0, -2.0, 1.0])
        dx, dy = torch.outer(line, slope), torch.outer(slope, line)
        diagonals = [(dx + dy) / 2**0.5, (dx - dy) / 2**0.5]
        second = [torch.outer(line, bend), torch.outer(bend, line), 2 * torch.outer(slope, slope)]
        derivatives = torch.stack([dx, dy, *second, *diagonals])[:, None]
        pairs = torch.cat([derivatives, -derivatives, torch.zeros(_BLOCK - 2 * DERIVATIVES, 1, 3, 3)])
        of_light = opponents[0][None, :, None, None]
        for name, kernels in (
            ("first", pairs * of_light),
            ("derivatives", pairs),
            ("halve", torch.full((1, 1, 2, 2), 0.25)),
            ("opponents", opponents[:, :, None, None]),
            ("smooth", torch.outer(line, line)[None, None]),
            ("mix", _mixture()),
        ):
            self.register_buffer(name, kernels, persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Describe pictures.

        Args:
            picture: (N, 3, H, W), BGR in [-1, 1], sides multiples of `step`.

        Returns:
            (N, CHANNELS, H / step, W / step) float32: seven logarithms of energies for each level from the finest,
            five signed means for each of the coarse ones, and three colours.
        """
        # A mean of energies needs no more than every other pixel of the finest level, where most of the time goes.
        finest = F.conv2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), self.first, stride=2)
        # The mean of four pixels in one go with what is made of it: nothing in the full size need be kept.
        lightness = F.conv2d(picture, self.opponents[:1] * self.halve, stride=2)
        return self._measure([self._pool(finest, 1), *self._pyramid(lightness)], picture, self.step)

    def coarser(self, halved: Tensor) -> Tensor:
        """Describe pictures of which only half the size is there: all but the `FINEST` first descriptors.

        Args:
            halved: (N, 3, H / 2, W / 2).
        """
        return self._measure(self._pyramid(F.conv2d(halved, self.opponents[:1])), halved, self.step // 2)

    def _pyramid(self, lightness: Tensor) -> list[Tensor]:
        """Take the derivatives of all levels but the finest to the grid, from lightness in half the size."""
        pooled = []
        for level in range(1, LEVELS):
            padded = F.pad(lightness, (1, 1, 1, 1), mode="replicate")
            pooled.append(self._pool(F.conv2d(padded, self.derivatives), level))
            if level < LEVELS - 1:
                # Not a pooling layer: of few channels, ONNX Runtime convolves several times faster than it pools.
                lightness = F.conv2d(lightness, self.halve, stride=2)
        return pooled

    def _pool(self, derived: Tensor, level: int) -> Tensor:
        """Take planes of the resolution of a level to the grid, rectified."""
        return shrunk(derived.relu_(), self.step >> level)

    def _measure(self, pooled: list[Tensor], picture: Tensor, step: int) -> Tensor:
        """Make descriptors of the pairs of the coarsest levels, as many as there are, and of a picture's colours."""
        energies = len(pooled) * DERIVATIVES
        means = energies + SIGNED_LEVELS * SIGNED
        missing = LEVELS - len(pooled)
        rows = slice(missing * DERIVATIVES, missing * DERIVATIVES + -(-means // _BLOCK) * _BLOCK)
        mixed = self._share(F.conv2d(torch.cat(pooled, dim=1), self.mix[rows, missing * _BLOCK :]))
        logarithms = torch.log(mixed[:, :energies] + _ENERGY_FLOOR)
        colours = F.conv2d(picture, self.opponents.expand(3, 3, step, step) / step**2, stride=step)
        return torch.cat([logarithms, mixed[:, energies:means], colours], dim=1)

    def _share(self, places: Tensor) -> Tensor:
        """Let each place see a little of its neighbours, as far as it has some."""
        count = places.shape[1]
        shared = F.conv2d(places, self.smooth.expand(count, 1, 3, 3), padding=1, groups=count)
        return shared / F.conv2d(torch.ones_like(places[:1, :1]), self.smooth, padding=1)


def _mixture() -> Tensor:
    """Make the 1x1 kernels that take all levels' pairs to energies, then the coarse ones' to signed means; and zeros.

    They fill up blocks.
    """
    rows = []
    for level, number in itertools.product(range(LEVELS), range(DERIVATIVES)):
        rows.append(torch.zeros(LEVELS * _BLOCK))
        rows[-1][[level * _BLOCK + number, level * _BLOCK + number + DERIVATIVES]] = 1.0
    for level, number in itertools.product(range(LEVELS - SIGNED_LEVELS, LEVELS), range(SIGNED)):
        rows.append(torch.zeros(LEVELS * _BLOCK))
        rows[-1][level * _BLOCK + number], rows[-1][level * _BLOCK + number + DERIVATIVES] = 1.0, -1.0
    return F.pad(torch.stack(rows), (0, 0, 0, -len(rows) % _BLOCK))[:, :, None, None]


@torch.no_grad()
def describe(pictures: Iterable[NDArray[np.uint8]], step: int) -> NDArray[np.float32]:
    """Describe pictures, each HxWx3 uint8 BGR, on the CPU; returns (N, H / step, W / step, CHANNELS)."""
    network, found = Descriptors(step), []
    for chunk in in_chunks(pictures, _CHUNK_PX, _CHUNK):
        described = network(to_pictures(chunk, torch.device("cpu")))
        found.append(described.permute(0, 2, 3, 1).contiguous().numpy())
    return np.concatenate(found)


def share_with_neighbours(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur statistics of places (h, w, C) a little: parts never lie on the very same pixel."""
    return np.asarray(cv2.GaussianBlur(places, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE), np.float64)

"""What is unusual of a picture as a whole, where places alone would pass it: a bite out of a part, or a part too many.

Good pictures of parts that lie alike differ in a few ways: in light, in how a part lies. Their principal directions
(Turk and Pentland, Eigenfaces, 1991) explain these, and nothing else; what is left is far too large where something is
missing. Where every picture shows another piece of a texture they explain little, and the head learns to do without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aae_train.descriptors import COLOURS

DIRECTIONS = 8
"""Principal directions at most; other numbers were not tried. On mvtec3d_tire and cookies the head's select score after
600 and 450 steps was 76.1 and 47.3 with what they leave (there of blue, green and red), and 75.4 and 46.1 without."""

_PICTURES_FOR_ONE = 4
"""Different pictures that it takes to tell one direction from chance."""

_LEAST_SCALE = 0.5 / 127.5
"""Half a gray level: what never varies must not count for its rounding."""


class WholePicture(nn.Module):
    """The colours of all places, less what the principal directions of good pictures explain."""

    mean: Tensor
    directions: Tensor
    scale: Tensor

    def __init__(self, grid_hw: tuple[int, int]) -> None:
        """Make room for what is to be learned of a grid of places, down and across."""
        super().__init__()
        self.grid_hw = grid_hw
        self.register_buffer("mean", torch.zeros(1, COLOURS, *grid_hw))
        self.register_buffer("directions", torch.zeros(DIRECTIONS, COLOURS * grid_hw[0] * grid_hw[1]))
        self.register_buffer("scale", torch.ones(1, COLOURS, *grid_hw))

    @torch.no_grad()
    def fit(self, colours: Tensor, count: int) -> None:
        """Learn from good pictures.

        Args:
            colours: (N, COLOURS, h, w).
            count: Different pictures among them; the others are changed copies.
        """
        self.mean.copy_(colours.mean(dim=0, keepdim=True))
        few = min(DIRECTIONS, max(1, count // _PICTURES_FOR_ONE))
        _, _, directions = torch.linalg.svd((colours - self.mean).flatten(1), full_matrices=False)
        self.directions.zero_()
        self.directions[:few] = directions[:few]
        left = self._left(colours)
        # Half of the place, half of all: few pictures know little of one place.
        own, all_places = left.var(dim=0, keepdim=True), left.var(dim=(0, 2, 3), keepdim=True)
        self.scale.copy_(((own + all_places) / 2).sqrt().clamp_min(_LEAST_SCALE))

    def forward(self, colours: Tensor) -> Tensor:
        """Find what is left of colours (N, COLOURS, h, w), of the same shape, about unit variance on good pictures."""
        return self._left(colours) / self.scale

    def _left(self, colours: Tensor) -> Tensor:
        away = (colours - self.mean).flatten(1)
        left = away - (away @ self.directions.T) @ self.directions
        return left.view(-1, *self.mean.shape[1:])

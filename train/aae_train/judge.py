"""Who looks at picture and drawing, and says how much is wrong at each place.

    DrawingJudge   measures what the drawing lacks; learns nothing            `--head none`
    HeadJudge      a trained head and the descriptors of places (head_judge)  `--head unet`

Both give evidence: one or more numbers per cell of 4x4 pixels, not yet standardised. `evidence_statistics` learns from
good pictures how each behaves, and `combine` makes one map of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from aae_train.compute import shrunk
from aae_train.config import TrainConfig
from aae_train.evidence_statistics import Statistics, fit_places
from aae_train.family import Examples, Losses, Pictures
from aae_train.players import Player, Players

CELL = 4
"""Pixels a side of one cell of the map."""


class Judge(nn.Module, ABC):
    """Picture and drawing to evidence."""

    learns = False
    """Whether it is prepared, and then taught in a phase of its own; see `prepare` and `step`."""

    def prepare(self, examples: Examples) -> None:
        """Learn in closed form, before the first step."""

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Say who learns by gradient, and how fast; nobody, unless overridden."""
        return {}

    def step(self, pictures: Pictures, drawn: Tensor, players: Players) -> Losses:
        """Teach every player once; `drawn`, as in `evidence`, carries no gradient."""
        return {}

    @abstractmethod
    def evidence(self, picture: Tensor, drawn: Tensor) -> Tensor:
        """Measure what is wrong.

        Args:
            picture: (N, 3, H, W) in [-1, 1].
            drawn: The same range; the same size, or half of it.

        Returns:
            (N, K, H/4, W/4), K kinds of evidence.
        """

    @abstractmethod
    def standards(self, evidence: NDArray[np.float32]) -> Statistics:
        """Learn how evidence (N, K, H/4, W/4) behaves on good pictures that no training saw."""

    @abstractmethod
    def combine(self, standardised: Tensor) -> Tensor:
        """Make maps (N, H/4, W/4) of standardised evidence (N, K, H/4, W/4)."""


class DrawingJudge(Judge):
    """What the drawing lacks, in two numbers per cell.

    detail:  sqrt(mean of (x - x')^2)   catches what is thin or sharp, such as a scratch; squares let few pixels count
    shift:   |mean of (x - x')|         catches faint colour over an area; sensor noise averages out of it

    Each is blurred a little, detail less, so that a thin line is not spread out. The map is the larger of the two, in
    standard deviations.
    """

    _blur_sigmas = (0.7, 1.0)
    """Cells. Chosen on the demo camera: against 1.0 for both and mean |x - x'|, it finds twice as many scratches at the
    same false-reject rate."""

    blur: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("blur", blur_kernel(self._blur_sigmas), persistent=False)

    def evidence(self, picture: Tensor, drawn: Tensor) -> Tensor:
        """Measure detail and shift, (N, 2, H/4, W/4)."""
        step = picture.shape[2] // drawn.shape[2]
        difference = shrunk(picture, step) - drawn
        detail = F.avg_pool2d(difference.square().mean(dim=1, keepdim=True), CELL // step).sqrt()
        shift = F.avg_pool2d(difference, CELL // step).abs().mean(dim=1, keepdim=True)
        return blurred(torch.cat([detail, shift], dim=1), self.blur)

    def standards(self, evidence: NDArray[np.float32]) -> Statistics:
        """Learn centre and spread per place: an edge is always hard to draw."""
        return fit_places(evidence)

    def combine(self, standardised: Tensor) -> Tensor:
        """Take the larger of the two."""
        return standardised.amax(dim=1)


def blurred(cells: Tensor, kernel: Tensor) -> Tensor:
    """Blur (N, K, h, w) by a kernel each, from `blur_kernel`."""
    radius = kernel.shape[-1] // 2
    # Edges are repeated, not padded with zeros: a border of zeros would hide defects at the rim.
    padded = F.pad(cells, (radius,) * 4, mode="replicate")
    return F.conv2d(padded, kernel, groups=len(kernel))


def blur_kernel(sigmas: tuple[float, ...], radius: int = 2) -> Tensor:
    """Return a Gaussian for each standard deviation (cells), (K, 1, 2 * radius + 1, 2 * radius + 1), each of sum 1."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    lines = [torch.exp(-0.5 * (offsets / sigma) ** 2) for sigma in sigmas]
    return torch.stack([torch.outer(line, line)[None] / line.sum() ** 2 for line in lines])

"""Two witnesses that err differently: the descriptors of places, and a head that has learned what defects look like.

    places:  how far the descriptors of a place lie from what is usual there. Needs no defects to learn from, so it does
             not care which kind comes; strong on what is coarse, or spread over an area
    head:    the logit of a U-Net on picture, drawing, the deviations of both, and those of the picture as a whole,
             trained on synthetic defects. Strong on what is thin, faint or small, as far as synthetic defects are like
             real ones

Each is standardised by its largest values on good pictures (`evidence_statistics`), and the map is their sum, the head
counting twice: where both are a little suspicious, something is wrong. Neither may silence the other, so being sure of
the good counts little beyond `SUREST`. Nor may the places drown the head: at a place where good parts never vary, a
part that lies a little aside is dozens of spreads away, so what is above `ALARM` counts by its logarithm.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from aae_train.compute import shrunk
from aae_train.config import TrainConfig
from aae_train.descriptors import CHANNELS, COLOURS, FINEST, Descriptors
from aae_train.evidence_statistics import Statistics, fit_tails
from aae_train.family import Examples, Losses, Pictures
from aae_train.head import Head, head_loss
from aae_train.judge import Judge, blur_kernel, blurred
from aae_train.other_groups import OtherGroups
from aae_train.place_gaussians import PlaceGaussians
from aae_train.players import Player, Players
from aae_train.whole_picture import WholePicture

STEP = 8
"""Pixels a side of a place."""

SUREST, CALM, ALARM = -2.0, 0.1, 4.0
"""SUREST and ALARM are in spreads of a witness's largest values on good pictures; CALM is what counts of a value below
SUREST. On kinds of synthetic defects that were held out of training, four sets, pixel AP is 66.3 with the alarm and
60.6 without, image AUROC the same. On six sets AUPRO is 64.9 with CALM and 59.9 with nothing in its place."""

HEAD_WEIGHT = 2.0
"""How much the head counts. On kinds of synthetic defects that were held out of training, four sets, image AUROC and
pixel AP are 90.4 and 58.3 with 2, 89.4 and 53.1 with 1; alone, the head has 90.7 and 67.7, yet knows only what was
drawn."""

_CHUNK = 16


class HeadJudge(Judge):
    """Descriptors of places, and the head."""

    learns = True
    _blur_sigmas = (1.0, 0.7)

    blur: Tensor
    enlarge: Tensor

    def __init__(self, input_hw: tuple[int, int] | None) -> None:
        """Make a judge for pictures of a size, multiples of 32; None for one that takes pictures of any size."""
        super().__init__()
        self.describe = Descriptors(STEP)
        grid_hw = input_hw and (input_hw[0] // STEP, input_hw[1] // STEP)
        self.places = PlaceGaussians(CHANNELS, grid_hw)
        self.whole = WholePicture(grid_hw) if grid_hw else None
        self.head = Head(2 * CHANNELS + COLOURS)
        self._others: OtherGroups | None = None
        self.register_buffer("blur", blur_kernel(self._blur_sigmas), persistent=False)
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("enlarge", torch.outer(line, line)[None, None], persistent=False)

    @torch.no_grad()
    def prepare(self, examples: Examples) -> None:
        """Fit the Gaussians of the places, and the principal directions of whole pictures."""
        good, count = examples.pictures, examples.count
        described = torch.cat([self.describe(good[start : start + _CHUNK]) for start in range(0, len(good), _CHUNK)])
        self.places.fit(described, count)
        if self.whole is not None:
            self.whole.fit(described[:, -COLOURS:], count)
        if len(set(examples.groups)) > 1:
            grid_hw = None if self.whole is None else self.whole.grid_hw
            self._others = OtherGroups(described, count, examples.groups, self.places, grid_hw)

    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Who learns: the head."""
        return {"head": Player((self.head,), config.lr)}

    def step(self, pictures: Pictures, drawn: Tensor, players: Players) -> Losses:
        """Teach the head once."""
        with torch.no_grad():
            drawn, _, deviations = self.compare(pictures.shown, drawn, pictures.groups)
        with players.autocast():
            logits = self.head(pictures.shown, drawn, deviations)
        assert pictures.mask is not None  # vectors have none, and no judge either
        loss = head_loss(logits.float(), pictures.mask)
        players.descend("head", loss)
        return {"head": loss.item()}

    def evidence(self, picture: Tensor, drawn: Tensor) -> Tensor:
        """Measure distances of places and logits of the head, (N, 2, H/4, W/4)."""
        drawn, seen, deviations = self.compare(picture, drawn)
        # Twice the size, linearly between the places: a transposed convolution, which every runtime has.
        distances = F.pad(self.places.distances(seen), (1, 1, 1, 1), mode="replicate")
        distances = F.conv_transpose2d(distances, self.enlarge, stride=2, padding=3)
        logits = self.head(picture, drawn, deviations)
        return blurred(torch.cat([distances, logits], dim=1), self.blur)

    def standards(self, evidence: NDArray[np.float32]) -> Statistics:
        """Learn the largest values of each witness; what is usual at a place, the Gaussians know."""
        return fit_tails(evidence)

    def combine(self, standardised: Tensor) -> Tensor:
        """Add the witnesses."""
        below = (standardised - SUREST).clamp_max(0.0)
        places, head = (standardised.clamp_min(SUREST) + CALM * below).unbind(dim=1)
        places = places.clamp_max(ALARM) + torch.log1p((places - ALARM).clamp_min(0.0))
        return places + HEAD_WEIGHT * head

    def compare(self, picture: Tensor, drawn: Tensor, groups: tuple[int, ...] = ()) -> tuple[Tensor, Tensor, Tensor]:
        """Find how far a picture's places lie from what is usual there, from the drawing's, and from whole pictures.

        Args:
            picture: As in `evidence`.
            drawn: As in `evidence`.
            groups: (N,), those whose part in what is usual to leave out, see `other_groups`; empty: nothing.

        Returns:
            The drawing in half the picture's size, even where there is more of it: it is smoother anyway; the
            deviations of places from what is usual there; and all deviations that a head looks at.
        """
        drawn = shrunk(drawn, 2 * drawn.shape[2] // picture.shape[2])
        described = self.describe(picture)
        lacking = self.places.whiten(described[:, FINEST:] - self.describe.coarser(drawn))
        if self._others is not None and groups:
            seen, *whole = self._others.deviations(described, groups)
        else:
            seen = self.places(described)
            whole = [] if self.whole is None else [self.whole(described[:, -COLOURS:])]
        return drawn, seen, torch.cat([seen, lacking, *whole], dim=1)

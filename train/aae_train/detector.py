"""All that learns in a run: the generative model that draws, and the judge that looks at picture and drawing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aae_train.chunks import in_chunks
from aae_train.compute import to_pictures
from aae_train.config import TrainConfig
from aae_train.families import make_model
from aae_train.family import GenerativeModel
from aae_train.head_judge import HeadJudge
from aae_train.judge import CELL, DrawingJudge, Judge
from aae_train.picture_mask import cells_of


class Detector(nn.Module):
    """A generative model and its judge, under the names that they have in `model.safetensors`."""

    def __init__(self, model: GenerativeModel, judge: Judge) -> None:
        super().__init__()
        self.model = model
        self.judge = judge

    def forward(self, picture: Tensor) -> Tensor:
        """Look at pictures (N, 3, H, W) in [-1, 1]; returns evidence (N, K, H/4, W/4), not standardised."""
        return self.judge.evidence(picture, self.model(picture).clamp(-1.0, 1.0))


def make_detector(config: TrainConfig) -> Detector:
    """Make the networks of a run."""
    size_hw = config.input_hw if config.tile is None else None
    judge = HeadJudge(size_hw) if config.head == "unet" else DrawingJudge()
    return Detector(make_model(config), judge)


@torch.no_grad()
def measure_evidence(
    detector: Detector, images: Iterable[NDArray[np.uint8]], inside: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Look at many pictures.

    Args:
        detector: On its device.
        images: Each HxWx3 uint8 BGR of the model's size; a few at a time are kept.
        inside: (H, W), where to look; None: everywhere.

    Returns:
        (N, K, H/4, W/4) float32, not standardised; outside, each kind's least, so that it is nobody's largest.
    """
    device = next(detector.parameters()).device
    evidence = np.concatenate(
        [detector(to_pictures(chunk, device)).float().cpu().numpy() for chunk in in_chunks(images)]
    )
    if inside is not None:
        cells = cells_of(inside, CELL)
        least = evidence[:, :, cells].min(axis=(0, 2))
        evidence = np.where(cells, evidence, least[:, None, None])
    return evidence

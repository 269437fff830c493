"""Tiles: training on pieces of pictures that keep their resolution, looking at whole pictures in one pass.

Where defects are tiny, pictures must not be shrunk, and training on whole large pictures is slow. With `--tile N` every
step sees pieces of N x N pixels, cut anywhere (`augment.cut_tile`). A finished detector need not cut: each of its
networks is made of convolutions, so it takes a picture of any size, and gives at every place what a tile around that
place would, without seams to blend and without looking twice where tiles overlap. For that, nothing in it may know
where in the picture it is: the Gaussians of the descriptors are one for all places.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from aae_detect.errors import ConfigError
from aae_train.config import SIZE_STEP, TrainConfig
from aae_train.detector import Detector, make_detector
from aae_train.pictures import readable_sizes

_LOOKED_AT = 9
_LONGEST_SIDE = 4096


def for_whole_pictures(detector: Detector, config: TrainConfig) -> Detector:
    """Return the detector that looks at pictures of `config.input_hw`, with the weights of one that learned on tiles.

    Args:
        detector: What is trained; returned as it is where that is whole pictures already.
        config: Of the run.
    """
    if config.tile is None:
        return detector
    device = next(detector.parameters()).device
    whole: Detector = make_detector(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    whole.load_state_dict(detector.state_dict())
    return whole.requires_grad_(False)


def native_size(paths: Sequence[Path]) -> tuple[int, int]:
    """Return the height and width at which pictures are about as large as their files: multiples of 32, at most 4096.

    Raises:
        ConfigError: none can be read.
    """
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(_LOOKED_AT, len(paths))).astype(int)]
    sizes = list(readable_sizes(chosen)) or list(islice(readable_sizes(paths), 1))
    if not sizes:
        raise ConfigError(f"none of {len(paths)} pictures can be read, as {paths[0]}; repair them, or give other ones")
    height, width = (
        min(_LONGEST_SIDE, max(SIZE_STEP, round(float(side) / SIZE_STEP) * SIZE_STEP))
        for side in np.median(sizes, axis=0)
    )
    return height, width

"""The golden sample of a run: what the finished model says of one picture, and whether it still says so.

Much of a detector is code, not weights: descriptors, how evidence is weighed, what the head is shown. A version of this
package that changed any of it would take the weights of an older run, and judge by a threshold that is none of its own.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from aae_detect import __version__
from aae_detect.errors import ConfigError
from aae_detect.golden import EXACT_TOLERANCE, decode_golden, encode_golden
from aae_detect.spec import GoldenSample
from aae_train.detector_graph import DetectorGraph

_BLOW_UP = 4
"""Keeps the sample small: it travels inside every model."""


def make_golden(graph: DetectorGraph, picture: NDArray[np.uint8]) -> GoldenSample:
    """Have the finished model judge a picture.

    Args:
        graph: On the CPU, in fp32.
        picture: HxWx3 uint8 BGR of the model's input size, both sides multiples of 4.
    """
    packed = encode_golden(picture, _BLOW_UP)
    return GoldenSample(packed, _score(graph, decode_golden(packed, (picture.shape[0], picture.shape[1]))))


def require_golden(graph: DetectorGraph, golden: GoldenSample, input_hw: tuple[int, int], version: str) -> None:
    """Refuse a model that no longer answers as it did at the end of its training.

    Args:
        graph: As read, on the CPU.
        golden: From `make_golden` of the run.
        input_hw: Of the model, pixels.
        version: Of the package that trained it.

    Raises:
        ConfigError: it answers otherwise.
        ModelError: the sample is damaged.
    """
    score = _score(graph, decode_golden(golden.picture_png_base64, input_hw))
    if not math.isclose(score, golden.score, rel_tol=EXACT_TOLERANCE, abs_tol=EXACT_TOLERANCE):
        raise ConfigError(
            f"the run was trained by aae-detect {version}, and what it learned gives its golden sample {score:.4g} by "
            f"this aae-detect {__version__}, instead of {golden.score:.4g}, so its threshold means nothing here; "
            f"install the version that trained it, or train again"
        )


@torch.no_grad()
def _score(graph: DetectorGraph, picture: NDArray[np.uint8]) -> float:
    return float(graph(torch.from_numpy(picture)[None])[1][0])

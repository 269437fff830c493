"""Good pictures together with a detector that never learned from them: all that may be said of a model rests on these.

One group where calibration pictures were held back; one for each fold in a cross-fit, where the fold's model, with
statistics of the other folds' pictures, judges what it never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aae_detect.threshold import Threshold
from aae_train.chunks import in_chunks
from aae_train.evidence_statistics import Statistics
from aae_train.loader import Store


class Answers(NamedTuple):
    """What a detector says of N pictures."""

    anomaly_maps: NDArray[np.float32]
    """(N, h, w)."""

    scores: NDArray[np.float32]
    """(N,), raw; higher is less like the good parts."""

    reconstructions: NDArray[np.uint8]
    """(N, H, W, 3) BGR, or half the size."""


Detect = Callable[[NDArray[np.uint8]], Answers]
"""Takes pictures (N, H, W, 3) uint8 BGR of the model's size, N at least 1."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A detector and pictures that neither its networks nor its statistics have seen."""

    detect: Detect
    numbers: tuple[int, ...]
    """The pictures, as the run counts them."""

    scores: NDArray[np.float32]
    """One for each: what the threshold is set from."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A trained model as a detector with its threshold, and what the threshold rests on."""

    detect: Detect
    """The detector that ships."""

    statistics: Statistics
    threshold: Threshold
    held_out: tuple[HeldOut, ...]
    learned: tuple[int, ...] = ()
    """Pictures that `detect` learned from, where none of `held_out` has judged them."""


def score_each(calibrated: Calibrated, numbers: Sequence[int], store: Store) -> list[float]:
    """Score good pictures, by detectors that have not learned from them wherever there is one.

    Args:
        calibrated: The detectors.
        numbers: The pictures.
        store: All pictures.
    """
    known = {
        number: float(score)
        for group in calibrated.held_out
        for number, score in zip(group.numbers, group.scores, strict=True)
    }
    return [
        known[number] if number in known else float(calibrated.detect(np.stack([store[number]])).scores[0])
        for number in numbers
    ]


def detect_by(detector: nn.Module) -> Detect:
    """Return a detector as a function of pictures.

    Args:
        detector: As `DetectorGraph`: (N, H, W, 3) uint8 to maps, scores and reconstructions.
    """
    device = next(detector.parameters()).device

    @torch.no_grad()
    def detect(images: NDArray[np.uint8]) -> Answers:
        chunks = [
            [answer.cpu().numpy() for answer in detector(torch.from_numpy(chunk).to(device))]
            for chunk in in_chunks(images)
        ]
        return Answers(*(np.concatenate(answers) for answers in zip(*chunks, strict=True)))

    return detect

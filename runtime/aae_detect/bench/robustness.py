"""What becomes of the verdicts when the camera changes a little: light, focus, position, compression, noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench import metrics
from aae_detect.bench.dataset import LabelledSet
from aae_detect.detector import Detector
from aae_detect.picture_bytes import encode_picture
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import to_bgr8

Picture = NDArray[np.uint8]

NOISE_SIGMA = 5.0
"""Gray levels."""

JPEG_QUALITY = 60
SHIFT_PX = 2
BLUR_SIGMA = 1.0
"""Pixels of the frame."""

GAIN = 0.15


def _gain(factor: float) -> Callable[[Picture, np.random.Generator], Picture]:
    return lambda picture, rng: np.asarray(cv2.convertScaleAbs(picture, alpha=factor), np.uint8)


def _blur(picture: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), BLUR_SIGMA), np.uint8)


def _shift(picture: Picture, rng: np.random.Generator) -> Picture:
    """Right and down; what moved in is the edge, repeated."""
    framed = cv2.copyMakeBorder(picture, SHIFT_PX, 0, SHIFT_PX, 0, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(framed[: picture.shape[0], : picture.shape[1]], np.uint8)


def _jpeg(picture: Picture, rng: np.random.Generator) -> Picture:
    coded = encode_picture(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _noise(picture: Picture, rng: np.random.Generator) -> Picture:
    noisy = picture + rng.normal(0.0, NOISE_SIGMA, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


# HxWx3 uint8 BGR, source of chance -> the same shape
DISTURBANCES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "none": lambda picture, rng: picture,
    "brightness +15 %": _gain(1 + GAIN),
    "brightness -15 %": _gain(1 - GAIN),
    "blur, sigma 1 px": _blur,
    "shift by 2 px": _shift,
    "JPEG, quality 60": _jpeg,
    "noise, sigma 5": _noise,
}


def measure_robustness(
    detector: Detector,
    labelled: LabelledSet,
    done: Callable[[int], None] = lambda count: None,
) -> list[dict[str, Any]]:
    """Judge all pictures of a set under each disturbance; the threshold stays.

    Args:
        detector: Any loaded detector.
        labelled: The set.
        done: Called after each picture with the number of pictures done, all disturbances of it together.

    Returns:
        A row for each disturbance, the first without any: `disturbance`, `image_auroc`, `false_reject_rate` and
        `recall_at_threshold`, 0 to 1 and NaN where undefined.

    Raises:
        SourceError: a picture cannot be read.
    """
    scores: dict[str, list[float]] = {name: [] for name in DISTURBANCES}
    for count, item in enumerate(labelled.pictures, start=1):
        picture = to_bgr8(read_picture(item.path), detector.bits)
        for name, disturb in DISTURBANCES.items():
            scores[name].append(detector(disturb(picture, np.random.default_rng(count))).score)
        done(count)
    labels = np.array([item.defective for item in labelled.pictures], np.bool_)
    return [_row(name, labels, np.array(found), detector.threshold) for name, found in scores.items()]


def _row(name: str, labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    return {
        "disturbance": name,
        "image_auroc": metrics.auroc(labels, scores),
        "false_reject_rate": metrics.false_reject_rate(labels, scores, threshold),
        "recall_at_threshold": metrics.recall_at(labels, scores, threshold),
    }

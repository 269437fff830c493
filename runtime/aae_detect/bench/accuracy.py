"""How right a detector is on labelled pictures, measured through the very code that the device runs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect.bench import metrics
from aae_detect.bench.bootstrap import LEVEL, RESAMPLES, Statistic, bootstrap_intervals
from aae_detect.bench.dataset import (
    GOOD,
    LONGEST_SIDE,
    LabelledPicture,
    LabelledSet,
    read_mask,
    shrink_mask,
    shrunk_hw,
)
from aae_detect.bench.pixels import PixelCounts, count_pixels
from aae_detect.detector import Detector
from aae_detect.errors import ConfigError, ModelError
from aae_detect.geometry import Placement
from aae_detect.picture_source import read_picture
from aae_detect.scoring import judge, map_to_frame

AUPRO_LIMITS = {"aupro_30": 0.30, "aupro_05": 0.05}


@dataclass(frozen=True, eq=False)
class JudgedPicture:
    """A labelled picture and what the detector said of it."""

    picture: LabelledPicture
    score: float
    model_map: NDArray[np.float32]
    """Map as the model gave it: small, so that those of a whole set fit in memory."""

    placement: Placement
    """Where the picture lay in the model's input."""

    empty_mask: bool
    """Its mask is there and shows nothing."""


def judge_pictures(
    detector: Detector, labelled: LabelledSet, done: Callable[[int], None] = lambda count: None
) -> list[JudgedPicture]:
    """Run the detector over all pictures of a set, one by one as a device does.

    Args:
        detector: Any loaded detector.
        labelled: The set.
        done: Called after each picture with the number of pictures done.

    Raises:
        SourceError: a picture or a mask cannot be read, or a mask is not of its picture's size.
        ModelError: the model gives something that is not a number.
    """
    judged = []
    for picture in labelled.pictures:
        detection = detector(read_picture(picture.path))
        if not np.isfinite(detection.model_map).all():
            raise ModelError(f"the model's map of {picture.path} holds values that are not finite; export it again")
        # Looked at here already, so that a mask that does not fit is not found out after an hour of inference.
        where, frame_hw = picture.mask_path, detection.placement.frame_hw
        empty = where is not None and not read_mask(where, frame_hw).any()
        judged.append(JudgedPicture(picture, detection.score, detection.model_map, detection.placement, empty))
        done(len(judged))
    return judged


def measure_accuracy(
    judged: list[JudgedPicture],
    threshold: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clips: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compute every figure.

    Args:
        judged: From `judge_pictures`.
        threshold: A picture is NG where its score lies above.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        clips: From `name_clips`; None where each picture stands for itself.

    Returns:
        Figures by name, 0 to 1 and NaN where undefined: those of the pictures (`image_auroc`, `image_ap`,
        `f1_at_threshold`, `false_reject_rate`, `recall_at_threshold`), each with its bootstrap interval in
        `NAME_ci95`; those of the pixels (`pixel_auroc`, `pixel_ap`, `aupro_30`, `aupro_05`); `pixels` and `counts`
        with what they rest on; `kinds` with a row for each kind of defect; `bootstrap` with its settings.
    """
    labels = np.array([item.picture.defective for item in judged], np.bool_)
    scores = np.array([item.score for item in judged], np.float64)
    statistics: dict[str, Statistic] = {
        "image_auroc": metrics.auroc,
        "image_ap": metrics.average_precision,
        "f1_at_threshold": lambda labels, scores: metrics.f1_at(labels, scores, threshold),
        "false_reject_rate": lambda labels, scores: metrics.false_reject_rate(labels, scores, threshold),
        "recall_at_threshold": lambda labels, scores: metrics.recall_at(labels, scores, threshold),
    }
    intervals = bootstrap_intervals(labels, scores, statistics, resamples, seed, clips=clips)
    figures: dict[str, Any] = {}
    for name, statistic in statistics.items():
        figures[name] = statistic(labels, scores)
        figures[f"{name}_ci95"] = list(intervals[name])
    with_truth = [item for item in judged if item.picture.has_pixel_truth]
    pixels = count_pixels(lambda: _maps_and_masks(with_truth))
    figures |= {"pixel_auroc": pixels.auroc(), "pixel_ap": pixels.average_precision()}
    figures |= {name: pixels.aupro(limit) for name, limit in AUPRO_LIMITS.items()}
    figures["pixels"] = _describe_pixels(pixels)
    figures["counts"] = _count(judged)
    figures["kinds"] = _rows_by_kind(judged, labels, scores, threshold)
    method = "percentile, stratified" if clips is None else f"percentile, {len(set(clips))} clips as wholes"
    figures["bootstrap"] = {"resamples": resamples, "seed": seed, "level": LEVEL, "method": method}
    return figures


def name_clips(labelled: LabelledSet, pattern: str) -> list[str]:
    """Say which pictures belong together: those for whose file names a regular expression finds the same.

    Raises:
        ConfigError: it is none, finds nothing in a name, or the same in all of them.
    """
    try:
        found = [re.search(pattern, item.path.name) for item in labelled.pictures]
    except re.error as error:
        raise ConfigError(f"--clips {pattern}: {error}; expected a regular expression such as '^[^_]+'") from error
    for match, item in zip(found, labelled.pictures, strict=True):
        if match is None or not match[0]:
            raise ConfigError(f"--clips {pattern}: finds nothing in {item.path.name}; expected a part of every name")
    names = [match[0] for match in found if match is not None]
    if len(set(names)) < 2:
        raise ConfigError(f"--clips {pattern}: finds {names[0]!r} in every name; expected two clips or more")
    return names


def scores_csv(judged: list[JudgedPicture], root: Path, threshold: float) -> str:
    """Return one CSV line for each picture: where it is under `root`, its kind, its score and its verdict."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "kind", "defective", "score", "threshold", "verdict", "mask"])
    for item in judged:
        picture = item.picture
        mask = "" if picture.mask_path is None else picture.mask_path.relative_to(root).as_posix()
        where = picture.path.relative_to(root).as_posix()
        verdict = judge(item.score, threshold).value
        writer.writerow([where, picture.kind, int(picture.defective), repr(item.score), threshold, verdict, mask])
    return text.getvalue()


def map_at(model_map: NDArray[np.float32], placement: Placement, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Take a map to its frame shrunk to another size, without making the large one first.

    Args:
        model_map: (h, w) float32 as the model gave it.
        placement: Where the frame lay in the model's input.
        size_hw: Size wanted, of about the frame's shape.

    Returns:
        (H, W) float32 of that size; at the frame's own size exactly `Detection.anomaly_map`.
    """
    if size_hw == placement.frame_hw:
        return map_to_frame(model_map, placement)
    (frame_h, frame_w), (scale_y, scale_x) = placement.frame_hw, placement.scale_yx
    shrunk_scale = (scale_y * frame_h / size_hw[0], scale_x * frame_w / size_hw[1])
    return map_to_frame(model_map, replace(placement, frame_hw=size_hw, scale_yx=shrunk_scale))


def _maps_and_masks(judged: Iterable[JudgedPicture]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Make maps and masks anew at every walk: they are too large to keep and quick to make."""
    for item in judged:
        frame_hw = item.placement.frame_hw
        size_hw = shrunk_hw(frame_hw)
        mask = np.zeros(size_hw, np.bool_)
        if item.picture.mask_path is not None:
            mask = shrink_mask(read_mask(item.picture.mask_path, frame_hw), size_hw)
        yield map_at(item.model_map, item.placement, size_hw), mask


def _describe_pixels(pixels: PixelCounts) -> dict[str, Any]:
    return {
        "defective": int(pixels.positives.sum()),
        "other": int(pixels.negatives.sum()),
        "regions": pixels.regions,
        "longest_side": LONGEST_SIDE,
        "method": "rounded" if pixels.dropped_bits else "exact",
        "error_bound": pixels.error_bound(min(AUPRO_LIMITS.values())),
    }


def _count(judged: list[JudgedPicture]) -> dict[str, int]:
    defective = [item for item in judged if item.picture.defective]
    masked = sum(item.picture.mask_path is not None for item in defective)
    return {
        "good": len(judged) - len(defective),
        "defective": len(defective),
        "with_mask": masked,
        "empty_masks": sum(item.empty_mask for item in defective),
        "without_mask": len(defective) - masked,
    }


def _rows_by_kind(
    judged: list[JudgedPicture], labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float
) -> list[dict[str, Any]]:
    """Compare each kind of defect with all good pictures."""
    kinds = np.array([item.picture.kind for item in judged])
    rows = []
    for kind in sorted(set(kinds) - {GOOD}):
        chosen = (kinds == kind) | ~labels
        rows.append(
            {
                "kind": str(kind),
                "pictures": int(np.sum(kinds == kind)),
                "image_auroc": metrics.auroc(labels[chosen], scores[chosen]),
                "recall_at_threshold": metrics.recall_at(labels[chosen], scores[chosen], threshold),
            }
        )
    return rows

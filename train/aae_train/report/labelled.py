"""What the shipped detector says of labelled test pictures, where the data folder has some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect.bench.dataset import GOOD, LabelledPicture, read_mask
from aae_detect.errors import AaeDetectError
from aae_detect.geometry import fit_image
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import prepare
from aae_detect.quiet_opencv import quiet_opencv
from aae_train.config import TrainConfig
from aae_train.held_out import Detect
from aae_train.labels import find_labels
from aae_train.report.measure import Shown

MOST_PER_KIND = 200
"""Test pictures of a kind that are judged, evenly spread; `aae-bench accuracy` takes all."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A labelled picture and its score."""

    picture: LabelledPicture
    score: float

    @property
    def name(self) -> str:
        """Folder and file name."""
        return f"{self.picture.kind}/{self.picture.path.name}"

    def is_wrong(self, threshold: float) -> bool:
        """Say whether the verdict contradicts the label; a score that is no number is always wrong."""
        return not (self.score > threshold if self.picture.defective else self.score <= threshold)


@dataclass(frozen=True, eq=False)
class Labelled:
    """All that was judged."""

    judged: tuple[Judged, ...]
    """Highest score first; empty where there are no labels."""

    why_not: str
    """Why there is nothing; else empty."""

    unreadable: tuple[str, ...] = ()
    """Names of the pictures that could not be read."""

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(n,), True where defective."""
        return np.array([item.picture.defective for item in self.judged], np.bool_)

    @property
    def scores(self) -> NDArray[np.float64]:
        """(n,)."""
        return np.array([item.score for item in self.judged], np.float64)


def judge_labelled(config: TrainConfig, detect: Detect) -> Labelled:
    """Judge the labelled pictures of the folder that a run learned from, where it has some."""
    found = find_labels(Path(config.data), MOST_PER_KIND)
    if found.labelled is None:
        return Labelled((), found.why_not.replace("DATA", "the data folder"))
    judged, unreadable = [], []
    with quiet_opencv():
        for picture in found.labelled.pictures:
            try:
                image, _ = prepare(read_picture(picture.path), config.input_hw, config.fit, config.bits)
            except AaeDetectError:
                unreadable.append(f"{picture.kind}/{picture.path.name}")
                continue
            judged.append(Judged(picture, float(detect(image[np.newaxis].copy()).scores[0])))
    judged.sort(key=lambda item: (-item.score, item.name))
    kinds = {item.picture.defective for item in judged}
    if len(kinds) < 2:
        return Labelled((), "its test pictures cannot be read", tuple(unreadable))
    return Labelled(tuple(judged), "", tuple(unreadable))


def show_labelled(item: Judged, config: TrainConfig, detect: Detect) -> Shown:
    """Look at a labelled picture again."""
    image, placement = prepare(read_picture(item.picture.path), config.input_hw, config.fit, config.bits)
    mask = None
    if item.picture.mask_path is not None:
        try:
            drawn = read_mask(item.picture.mask_path, placement.frame_hw).astype(np.uint8) * np.uint8(255)
            mask = fit_image(drawn, placement) > 0
        except AaeDetectError:  # damaged, or of another size: the picture is shown without it
            mask = None
    answers = detect(image[np.newaxis].copy())
    return Shown(
        name=item.name,
        kind="",
        picture=image,
        mask=mask,
        reconstruction=answers.reconstructions[0],
        anomaly_map=answers.anomaly_maps[0],
        score=item.score,
        defective=item.picture.defective,
    )


def choose_to_show(judged: Sequence[Judged], threshold: float, count: int) -> list[Judged]:
    """Choose what tells most: missed defects and rejected good pictures, the furthest from the threshold first.

    Where fewer than `count` are wrong, the rest are the closest calls of either kind.
    """
    missed = [item for item in reversed(judged) if item.picture.defective]  # lowest score first
    rejected = [item for item in judged if not item.picture.defective]  # highest score first
    half = count // 2
    wrong_missed = [item for item in missed if item.is_wrong(threshold)]
    wrong_rejected = [item for item in rejected if item.is_wrong(threshold)]
    # Each side may use the room that the other leaves.
    first = wrong_missed[: max(half, count - len(wrong_rejected))]
    chosen = [*first, *wrong_rejected[: count - len(first)]]
    for ranked in (missed, rejected):
        room = count - len(chosen) if ranked is rejected else (count - len(chosen) + 1) // 2
        chosen += [item for item in ranked if item not in chosen][:room]

    def rank(item: Judged) -> tuple[bool, bool, float]:
        defective = item.picture.defective
        return not item.is_wrong(threshold), not defective, item.score if defective else -item.score

    return sorted(chosen, key=rank)


def kinds_of(judged: Sequence[Judged]) -> list[tuple[str, list[Judged]]]:
    """Return the pictures of each kind, good ones last."""
    names = sorted({item.picture.kind for item in judged}, key=lambda kind: (kind == GOOD, kind))
    return [(name, [item for item in judged if item.picture.kind == name]) for name in names]

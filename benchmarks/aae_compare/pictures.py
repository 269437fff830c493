"""Which pictures a comparison rests on: labelled ones, or held-back good ones with drawn defects."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench.dataset import GOOD, LabelledSet, find_labelled_set, read_mask
from aae_detect.errors import AaeDetectError, ConfigError
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import to_bgr8
from aae_train.config import TrainConfig
from aae_train.labels import Labels
from aae_train.pictures import find_pictures, load_picture, tell_trouble
from aae_train.split import Split
from aae_train.synthetic import make_defect

FiguresFrom = Literal["labels", "synthetic defects"]
MOST_HELD_BACK = 300
"""More good pictures would cost time and hardly narrow an interval."""

SYNTHETIC = "drawn"
"""Folder, and so kind, of the pictures with a drawn defect."""

_SEED = 4711


def fingerprint(data: Path, labels: Labels) -> str:
    """Return a SHA-256 over names and sizes of the pictures that take part, lower-case hex.

    Not over their bytes: this is to notice that another folder was given, and must not take minutes.
    """
    folder = find_pictures(data)
    paths = [*folder.good, *folder.validation]
    paths += [picture.path for picture in labels.labelled.pictures] if labels.labelled else []
    lines = [f"{folder.name(path)} {path.stat().st_size}" for path in paths]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()  # names of any bytes


def check_labelled(labelled: LabelledSet) -> None:
    """Read every test picture and its mask, before hours of training rest on them.

    Raises:
        ConfigError: some cannot be read, or a mask is not of its picture's size.
    """
    unusable = []
    for picture in labelled.pictures:
        try:
            size_hw = to_bgr8(read_picture(picture.path)).shape[:2]
            if picture.mask_path is not None:
                read_mask(picture.mask_path, size_hw)
        except AaeDetectError as error:
            unusable.append(tell_trouble(picture.path, error))
    if unusable:
        raise ConfigError(
            f"{len(unusable)} of {len(labelled.pictures)} test pictures of {labelled.root} cannot be used, the first: "
            f"{unusable[0]}; repair it, or take it out of the folder"
        )


@dataclass(frozen=True)
class HeldBack:
    """Good pictures for looking at a trained model, at most 300, evenly spread over those that there are."""

    paths: tuple[Path, ...]
    what: str
    """What they are, in words."""

    learned: bool
    """Whether the model has learned them after all: a cross-fit holds none back."""


def find_held_back(run: Path, data: Path, labels: Labels) -> HeldBack:
    """Return good pictures that a run did not learn from, or, where there are none, those that it did."""
    folder = find_pictures(data)
    paths = (*folder.good, *folder.validation)
    split = Split.from_json((run / "split.json").read_text(encoding="utf-8"), [folder.name(path) for path in paths])
    if split.calibrate:
        return HeldBack(_spread([paths[number] for number in split.calibrate]), "calibration pictures", False)
    if labels.labelled:
        good = [picture.path for picture in labels.labelled.pictures if not picture.defective]
        return HeldBack(_spread(good), "good test pictures", False)
    return HeldBack(_spread([paths[number] for number in split.train]), "pictures that the model learned", True)


def draw_defects(held_back: HeldBack, config: TrainConfig, out: Path) -> LabelledSet:
    """Write a labelled set of good pictures and the same ones with a drawn defect each, at the model's size.

    The same pictures and settings always give the same set; one that is there already is kept.

    Args:
        held_back: The good pictures.
        config: Of a run: size and fit of the pictures.
        out: Folder to write, in MVTec AD layout; `aae-bench accuracy` can measure on it as well.
    """
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            folder = Path(scratch) / "set"
            _write_set(folder, held_back.paths, config)
            shutil.move(folder, out)  # whole, or not at all
    return find_labelled_set(out)


def _write_set(folder: Path, paths: tuple[Path, ...], config: TrainConfig) -> None:
    before = load_picture(paths[-1], config.input_hw, config.fit, config.bits)
    for number, path in enumerate(paths):
        picture = load_picture(path, config.input_hw, config.fit, config.bits)
        defective, mask, _ = make_defect(picture, np.random.default_rng([_SEED, number]), foreign=before)
        _write_png(folder / "test" / GOOD / f"{number:03d}.png", picture)
        _write_png(folder / "test" / SYNTHETIC / f"{number:03d}.png", defective)
        _write_png(folder / "ground_truth" / SYNTHETIC / f"{number:03d}.png", mask)
        before = picture


def _spread(paths: list[Path]) -> tuple[Path, ...]:
    places = np.linspace(0, len(paths) - 1, min(MOST_HELD_BACK, len(paths))).astype(int)
    return tuple(paths[place] for place in places)


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes())

"""Labelled test pictures in the MVTec AD folder layout.

    DATA/test/good/*                    good pictures
    DATA/test/DEFECT/*                  defective ones, one folder for each kind of defect
    DATA/ground_truth/DEFECT/STEM.png   mask of test/DEFECT/STEM.*, not 0 where defective; or STEM_mask.png

A picture's label is its folder's, whatever its mask says. Masks may be missing: the picture then counts for the image
figures only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError, SourceError
from aae_detect.picture_source import PICTURE_SUFFIXES, natural_key, read_picture

T = TypeVar("T")

GOOD = "good"
LONGEST_SIDE = 512
"""Pixel figures are computed at the picture's own resolution, shrunk to this where a side is longer."""


@dataclass(frozen=True)
class LabelledPicture:
    """One test picture."""

    path: Path
    kind: str
    """Name of its folder: `good`, or a kind of defect."""

    mask_path: Path | None
    """Where it is defective; None where nobody drew it, and for good pictures."""

    @property
    def defective(self) -> bool:
        """Whether its folder says so."""
        return self.kind != GOOD

    @property
    def has_pixel_truth(self) -> bool:
        """Whether it is known of every pixel what it is."""
        return not self.defective or self.mask_path is not None


@dataclass(frozen=True)
class LabelledSet:
    """All test pictures of a set: good ones first, then kind by kind, each in natural order of the names."""

    root: Path
    pictures: tuple[LabelledPicture, ...]
    unused_masks: int
    """Masks that belong to no picture; more than 0 hints at names that do not match."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of defect, sorted."""
        return tuple(sorted({picture.kind for picture in self.pictures if picture.defective}))


def find_labelled_set(root: Path, limit: int | None = None) -> LabelledSet:
    """Look through a folder in MVTec AD layout.

    Args:
        root: The folder that holds `test`.
        limit: At most so many pictures of each kind, spread evenly over the names; None takes all.

    Raises:
        ConfigError: the folder is not there, holds no `test`, or lacks good or defective pictures.
    """
    test = root / "test"
    if not root.is_dir():
        raise ConfigError(f"{root} is not a folder; give one in MVTec AD layout: test/good, test/DEFECT, ground_truth")
    if not test.is_dir():
        raise ConfigError(
            f"{root} has no folder test, it holds {_named(entry.name for entry in root.iterdir())}; expected the "
            "MVTec AD layout: test/good, test/DEFECT, ground_truth/DEFECT"
        )
    kinds = sorted((entry for entry in test.iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    by_kind = {entry.name: found for entry in kinds if (found := _list_pictures(entry))}
    good, defects = by_kind.pop(GOOD, []), by_kind
    if not good and not defects:
        raise ConfigError(f"{test} holds no pictures in folders; expected test/good and one folder for each defect")
    if not good:
        raise ConfigError(
            f"{test} has pictures in {_named(defects)}, none in good; good ones are needed to compare with"
        )
    if not defects:
        raise ConfigError(
            f"{test} has pictures in good only; add a folder with defective ones, or count false alarms with "
            f"`aae-detect --source {test / GOOD} --jsonl -`"
        )
    pictures = [LabelledPicture(path, GOOD, None) for path in _spread(good, limit)]
    unused = 0
    for kind, paths in defects.items():
        masks = _list_masks(root / "ground_truth" / kind)
        labelled = [LabelledPicture(path, kind, _mask_of(path, masks)) for path in paths]
        unused += len(set(masks.values()) - {picture.mask_path for picture in labelled})
        pictures += _spread(labelled, limit)
    return LabelledSet(root, tuple(pictures), unused)


def list_labelled_sets(root: Path) -> list[str]:
    """Return the names of the folders under `root` that hold a test folder, sorted."""
    return sorted(folder.parent.name for folder in root.glob("*/test") if folder.is_dir())


def read_mask(path: Path, picture_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask.

    Returns:
        (H, W), True where any channel is not 0.

    Raises:
        SourceError: it cannot be read, or is not of its picture's size.
    """
    stored = read_picture(path)
    mask = stored.any(axis=2) if stored.ndim == 3 else stored > 0
    if mask.shape != picture_hw:
        raise SourceError(
            f"mask {path} is {mask.shape[1]}x{mask.shape[0]}, its picture {picture_hw[1]}x{picture_hw[0]}; "
            "expected the same size: draw or resize the mask again"
        )
    return np.asarray(mask)


def shrunk_hw(picture_hw: tuple[int, int], longest: int = LONGEST_SIDE) -> tuple[int, int]:
    """Return the size at which pixels are counted: the picture's own, its longest side at most `longest`."""
    ratio = min(1.0, longest / max(picture_hw))
    return max(1, round(picture_hw[0] * ratio)), max(1, round(picture_hw[1] * ratio))


def shrink_mask(mask: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Shrink a mask by taking the nearest pixel, which keeps areas true.

    A mask that would lose its last pixel that way keeps every cell that it touches: a defect too thin for the grid is
    still a defect.
    """
    if mask.shape == size_hw:
        return mask
    values, size_wh = mask.astype(np.uint8) * 255, size_hw[::-1]
    nearest = np.asarray(cv2.resize(values, size_wh, interpolation=cv2.INTER_NEAREST_EXACT) > 0)
    if nearest.any() or not mask.any():
        return nearest
    return np.asarray(cv2.resize(values.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA) > 0)


def _list_pictures(folder: Path) -> list[Path]:
    found = (
        path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    return sorted((path for path in found if path.is_file()), key=lambda path: natural_key(path.name))


def _list_masks(folder: Path) -> dict[str, Path]:
    """Return a kind's masks by stem."""
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in _list_pictures(folder) if path.suffix.lower() == ".png"}


def _mask_of(picture: Path, masks: dict[str, Path]) -> Path | None:
    return masks.get(picture.stem, masks.get(f"{picture.stem}_mask"))


def _spread(items: list[T], limit: int | None) -> list[T]:
    """Take at most `limit` items, evenly spread, first and last among them."""
    if limit is None or len(items) <= limit:
        return items
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, limit)]


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:8]) or "nothing"

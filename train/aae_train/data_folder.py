"""Which files of a folder are good pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aae_detect.errors import ConfigError, SourceError
from aae_detect.picture_source import list_pictures

_OURS = (("config.json", "split.json"), ("compare.json",))
"""Files by which a folder is known that aae-train or aae-compare has written: all of one kind."""

_WHAT_TO_DO = "put pictures of good parts there (at least 2, better 100 or more), or give another folder"


@dataclass(frozen=True)
class DataFolder:
    """What a folder holds for training."""

    root: Path
    good: tuple[Path, ...]
    """Good pictures, in natural order (`part-2` before `part-10`)."""

    validation: tuple[Path, ...]
    """More good pictures, meant for calibration; empty where there is no such folder."""

    layout: Literal["mvtec", "folder"]

    def name(self, path: Path) -> str:
        """Return a picture's name relative to `root`, with forward slashes: what a run writes down."""
        return path.relative_to(self.root).as_posix()


def find_pictures(data: Path) -> DataFolder:
    """Find the good pictures of a folder.

    A folder that holds `train/good` has the layout of MVTec AD: `train/good` and, where it exists, `validation/good`
    are read, and nothing else in it is looked at. Of any other folder all pictures are taken, at any depth. Hidden
    files and folders are skipped, and so is what training and comparing have written there: sheets and curves are no
    parts, and a run would learn from the run before it.

    Raises:
        ConfigError: there is no such folder, it holds no pictures, or it seems to hold defective ones too.
    """
    if not data.is_dir():
        found = "a file" if data.exists() else "nothing"
        raise ConfigError(f"{data}: found {found}, expected a folder of good pictures; check the path")
    good_folder, validation_folder = data / "train" / "good", data / "validation" / "good"
    if good_folder.is_dir():
        validation = _list(validation_folder) if validation_folder.is_dir() else ()
        return DataFolder(data, _list(good_folder), validation, "mvtec")
    good = _list(data)
    inside = {part for path in good for part in path.relative_to(data).parts[:-1]}
    if "ground_truth" in inside or {"train", "test"} <= inside:
        raise ConfigError(
            f"{data} holds folders named test or ground_truth but no train/good, so defective pictures would be taken "
            "for good ones; give the one set that holds train/good, or a folder of good pictures only"
        )
    return DataFolder(data, good, (), "folder")


def _list(folder: Path) -> tuple[Path, ...]:
    try:
        listed = list_pictures(folder)
    except SourceError as error:
        raise ConfigError(f"{error}; {_WHAT_TO_DO}") from error
    inner = {place for path in listed for place in path.parents if folder in place.parents}
    ours = {place for place in inner if any(all((place / name).is_file() for name in names) for names in _OURS)}
    found = tuple(path for path in listed if ours.isdisjoint(path.parents))
    if not found:
        raise ConfigError(f"folder {folder} holds no pictures but those of runs and comparisons; {_WHAT_TO_DO}")
    return found

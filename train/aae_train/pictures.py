"""The good pictures: checked, and read the way the device will read them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import AaeDetectError, ConfigError
from aae_detect.geometry import place
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import prepare
from aae_detect.quiet_opencv import quiet_opencv
from aae_detect.spec import BITS, Fit
from aae_train.data_folder import DataFolder as DataFolder
from aae_train.data_folder import find_pictures as find_pictures
from aae_train.picture_mask import paint

DEFAULT_BUDGET_BYTES = 2 * 2**30
MOST_NAMED = 20
"""Names in a message; more are counted."""

_ASPECT_TOLERANCE = 1.02
_SMALLEST_INPUT = 32


@dataclass(frozen=True)
class PictureInfo:
    """What is known of a picture that could be read."""

    path: Path
    size_hw: tuple[int, int]
    channels: int
    bits: int
    """8 or 16: what the file holds for each channel."""

    sha256: str
    """Of the file's bytes, lower-case hex."""

    largest: int
    """Largest value of its pixels."""


class PictureStore:
    """Pictures at the model's input size, by number; kept in memory where all of them fit."""

    def __init__(
        self,
        paths: Sequence[Path],
        input_hw: tuple[int, int],
        fit: Fit = "stretch",
        bits: int | None = None,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        inside: NDArray[np.bool_] | None = None,
    ) -> None:
        """Remember where the pictures are; each is read when first asked for.

        Args:
            paths: One file for each number.
            input_hw: Height and width of the model's input, pixels.
            fit: How a picture is put into the input.
            bits: Depth that 16-bit pictures carry; None means all 16.
            budget_bytes: Memory that the pictures may take; above it, none is kept and each is read when asked for.
            inside: (H, W), where to look; the rest is painted over.
        """
        self.paths = tuple(paths)
        self.input_hw, self.fit, self.bits, self.inside = input_hw, fit, bits, inside
        self.in_memory = len(self.paths) * input_hw[0] * input_hw[1] * 3 <= budget_bytes
        self._kept: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """Return a picture, HxWx3 uint8 BGR of the input's size, read-only; safe to call from several threads.

        Raises:
            ConfigError: the file cannot be read any more.
        """
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        try:
            picture = load_picture(self.paths[number], self.input_hw, self.fit, self.bits)
        except AaeDetectError as error:
            raise ConfigError(f"{error}; put the picture back, or start a new run without it") from error
        return self.keep(number, picture)

    def keep(self, number: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Take a picture that was read elsewhere, and paint it; keep it if there is room for all."""
        picture = paint(picture, self.inside)
        picture.setflags(write=False)
        if self.in_memory:
            self._kept[number] = picture
        return picture


def load_picture(
    path: Path, input_hw: tuple[int, int], fit: Fit = "stretch", bits: int | None = None
) -> NDArray[np.uint8]:
    """Read a picture as the device would see it: decoded, converted and fitted by the device's own code.

    Returns:
        `input_hw` x 3 uint8 BGR.

    Raises:
        SourceError: the file is missing, damaged or no picture.
        FrameError: its pixels are of a kind that is not supported.
    """
    return prepare(read_picture(path), input_hw, fit, bits)[0]


@dataclass(frozen=True)
class PictureReport:
    """What came of checking the pictures."""

    pictures: tuple[PictureInfo, ...]
    """The readable ones, in the order given."""

    skipped: tuple[str, ...]
    """Those that could not be read, each with the reason."""

    warnings: tuple[str, ...]
    """What a person should know, and what to do."""

    groups: tuple[int, ...]
    """For each readable picture a number; byte-identical files share it."""

    store: PictureStore
    """The readable pictures, fitted."""

    def count(self, paths: Iterable[Path]) -> int:
        """Count the readable ones among some files: say, what is left of the validation pictures."""
        return len({info.path for info in self.pictures} & set(paths))


def readable_sizes(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """Read the heights and widths of pictures, past those that cannot be read: `check_pictures` tells of them."""
    for path in paths:
        with suppress(AaeDetectError):
            height, width = read_picture(path).shape[:2]
            yield height, width


def check_pictures(
    paths: Sequence[Path],
    input_hw: tuple[int, int],
    skip_unreadable: bool = False,
    *,
    fit: Fit = "stretch",
    bits: int | None = None,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
    inside: NDArray[np.bool_] | None = None,
) -> PictureReport:
    """Read every picture once, and say what is wrong with them.

    Args:
        paths: Files, from `find_pictures`.
        input_hw: Height and width of the model's input, pixels.
        skip_unreadable: Leave out what cannot be read, instead of refusing all.
        fit: How a picture is put into the input.
        bits: Depth that 16-bit pictures carry; None means all 16.
        budget_bytes: As `PictureStore`.
        inside: As `PictureStore`.

    Raises:
        ConfigError: a picture cannot be read and may not be skipped, fewer than two can be read, or a mask cannot hold
            for all of them.
    """
    whole = PictureStore(paths, input_hw, fit, bits, budget_bytes, inside)
    # Held here as well, because the threads' own comings and goings would set the level of one another.
    with quiet_opencv(), ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as executor:
        results = list(executor.map(lambda number: _check_one(whole, number), range(len(paths))))
    skipped = tuple(result for result in results if isinstance(result, str))
    readable = [number for number, result in enumerate(results) if not isinstance(result, str)]
    pictures = tuple(result for result in results if not isinstance(result, str))
    if skipped and not skip_unreadable:
        raise ConfigError(
            f"{len(skipped)} of {len(paths)} pictures cannot be read:\n{_listed(skipped)}\n"
            "repair or remove them, or leave them out with --skip-unreadable"
        )
    if len(pictures) < 2:
        raise ConfigError(
            f"{len(pictures)} pictures can be used, expected at least 2: with fewer, nothing can be held back to set "
            "the threshold; add good pictures (better 100 or more)"
        )
    warnings = [f"{len(skipped)} pictures cannot be read and were left out:\n{_listed(skipped)}"] if skipped else []
    warnings += _judge_sizes(pictures, input_hw, fit) + _judge_depth(pictures, bits)
    if inside is not None and fit != "stretch":
        _require_one_shape(pictures, fit)
    first_of: dict[str, int] = {}
    groups = tuple(first_of.setdefault(info.sha256, len(first_of)) for info in pictures)
    if copies := len(groups) - len(first_of):
        warnings.append(
            f"{copies} of {len(groups)} pictures are byte-identical copies of others; they stay in the same part of "
            "the split, yet they add nothing: take more pictures instead"
        )
    store = PictureStore([info.path for info in pictures], input_hw, fit, bits, budget_bytes, inside)
    for place_in_store, number in enumerate(readable):
        if whole.in_memory:
            store.keep(place_in_store, whole[number])
    return PictureReport(pictures, skipped, tuple(warnings), groups, store)


def _check_one(store: PictureStore, number: int) -> PictureInfo | str:
    """Read one picture into the store; say what it is, or why it cannot be read."""
    path = store.paths[number]
    try:
        data = path.read_bytes()
        if is_cut_off(data):
            return f"picture {path} is cut off: its end is missing; copy it again"
        image = read_picture(path)
        store.keep(number, prepare(image, store.input_hw, store.fit, store.bits)[0])
    except (AaeDetectError, OSError) as error:
        return tell_trouble(path, error)
    channels = 1 if image.ndim == 2 else image.shape[2]
    digest, size_hw = hashlib.sha256(data).hexdigest(), (image.shape[0], image.shape[1])
    return PictureInfo(path, size_hw, channels, image.dtype.itemsize * 8, digest, int(image.max()))


def tell_trouble(path: Path, error: Exception) -> str:
    """Say what is wrong with a picture, by its path, which not every error names."""
    return str(error) if str(path) in str(error) else f"picture {path}: {error}"


def is_cut_off(data: bytes) -> bool:
    """Say whether a JPEG or PNG file lacks its end; other kinds are left to their decoders, which refuse such files.

    Some versions of OpenCV decode what there is and leave the rest gray, without a word.
    """
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    # Segments up to the first scan are skipped by their lengths: a thumbnail among them has an end of its own.
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return False  # damaged in another way; the decoder will say
        if data[at + 1] == 0xDA:
            return data.find(b"\xff\xd9", at) < 0
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    return True


def _require_one_shape(pictures: Sequence[PictureInfo], fit: Fit) -> None:
    """Refuse pictures that `fit` puts into different places: one mask could not hold for all of them."""
    aspects = [info.size_hw[1] / info.size_hw[0] for info in pictures]
    if max(aspects) > min(aspects) * _ASPECT_TOLERANCE:
        raise ConfigError(
            f"--mask with --fit {fit} needs pictures of one shape, and width to height goes from {min(aspects):.2f} to "
            f"{max(aspects):.2f}; use --fit stretch, or pictures of one camera"
        )


def _judge_sizes(pictures: Sequence[PictureInfo], input_hw: tuple[int, int], fit: Fit) -> list[str]:
    """Warn of pictures that must be blown up, and of shapes that `stretch` would distort differently."""
    warnings = []
    sizes = [info.size_hw for info in pictures]
    small = [size for size in sizes if max(place(size, input_hw, fit).scale_yx) > 1]
    if small:
        height, width = (
            min(input_hw[axis], max(_SMALLEST_INPUT, min(size[axis] for size in small) // 32 * 32)) for axis in (0, 1)
        )
        warnings.append(
            f"{len(small)} of {len(sizes)} pictures are smaller than the model's input {input_hw[0]}x{input_hw[1]} in "
            f"height or width (the smallest is {'x'.join(map(str, min(small)))}) and are blown up, which adds cost and "
            f"no detail; consider --size {height}x{width}"
        )
    aspects = [width / height for height, width in sizes]
    if fit == "stretch" and max(aspects) > min(aspects) * _ASPECT_TOLERANCE:
        warnings.append(
            f"the pictures have different shapes (width to height from {min(aspects):.2f} to {max(aspects):.2f}), and "
            "stretching distorts each differently; consider --fit letterbox"
        )
    return warnings


def _judge_depth(pictures: Sequence[PictureInfo], bits: int | None) -> list[str]:
    """Warn of 16-bit files that look like those of a camera with fewer bits: all would be learned nearly black."""
    deep = [info for info in pictures if info.bits == 16]
    largest = max((info.largest for info in deep), default=0)
    carried = next((depth for depth in BITS if largest < 2**depth), max(BITS))
    if bits is not None or not largest or carried == max(BITS):
        return []
    return [
        f"{len(deep)} of {len(pictures)} pictures are 16-bit files and none of them exceeds {largest} of 65535, as a "
        f"camera of {carried} bits writes them: they are seen at {largest / 65535:.0%} of the brightness at most; if "
        f"that is so, start again with --bits {carried}, and ask the camera for it by aae-detect --bits {carried}"
    ]


def _listed(lines: Sequence[str]) -> str:
    """One line for each, the first ones only."""
    more = [f"  and {len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else []
    return "\n".join([f"  {line}" for line in lines[:MOST_NAMED]] + more)

"""Pictures from files: one, a list, a folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import SourceError
from aae_detect.frames import Frame, FrameSource
from aae_detect.quiet_opencv import quiet_opencv
from aae_detect.source_names import printable

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Endings that are taken for pictures in a folder, in lower case."""


MAX_BYTES = 2**30
"""Of a file: 100 megapixels, the most that are decoded, of three colours in 16 bits have 600 million bytes."""


class PictureSource(FrameSource):
    """Gives pictures from files, in the order given; a picture that cannot be read is a frame without an image.

    Args:
        paths: at least one file.
        name: for people; by default the first path.
        fps: nominal frames per second, for a saved video; 0.0 where nothing is known.

    Raises:
        SourceError: no paths.
    """

    live = False

    def __init__(self, paths: Sequence[str | os.PathLike[str]], name: str = "", fps: float = 0.0) -> None:
        if not paths:
            raise SourceError("no pictures: a list of picture files is empty; give at least one")
        self.paths = tuple(Path(path) for path in paths)
        self.name = printable(name or str(self.paths[0]))
        self.fps = fps
        self.frame_count = len(self.paths)
        self._next = 0

    def read(self) -> Frame | None:
        """Return the next picture, or None at the end; its `source` is the picture's own path, `printable`."""
        index = self._next
        if index >= len(self.paths):
            return None
        self._next = index + 1
        path = self.paths[index]
        image, problem = None, ""
        try:
            image = read_picture(path)
        except SourceError as error:
            problem = printable(str(error))
        return Frame(image, index, datetime.now(UTC).astimezone(), printable(str(path)), problem)

    def close(self) -> None:
        """End the source."""
        self._next = len(self.paths)


def read_picture(path: str | os.PathLike[str]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read one picture as a viewer shows it.

    The bytes are read by Python and decoded from memory, so that any file name works. EXIF orientation is applied, a
    palette becomes colour, 1 bit becomes 8, alpha is left out, of several pages the first is taken. 16 bits stay 16.

    Returns:
        HxW gray or HxWx3 BGR, uint8 or uint16.

    Raises:
        SourceError: the file is missing, empty, cut off, too large or no picture of a supported kind.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"picture {path} is no file; expected a picture")
        if status.st_size > MAX_BYTES:
            raise SourceError(f"picture {path} has {status.st_size} bytes, more than the {MAX_BYTES} that one may have")
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SourceError(f"picture {path} cannot be read: {error.strerror or error}") from error
    if data.size == 0:
        raise SourceError(f"picture {path} is empty (0 bytes); copy it again")
    try:
        with quiet_opencv():
            image = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise SourceError(f"picture {path} has too many pixels; make it smaller") from error
        raise SourceError(f"picture {path} cannot be decoded ({_last_line(error)})") from error
    if image is None:
        raise SourceError(f"picture {path} cannot be decoded: it is cut off, damaged, or no picture; copy it again")
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    if image.dtype == np.uint16:
        return np.asarray(image, np.uint16)
    raise SourceError(f"picture {path} holds {image.dtype} values; expected 8 or 16 bits: convert it first")


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the pictures below a folder, however deep, in natural order; hidden files and folders are left out.

    Raises:
        SourceError: no such folder, it cannot be read, or it holds no pictures.
    """
    found: list[Path] = []
    others = 0

    def refuse(error: OSError) -> None:
        raise SourceError(f"folder {error.filename} cannot be read: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                if name.lower().endswith(PICTURE_SUFFIXES):
                    found.append(Path(place, name))
                else:
                    others += 1
    if not found:
        holds = f"{others} other files" if others else "no files"
        raise SourceError(f"folder {folder} holds no pictures ({holds}); expected {', '.join(PICTURE_SUFFIXES)}")
    return sorted(found, key=natural_key)


def natural_key(path: str | os.PathLike[str]) -> list[tuple[int, int, str]]:
    """Return a sort key that puts `2.png` before `10.png`."""
    pieces = re.split(r"(\d+)", os.fspath(path))
    key = [(0, int(piece), "") if number % 2 else (1, 0, piece.lower()) for number, piece in enumerate(pieces)]
    return [*key, (-1, 0, os.fspath(path))]


def _last_line(error: cv2.error) -> str:
    return str(error).strip().splitlines()[-1]

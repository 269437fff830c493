"""Where in a frame to look: polygons in frame coordinates, or a mask picture.

    {"frame": [1920, 1080],                       width and height of the frame that the points lie in
     "look": [[[200, 100], [1700, 100], [1700, 980], [200, 980]]],
     "ignore": [[[900, 500], [1000, 500], [1000, 600], [900, 600]]]}

What lies in a `look` polygon counts, or everything where there is none; what lies in an `ignore` polygon does not. A
picture looks where it is not black. Both hold for frames of any size: they are enlarged with it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.checked_json import read_dataclass
from aae_detect.errors import ConfigError, SourceError
from aae_detect.geometry import Placement
from aae_detect.limited_read import read_limited
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import to_bgr8
from aae_detect.whole_file import write_whole

MAX_BYTES = 2**20
MAX_POINTS = 10_000
"""Of all polygons; a larger file is refused before it costs anything."""

MAX_SIDE = 16384

_FRACTION_BITS = 4
"""OpenCV draws polygons in sixteenths of a pixel."""

_FINER, _MOST_FINER_PX = 5, 2048
"""An odd factor has a pixel at the centre."""

Point = tuple[float, float]
Polygon = tuple[Point, ...]


@dataclass(frozen=True)
class Polygons:
    """What a JSON file says."""

    frame: tuple[int, int]
    """Width and height of the frame that the points lie in, pixels."""

    look: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()

    def __post_init__(self) -> None:
        if not all(1 <= side <= MAX_SIDE for side in self.frame):
            raise ValueError(f"frame is {self.frame[0]}x{self.frame[1]}, expected 1 to {MAX_SIDE} pixels a side")
        everything = (*self.look, *self.ignore)
        if any(len(polygon) < 3 for polygon in everything):
            raise ValueError("a polygon has fewer than three points")
        if sum(map(len, everything)) > MAX_POINTS:
            raise ValueError(f"there are more than {MAX_POINTS} points")
        points = [value for polygon in everything for point in polygon for value in point]
        if not all(math.isfinite(value) and abs(value) <= 2 * MAX_SIDE for value in points):
            raise ValueError("a point lies nowhere near the frame")

    def to_json(self) -> str:
        """Return the file, a polygon a line: people edit it."""
        parts = [f'{{"frame": {json.dumps(self.frame)}']
        for name in ("look", "ignore"):
            polygons = ",\n  ".join(json.dumps(polygon) for polygon in getattr(self, name))
            parts.append(f' "{name}": [{polygons}]')
        return ",\n".join(parts) + "}\n"


@dataclass(frozen=True, eq=False)
class FrameMask:
    """Where to look, for frames of any size."""

    polygons: Polygons | None = None
    picture: NDArray[np.uint8] | None = None
    """HxW, 0 where nothing counts; instead of polygons."""

    @property
    def sha256(self) -> str:
        """SHA-256 of what it says, lower-case hex: what was learned with one mask is not for another."""
        if self.polygons is not None:
            return hashlib.sha256(self.polygons.to_json().encode()).hexdigest()
        looked_at = np.zeros((0, 0), bool) if self.picture is None else self.picture > 0
        return hashlib.sha256(repr(looked_at.shape).encode() + np.packbits(looked_at).tobytes()).hexdigest()

    def inside(self, size_hw: tuple[int, int], placement: Placement | None = None) -> NDArray[np.bool_]:
        """Say which pixels count.

        Args:
            size_hw: Of the answer, pixels: the frame's; or with a placement, the model's input.
            placement: Where a frame lies in the model's input; then the answer is that of the input.

        Returns:
            HxW bool. What of the input no frame covers does not count.
        """
        frame_hw = size_hw if placement is None else placement.frame_hw
        scale_yx = (1.0, 1.0) if placement is None else placement.scale_yx
        offset_yx = (0.0, 0.0) if placement is None else placement.offset_yx
        if self.picture is not None:
            height, width = self.picture.shape
            to_input = np.array(
                [
                    [scale_yx[1] * frame_hw[1] / width, 0, offset_yx[1]],
                    [0, scale_yx[0] * frame_hw[0] / height, offset_yx[0]],
                ]
            )
            # Pixel centres lie at halves: OpenCV maps indices.
            to_input[:, 2] += to_input[:, :2] @ (0.5, 0.5) - 0.5
            whole = cv2.warpAffine(self.picture, to_input, size_hw[::-1], flags=cv2.INTER_NEAREST)
            return np.asarray(whole > 0)
        assert self.polygons is not None
        width, height = self.polygons.frame
        scale = np.array([scale_yx[1] * frame_hw[1] / width, scale_yx[0] * frame_hw[0] / height])
        offset = np.array([offset_yx[1], offset_yx[0]])

        ignored = _fill(self.polygons.ignore, scale, offset, size_hw)
        if not self.polygons.look:
            return np.logical_not(ignored)
        return np.logical_and(_fill(self.polygons.look, scale, offset, size_hw), np.logical_not(ignored))

    def outlines(self, frame_hw: tuple[int, int]) -> list[NDArray[np.int32]]:
        """Return the borders between what counts and what does not, (points, 1, 2) each, frame pixels."""
        inside = self.inside(frame_hw)
        # The frame's own edge is no border: one row more on each side goes on as the last one does.
        wide = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        found, _ = cv2.findContours(wide, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1, offset=(-1, -1))
        return [np.asarray(outline, np.int32) for outline in found] if not inside.all() else []

    def cells(self, placement: Placement, map_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Say which cells of the map count: those with a pixel inside.

        A defect inside always counts then, also at the very edge; one outside counts only as far as the map blurs it
        over the edge, some cells.
        """
        (height, width), (rows, columns) = placement.input_hw, map_hw
        inside = self.inside(placement.input_hw, placement)
        return np.asarray(inside.reshape(rows, height // rows, columns, width // columns).any(axis=(1, 3)))


def _fill(
    polygons: tuple[Polygon, ...], scale: NDArray[np.float64], offset: NDArray[np.float64], size_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """Say which pixels have their centre in one of the polygons, after `x * scale + offset`."""
    # OpenCV fills a polygon's rim as well; of a finer picture that is less than half a pixel.
    finer = _FINER if max(size_hw) <= _MOST_FINER_PX else 1
    canvas = np.zeros((size_hw[0] * finer, size_hw[1] * finer), np.uint8)
    for polygon in polygons:
        points = (np.asarray(polygon, np.float64) * scale + offset) * finer - 0.5
        cv2.fillPoly(canvas, [np.rint(points * 2**_FRACTION_BITS).astype(np.int32)], (1,), cv2.LINE_8, _FRACTION_BITS)
    return np.asarray(canvas[finer // 2 :: finer, finer // 2 :: finer] > 0)


def read_mask(path: str | Path) -> FrameMask:
    """Read a mask: a JSON file of polygons, or a picture that is black where nothing counts.

    Raises:
        ConfigError: missing, too large, damaged, or nothing is left to look at.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        mask = FrameMask(polygons=read_polygons(path))
        width, height = mask.polygons.frame if mask.polygons else (1, 1)
    else:
        try:
            picture = to_bgr8(read_picture(path)).max(axis=2)
        except (SourceError, ValueError) as error:  # also of a name that no file can have
            raise ConfigError(f"mask {path}: {error}") from error
        mask = FrameMask(picture=picture)
        height, width = picture.shape
    if not mask.inside((height, width)).any():
        raise ConfigError(f"mask {path} leaves nothing to look at; draw where parts lie, or leave it out")
    return mask


def read_polygons(path: Path) -> Polygons:
    """Read a JSON file of polygons.

    Raises:
        ConfigError: missing, too large, or something else.
    """
    expected = 'expected {"frame": [WIDTH, HEIGHT], "look": [[[x, y], ...], ...], "ignore": [...]}'
    try:
        data: Any = json.loads(read_limited(path, MAX_BYTES))
        return read_dataclass(Polygons, data, "mask")
    except OSError as error:
        raise ConfigError(f"mask {path} cannot be read: {error.strerror}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"mask {path}: {error}; {expected}") from error


def write_polygons(path: Path, polygons: Polygons) -> None:
    """Write a JSON file of polygons, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    write_whole(path, polygons.to_json())

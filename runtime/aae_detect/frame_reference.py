"""What frames of one camera look like when all is well, and how far from that is too far.

`aae-calibrate` measures it on good frames. A limit lies beyond what any of them showed: by half of what the farthest
one lay off the middle, and at least by a step that matters. What says nothing of a scene is left out: where everything
moves, nobody can tell whether the camera did.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.camera_shift import LEAST_SURE, find_shift, spectrum_of
from aae_detect.frame_statistics import BLOCKS, SMALL, FrameStatistics

_BEYOND = 0.5
"""How much farther than the farthest good frame a frame may lie, as a share of that one's distance from the middle."""

_SATURATED_STEP, _SHARP_STEP, _CAST_STEP, _SHIFT_STEP, _FLAT_STEP = 0.08, 0.4, 0.1, 0.02, 0.2
"""Steps that matter at least: share of pixels, logarithms, logarithms, share of the picture's side, share of blocks."""

_DARK = 0.5
"""Share of the light of the darkest good frame that a frame must have: a lamp that ages is no reason to stop."""

_LEVEL_STEP, _STRUCTURE = 24.0, 0.5
"""A block is foreign where its level lies so many gray levels outside of what it had, or where it has less than this
share of the least structure that it showed."""

_FOREIGN_STEP = 0.2
"""Share of the blocks that may be foreign beyond what good frames had: a part lies differently, a cap covers all."""

_FLAT = 0.3
"""A block is flat where its structure is less than this share of what good blocks have in the middle."""

_MOST_SHIFT, _LEAST_FRAMES = 0.03, 30
"""Where good frames seem to move farther than this share of the picture's side, or have nothing in common, or are too
few to know, nobody can tell whether the camera has moved."""

_LIGHTNESS_SPREAD, _SHARPNESS_SPREAD = 2.0, 0.05
"""Smallest spreads of the mean gray level and of the sharpness: few frames may have agreed by chance."""

ANY_SIZE = (0, 0)
"""Size of frames where good ones had several: pictures of a folder may."""


@dataclass(frozen=True)
class FrameReference:
    """Limits for the frames of one camera."""

    frame_hw: tuple[int, int]
    """Height and width of a frame, pixels, or `ANY_SIZE`."""

    least_brightest: float
    """Gray level that the brightest hundredth of a frame has to reach."""

    most_saturated: float
    """Share of the pixels, 0 to 1."""

    least_sharpness: float
    cast: tuple[float, float]
    """Usual logarithms of blue and red against green."""

    most_cast: float
    """Distance from the usual ones."""

    most_foreign: float
    """Share of the blocks, 0 to 1."""

    flat_below: float
    """Standard deviation of a block below which it is flat, gray levels."""

    most_flat: float
    """Share of the blocks, 0 to 1."""

    most_shift: float
    """Share of the picture's side; 1 where the scene cannot tell."""

    usual_lightness: tuple[float, float]
    """Median and spread of the mean gray level, for `drift`."""

    usual_sharpness: tuple[float, float]
    """Median and spread of the sharpness."""

    longest_repeat_s: float
    """Longest time for which good frames were the very same, seconds."""

    planes: str
    """Lowest and highest level and least structure of each block, and the mean picture, see `unpack_planes`."""

    def __post_init__(self) -> None:
        limits = [value for value in asdict(self).values() if isinstance(value, float)]
        usual = *self.cast, *self.usual_lightness, *self.usual_sharpness
        if not all(map(math.isfinite, (*limits, *usual))):
            raise ValueError("the limits for frames are not finite numbers")
        if min(self.usual_lightness[1], self.usual_sharpness[1]) <= 0:
            raise ValueError("the spreads of lightness and sharpness are not above 0")
        self.unpack_planes()

    def unpack_planes(self) -> Planes:
        """Return the planes.

        Raises:
            ValueError: they are damaged.
        """
        try:
            content = np.frombuffer(base64.b64decode(self.planes, validate=True), np.uint8).astype(np.float32)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"planes are not base64 ({error})") from error
        cells = BLOCKS * BLOCKS
        if len(content) != 3 * cells + SMALL * SMALL:
            raise ValueError(f"planes have {len(content)} bytes, expected {3 * cells + SMALL * SMALL}")
        lowest, highest, structure = content[: 3 * cells].reshape(3, BLOCKS, BLOCKS)
        return Planes(lowest, highest, structure / _STRUCTURE_STEPS, content[3 * cells :].reshape(SMALL, SMALL))


@dataclass(frozen=True, eq=False)
class Planes:
    """What a scene looks like place by place."""

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    structure: NDArray[np.float32]
    """(BLOCKS, BLOCKS) each, gray levels."""

    mean: NDArray[np.float32]
    """(SMALL, SMALL), gray levels."""

    def pack(self) -> str:
        """Write them as base64 of bytes, as `FrameReference.planes` holds them."""
        structure = np.clip(self.structure * _STRUCTURE_STEPS, 0, 255)
        content = [np.floor(self.lowest), np.ceil(self.highest), np.floor(structure), np.rint(self.mean)]
        whole = np.concatenate([plane.ravel() for plane in content]).astype(np.uint8)
        return base64.b64encode(whole.tobytes()).decode("ascii")

    def foreign_share(self, statistics: FrameStatistics) -> float:
        """Return the share of the blocks that look like nothing that was there before, 0 to 1."""
        means, spreads = statistics.block_means, statistics.block_spreads
        off = (means < self.lowest - _LEVEL_STEP) | (means > self.highest + _LEVEL_STEP)
        empty = spreads < _STRUCTURE * self.structure
        return float((off | empty).mean())


_STRUCTURE_STEPS = 4.0
"""Steps of a gray level in which the structure is kept."""


def fit_reference(
    frames: Sequence[FrameStatistics], sizes_hw: Collection[tuple[int, int]], longest_repeat_s: float
) -> FrameReference:
    """Learn limits from good frames.

    Args:
        frames: In the order in which they came, at least one.
        sizes_hw: Which sizes they had, pixels.
        longest_repeat_s: Longest time for which they were the very same, seconds.
    """
    planes = _planes_of(frames)
    cast = float(np.median([f.blue_cast for f in frames])), float(np.median([f.red_cast for f in frames]))
    flat_below = _FLAT * float(np.median([frame.block_spreads for frame in frames]))
    return FrameReference(
        frame_hw=next(iter(sizes_hw)) if len(sizes_hw) == 1 else ANY_SIZE,
        least_brightest=_DARK * min(f.light.brightest for f in frames),
        most_saturated=_limit(np.array([f.light.saturated for f in frames]), _SATURATED_STEP),
        least_sharpness=-_limit(-np.array([f.sharpness for f in frames]), _SHARP_STEP),
        cast=cast,
        most_cast=_limit(np.array([cast_of(frame, cast) for frame in frames]), _CAST_STEP),
        most_foreign=_FOREIGN_STEP + _usually_foreign(frames),
        flat_below=flat_below,
        most_flat=_limit(np.array([flat_share(frame, flat_below) for frame in frames]), _FLAT_STEP),
        most_shift=_shift_limit(frames, planes),
        usual_lightness=_middle_and_spread([float(f.small.mean()) for f in frames], _LIGHTNESS_SPREAD),
        usual_sharpness=_middle_and_spread([f.sharpness for f in frames], _SHARPNESS_SPREAD),
        longest_repeat_s=longest_repeat_s,
        planes=planes.pack(),
    )


def _middle_and_spread(values: Sequence[float], least: float) -> tuple[float, float]:
    """Return median and robust spread of what good frames showed, the spread at least so large."""
    found = np.asarray(values, np.float64)
    middle = float(np.median(found))
    return middle, max(least, 1.4826 * float(np.median(np.abs(found - middle))), 0.5 * float(found.std()))


def flat_share(frame: FrameStatistics, flat_below: float) -> float:
    """Return the share of a frame's blocks that show less structure than this, 0 to 1."""
    return float((frame.block_spreads < flat_below).mean())


def _shift_limit(frames: Sequence[FrameStatistics], planes: Planes) -> float:
    reference = spectrum_of(planes.mean)
    shifts, sure = np.array([find_shift(spectrum_of(frame.small), reference) for frame in frames]).T
    can_tell = len(frames) >= _LEAST_FRAMES and shifts.max() <= _MOST_SHIFT and np.quantile(sure, 0.05) >= LEAST_SURE
    return _limit(shifts, _SHIFT_STEP) if can_tell else 1.0


def _planes_of(frames: Sequence[FrameStatistics]) -> Planes:
    return Planes(
        np.min([frame.block_means for frame in frames], axis=0),
        np.max([frame.block_means for frame in frames], axis=0),
        np.min([frame.block_spreads for frame in frames], axis=0),
        np.mean([frame.small for frame in frames], axis=0, dtype=np.float32),
    )


def _usually_foreign(frames: Sequence[FrameStatistics]) -> float:
    """Return the largest share of blocks that looks foreign in one half of the frames to who has seen the other."""
    middle = len(frames) // 2
    halves = frames[:middle], frames[middle:]
    if not middle:
        return 0.0
    return max(_planes_of(seen).foreign_share(frame) for seen, others in (halves, halves[::-1]) for frame in others)


def _limit(values: NDArray[np.float64], step: float) -> float:
    """Return a limit beyond the highest of some values."""
    farthest = float(values.max())
    return farthest + max(step, _BEYOND * (farthest - float(np.median(values))))


def cast_of(frame: FrameStatistics, usual: tuple[float, float]) -> float:
    """Return how far a frame's colours lie off the usual ones."""
    return max(abs(frame.blue_cast - usual[0]), abs(frame.red_cast - usual[1]))

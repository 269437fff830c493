"""Frames that say nothing about the part: UNKNOWN, never NG.

    black, dark    what is brightest in it is as good as nothing, or half of what it should be
    over-exposed   too many pixels hold no more light
    out of focus   what is fine is gone, beside what is coarse
    colour cast    blue or red have left their usual relation to green
    covered        too much of the picture looks like nothing that was ever there, or shows no structure
    camera moved   the scene lies elsewhere
    wrong size     the frames have another size than those of the calibration
    frozen         the very same picture for seconds, from a source for which time passes

Without a site file nobody knows what is usual: then only frames that are wholly black or wholly white are told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.camera_shift import LEAST_SURE, Spectrum, find_shift, spectrum_of
from aae_detect.frame_reference import ANY_SIZE, FrameReference, Planes, cast_of, flat_share
from aae_detect.frame_statistics import FrameStatistics, Light, measure_frame, measure_light

BLACK_LEVEL = 0.02 * 255
"""Gray level that the brightest hundredth of a frame has to reach in any case."""

_WHITE_SHARE = 0.95
"""Share of saturated pixels that no frame may have, also where nothing is known of the scene."""

FROZEN_S = 1.5
"""The very same picture for so long is no camera's; longer where good frames were the same for a while."""

_PROBE_STEP = 24
"""Every so-many-th row is compared with the last frame's: noise moves any of them."""


@dataclass(frozen=True)
class _Usual:
    """A reference, unpacked."""

    limits: FrameReference
    planes: Planes
    spectrum: Spectrum


class RepeatWatch:
    """For how long the same picture has come again and again."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._probe: NDArray[np.generic] | None = None
        self._since_s = 0.0

    def look(self, image: NDArray[np.generic], at_s: float) -> float:
        """Take the next frame, any picture, and when it was read; return for how long it has been the same, seconds."""
        probe = image[::_PROBE_STEP]
        if self._probe is None or not np.array_equal(probe, self._probe):
            self._probe, self._since_s = probe.copy(), at_s  # a view would keep the whole frame alive
        repeated_s = at_s - self._since_s
        self.longest_s = max(self.longest_s, repeated_s)
        return repeated_s


class FrameChecks:
    """The checks of one source, which remember its last frame."""

    def __init__(self, reference: FrameReference | None = None, live: bool = False) -> None:
        """Take what is usual.

        Args:
            reference: From the site file; None where there is none.
            live: Whether time passes outside the source: a video may show the same picture for as long as it likes.
        """
        self._usual = None
        if reference is not None:
            planes = reference.unpack_planes()
            self._usual = _Usual(reference, planes, spectrum_of(planes.mean))
        self._repeats = RepeatWatch() if live and reference is not None else None
        self.seen: FrameStatistics | None = None
        """Of the last frame; None where nothing is known of what is usual."""

    def find_problem(self, image: NDArray[np.generic], input_bgr: NDArray[np.uint8], at_s: float) -> str:
        """Say why a frame says nothing; empty where it does.

        Args:
            image: The frame as the source gave it.
            input_bgr: The same as the model got it, HxWx3 uint8.
            at_s: When it was read, seconds on any clock that does not jump.
        """
        repeated_s = self._repeats.look(image, at_s) if self._repeats is not None else 0.0
        if self._usual is None:
            return _find_extreme(measure_light(input_bgr))
        self.seen, limits = measure_frame(input_bgr), self._usual.limits
        statistics = self.seen
        return (
            _find_size(image.shape[:2], limits)
            or _find_light(statistics.light, limits)
            or _find_frozen(repeated_s, limits)
            or _find_scene(statistics, self._usual)
        )


def _find_extreme(light: Light) -> str:
    if light.brightest < BLACK_LEVEL:
        return f"black: the brightest hundredth of the frame reaches gray level {light.brightest:.0f} of 255"
    if light.saturated > _WHITE_SHARE:
        return f"over-exposed: {light.saturated:.0%} of the frame is at its brightest"
    return ""


def _find_size(frame_hw: tuple[int, ...], limits: FrameReference) -> str:
    if frame_hw == limits.frame_hw or limits.frame_hw == ANY_SIZE:
        return ""
    (height, width), (usual_h, usual_w) = frame_hw, limits.frame_hw
    return f"wrong size: {width}x{height}, calibrated with {usual_w}x{usual_h}"


def _find_light(light: Light, limits: FrameReference) -> str:
    if light.brightest < max(BLACK_LEVEL, limits.least_brightest):
        return (
            f"{'black' if light.brightest < BLACK_LEVEL else 'dark'}: the brightest hundredth of the frame reaches "
            f"gray level {light.brightest:.0f}, and has to reach {limits.least_brightest:.0f}"
        )
    if light.saturated > limits.most_saturated:
        return (
            f"over-exposed: {light.saturated:.0%} of the frame is at its brightest, usual is "
            f"{limits.most_saturated:.0%} or less"
        )
    return ""


def _find_frozen(repeated_s: float, limits: FrameReference) -> str:
    if repeated_s > max(FROZEN_S, 3 * limits.longest_repeat_s):
        return f"frozen: the very same picture for {repeated_s:.1f} s"
    return ""


def _find_scene(frame: FrameStatistics, usual: _Usual) -> str:
    """Look at colours, place, structure and focus, in the order of who would be taken for whom."""
    limits = usual.limits
    if (cast := cast_of(frame, limits.cast)) > limits.most_cast:
        return f"colour cast: colours lie {cast:.2f} off the usual ones, up to {limits.most_cast:.2f} is usual"
    if limits.most_shift < 1:
        shift, sure = find_shift(spectrum_of(frame.small), usual.spectrum)
        if shift > limits.most_shift and sure >= LEAST_SURE:
            return (
                f"camera moved: the picture lies {shift:.1%} of its side aside, up to {limits.most_shift:.1%} is usual"
            )
    if (foreign := usual.planes.foreign_share(frame)) > limits.most_foreign:
        return (
            f"covered: {foreign:.0%} of the picture looks like nothing that was there before, up to "
            f"{limits.most_foreign:.0%} is usual"
        )
    if (flat := flat_share(frame, limits.flat_below)) > limits.most_flat:
        return f"covered: {flat:.0%} of the picture show nothing at all, up to {limits.most_flat:.0%} is usual"
    if frame.sharpness < limits.least_sharpness:
        return f"out of focus: sharpness {frame.sharpness:.2f}, usual is {limits.least_sharpness:.2f} or more"
    return ""

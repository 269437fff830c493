"""The answer for one frame: score, verdict, and where."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aae_detect.geometry import Placement


class Verdict(enum.StrEnum):
    """What is said of a frame."""

    OK = "OK"
    NG = "NG"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Region:
    """One connected place where the map lies above the threshold, in frame pixels."""

    x: int
    y: int
    width: int
    height: int
    area_px: int
    """Area above the threshold, in frame pixels."""

    peak: float
    """Highest map value inside."""

    contour_xy: NDArray[np.int32] = field(repr=False, compare=False)
    """Outline, (points, 2), frame pixels."""


@dataclass(frozen=True)
class Latency:
    """Where the time of one frame went, in milliseconds."""

    preprocess: float
    inference: float
    postprocess: float

    @property
    def total(self) -> float:
        """The sum of the stages."""
        return self.preprocess + self.inference + self.postprocess


@dataclass(frozen=True, eq=False)
class Detection:
    """What a detector says of one frame. Owns its arrays: nothing overwrites them later."""

    score: float
    """`anomaly_score`, raw, never clamped; higher is less like the good parts."""

    threshold: float
    verdict: Verdict
    model_map: NDArray[np.float32]
    """Anomaly map as it was judged, (h, w) of the spec's `map_hw`: the model's, or what a site makes of it."""

    reconstruction_bgr: NDArray[np.uint8]
    """What the part should look like: the model's whole input, HxWx3 BGR, of the spec's `drawn_hw`."""

    input_bgr: NDArray[np.uint8]
    """The frame as the model got it, HxWx3 of the spec's `input_hw`."""

    placement: Placement
    """Where the frame lay in the model's input."""

    latency_ms: Latency

    p_value: float | None = None
    """Probability that a good picture scores so high, see `GoodScores.p_value`; None where no good scores are known."""

    @cached_property
    def anomaly_map(self) -> NDArray[np.float32]:
        """The map in frame coordinates, (H, W) float32; made when first asked for."""
        from aae_detect.scoring import map_to_frame

        return map_to_frame(self.model_map, self.placement)

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """Where the map lies above the threshold, highest peak first; made when first asked for.

        At most `scoring.MOST_REGIONS`: those with the highest peaks, and the largest.
        """
        return self._found[0]

    @property
    def more_regions(self) -> int:
        """How many there are beside `regions`."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[tuple[Region, ...], int]:
        from aae_detect.scoring import find_most_regions

        return find_most_regions(self.model_map, self.threshold, self.placement)

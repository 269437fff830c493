"""What is usual for the map at each place of one camera's picture: a reflection that is always there is no defect.

A map is made calmer where good parts in front of this camera raise it or move it, and never livelier: at a place where
nothing has happened yet, the first harmless thing must not count for more than the model says.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.scoring import SILENT

_USUAL_SHARE = 0.9
"""Of the places: what these show is usual, and only the others are made calmer. Against the middle place, wherever
parts lie would count as lively, and a part is where defects are."""

_SURE = 2.0
"""Standard errors by which a place must be raised: few frames must not take away what they happened to show."""

_NEIGHBOURHOOD_SIGMA = 1.5
"""Cells over which a place hands on what it does to its neighbours: nothing lies on the very same pixel for ever."""

_TYPE = "<f2"
"""How files hold them: three digits are plenty."""


@dataclass(frozen=True, eq=False)
class SitePlaces:
    """By how much a place is raised, and how much more it moves than others."""

    raised: NDArray[np.float32]
    """(h, w), from 0, in units of the map."""

    livelier: NDArray[np.float32]
    """(h, w), from 1: how many times as far the map moves there as at the usual place."""

    def calm(self, anomaly_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take what is usual out of maps (..., h, w); returns new ones."""
        calmed: NDArray[np.float32] = (anomaly_map - self.raised) / self.livelier
        return calmed

    @property
    def share_calmed(self) -> float:
        """Share of the places whose map is at least halved or lowered by one, 0 to 1."""
        return float(((self.raised >= 1) | (self.livelier >= 2)).mean())

    def pack(self) -> str:
        """Write it as base64 of two planes of half floats."""
        return base64.b64encode(np.stack([self.raised, self.livelier]).astype(_TYPE).tobytes()).decode("ascii")

    @classmethod
    def unpack(cls, text: str, map_hw: tuple[int, int]) -> SitePlaces:
        """Read what `pack` wrote.

        Raises:
            ValueError: not base64, of another size, or with numbers that `fit_places` cannot give.
        """
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"places are not base64 ({error})") from error
        expected = 2 * map_hw[0] * map_hw[1] * np.dtype(_TYPE).itemsize
        if len(content) != expected:
            raise ValueError(
                f"places have {len(content)} bytes, expected {expected} for a map of {map_hw[0]}x{map_hw[1]} cells"
            )
        raised, livelier = np.frombuffer(content, _TYPE).astype(np.float32).reshape(2, *map_hw)
        finite = np.isfinite(raised).all() and np.isfinite(livelier).all()
        if not finite or raised.min() < 0 or livelier.min() < 1:
            raise ValueError("places hold numbers that no calibration gives")
        return cls(raised, livelier)


def fit_places(anomaly_maps: NDArray[np.float32]) -> SitePlaces:
    """Learn what is usual at each place.

    Args:
        anomaly_maps: (n, h, w) of good parts in front of this camera, n at least 1.
    """
    count = len(anomaly_maps)
    mean, spread = anomaly_maps.mean(axis=0, dtype=np.float64), anomaly_maps.std(axis=0, dtype=np.float64)
    looked_at = mean > SILENT / 2
    usual_mean, usual_spread = (float(np.quantile(places[looked_at], _USUAL_SHARE)) for places in (mean, spread))
    error = np.maximum(spread, usual_spread) / np.sqrt(count)
    raised = _handed_on(np.maximum(0.0, mean - usual_mean - _SURE * error))
    livelier = _handed_on(np.maximum(1.0, spread / (usual_spread + 1e-6)))
    # As a file will hold them, so that a calibration judges by the very numbers that it writes.
    return SitePlaces(*(plane.astype(_TYPE).astype(np.float32) for plane in (raised, livelier)))


def _handed_on(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur (h, w), but leave each place at least what it has itself: a reflection that is sharp stays so."""
    blurred = cv2.GaussianBlur(places, (0, 0), _NEIGHBOURHOOD_SIGMA, borderType=cv2.BORDER_REPLICATE)
    return np.maximum(places, np.asarray(blurred, np.float64))

"""The smallest spot that a detector finds at its threshold: what a user can expect of a size of input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_train.held_out import HeldOut
from aae_train.loader import Store
from aae_train.picture_mask import inside_of

DIAMETERS_PX = (2, 3, 4, 6, 8, 11, 16, 23, 32)
CONTRAST = 60
"""Gray levels by which the spot is darker, or brighter where the part is dark: plain to see, and far from black."""

FOUND = 0.8
_SPOTS = 40
_SEED = 977
_CHUNK = 8
_FINER = 4
"""Spots are drawn so many times larger and shrunk, so that a small one is round."""


@dataclass(frozen=True)
class SmallestSpot:
    """What spots a detector finds."""

    diameter_px: int | None
    """Smallest diameter, pixels of the model's input, from which on at least 80 % are found; None where none is."""

    found: dict[int, float]
    """Share of the spots that are found, 0 to 1, by diameter."""

    def to_dict(self) -> dict[str, object]:
        """Return the figures for `metrics.json`."""
        by_diameter = {str(diameter): round(share, 3) for diameter, share in self.found.items()}
        return {"diameter_px": self.diameter_px, "contrast": CONTRAST, "found": by_diameter}


def measure_smallest_spot(held_out: Sequence[HeldOut], store: Store, threshold: float) -> SmallestSpot:
    """Draw spots of each size at random places on good pictures that were not learned, and count what is found.

    Args:
        held_out: The pictures and their detectors; of each picture one spot of each size is drawn, 40 at most.
        store: All pictures.
        threshold: A score above it is a find.
    """
    everything = [(group, number) for group in held_out for number in group.numbers]
    places = np.linspace(0, len(everything) - 1, min(_SPOTS, len(everything))).astype(int)
    shares: dict[int, float] = {}
    diameters = [d for d in DIAMETERS_PX if d <= min(store[everything[0][1]].shape[:2]) / 4]
    for diameter in diameters:
        found = 0
        for group in held_out:
            numbers = [everything[place][1] for place in places if everything[place][0] is group]
            for start in range(0, len(numbers), _CHUNK):
                chosen = numbers[start : start + _CHUNK]
                streams = [np.random.default_rng([_SEED, diameter, number]) for number in chosen]
                inside = inside_of(store)
                drawn = [draw_spot(store[n], diameter, rng, inside) for n, rng in zip(chosen, streams, strict=True)]
                found += int((group.detect(np.stack(drawn)).scores > threshold).sum())
        shares[diameter] = found / len(places)
    enough = [d for d in diameters if all(shares[larger] >= FOUND for larger in diameters if larger >= d)]
    return SmallestSpot(min(enough, default=None), shares)


def tell_smallest_spot(spot: Mapping[str, Any]) -> str:
    """Say what `smallest_spot` of `metrics.json` means."""
    if spot["diameter_px"] is None:
        return (
            f"no spot of {spot['contrast']} gray levels for certain, up to {max(map(int, spot['found']))} pixels across"
        )
    return (
        f"4 of 5 spots of {spot['contrast']} gray levels from {spot['diameter_px']} pixels across "
        "(pixels of the model's input)"
    )


def draw_spot(
    picture: NDArray[np.uint8],
    diameter_px: int,
    rng: np.random.Generator,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return a picture, HxWx3 uint8, with a round spot at a random place, wholly inside; of a mask, with its middle."""
    height, width = picture.shape[:2]
    side = diameter_px + 2
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    if inside is not None:
        rows, columns = np.nonzero(inside)
        place = int(rng.integers(len(rows)))
        top = int(np.clip(rows[place] - side // 2, 0, height - side))
        left = int(np.clip(columns[place] - side // 2, 0, width - side))
    disc = np.zeros((side * _FINER, side * _FINER), np.uint8)
    middle = (side * _FINER) // 2
    cv2.circle(disc, (middle, middle), diameter_px * _FINER // 2, (255,), -1)
    cover = np.asarray(cv2.resize(disc, (side, side), interpolation=cv2.INTER_AREA), np.float32)[:, :, None] / 255
    spotted = picture.copy()
    box = spotted[top : top + side, left : left + side]
    change = -CONTRAST if float(box.mean()) > CONTRAST else CONTRAST
    box[:] = np.clip(np.rint(box + cover * change), 0, 255).astype(np.uint8)
    return spotted

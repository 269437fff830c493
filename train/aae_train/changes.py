"""Which changes the good pictures show: a texture may be turned, a printed part may not.

More kinds of pictures to learn from are worth much where there are few; but a part that is mirrored and should not be
is a defect, and a model that was shown mirrored ones cannot see it. So a change is allowed only where the data show it:
descriptors of one half of the good pictures say what is usual at every place, and the other half, changed, must look no
less usual than it does unchanged: on average, and at its least usual place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aae_train.augment import SYMMETRIES, AugmentConfig, turn
from aae_train.descriptors import describe, share_with_neighbours

MOST_PICTURES = 96
FEWEST_PICTURES = 12
"""With fewer nobody can tell what is usual, and the defaults stay."""

ROTATIONS_DEG = (5.0, 15.0, 45.0, 180.0)
MOST_UNUSUAL = 1.06
"""How much less usual a changed picture may look, as a factor of its distance. With 1.12 chance decides on some sets,
and too many changes cost more than too few: the places alone, on magnetic_tile, find 66.2 / 22.5 of synthetic defects
(image AUROC / pixel AP) against 66.8 / 24.2, and nothing is won on six other sets."""

MOST_ABOVE = 0.5
"""Share of the changed pictures that may look less usual than nine tenths of the unchanged do; 0.1 is chance."""

BRIGHTNESS_RANGE = (0.05, 0.3)
ANY_CAMERA = AugmentConfig(gamma=0.06, blur_px=0.9, noise=4.0, jpeg_quality=60)
"""What any camera does sooner or later, whatever the pictures of today show."""

_GRID_STEP = 16
_SPREAD_FLOOR = 0.3
"""In standard deviations over all places and pictures: a place that did not vary in few pictures will vary later."""

Pictures = NDArray[np.uint8]


def learn_changes(pictures: Pictures) -> AugmentConfig:
    """Say how far good pictures may be changed.

    Args:
        pictures: (N, H, W, 3) uint8 BGR of the model's size; at most 96 of them are looked at.
    """
    if len(pictures) < FEWEST_PICTURES:
        return ANY_CAMERA
    chosen = pictures[np.linspace(0, len(pictures) - 1, min(MOST_PICTURES, len(pictures))).astype(int)]
    usual = Usual(chosen[::2])
    shown = chosen[1::2]
    unchanged = usual.distances(shown)

    def allowed(change: Callable[[Pictures], Pictures]) -> bool:
        return all(_as_usual(old, new) for old, new in zip(unchanged, usual.distances(change(shown)), strict=True))

    square = pictures.shape[1] == pictures.shape[2]
    symmetries = tuple(
        name for name, change in SYMMETRIES.items() if (square or name != "quarter") and allowed(_each(change))
    )
    rotation = 0.0
    for degrees in ROTATIONS_DEG:
        if not all(allowed(_turned(angle)) for angle in (degrees / 2, degrees)):
            break
        rotation = degrees
    return replace(ANY_CAMERA, brightness=_brightness(chosen), symmetries=symmetries, rotation_deg=rotation)


class Usual:
    """What is usual at every place: mean and spread of the descriptors, shared with the places around."""

    def __init__(self, pictures: Pictures) -> None:
        """Learn from good pictures (N, H, W, 3) uint8 BGR."""
        found = describe(pictures, _GRID_STEP).astype(np.float64)
        self._centre = found.mean(axis=(0, 1, 2))
        self._scale = found.std(axis=(0, 1, 2)) + 1e-3
        found = (found - self._centre) / self._scale
        count = len(pictures)
        weight = count / (count + 4)  # few pictures say little about a single place
        mean = weight * share_with_neighbours(found.mean(axis=0))
        square = weight * share_with_neighbours(np.square(found).mean(axis=0)) + (1 - weight)
        self._mean, self._variance = mean, np.maximum(square - np.square(mean), _SPREAD_FLOOR**2)

    def distances(self, pictures: Pictures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how unusual pictures are: root mean square deviation on average over places, and at the worst."""
        found = (describe(pictures, _GRID_STEP).astype(np.float64) - self._centre) / self._scale
        places = np.sqrt((np.square(found - self._mean) / self._variance).mean(axis=3))
        return places.mean(axis=(1, 2)), places.max(axis=(1, 2))


def _as_usual(before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
    above = float((after > np.quantile(before, 0.9)).mean())
    return bool(np.median(after) <= MOST_UNUSUAL * np.median(before) and above <= MOST_ABOVE)


def _each(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Callable[[Pictures], Pictures]:
    return lambda pictures: np.stack([change(picture) for picture in pictures])


def _turned(degrees: float) -> Callable[[Pictures], Pictures]:
    return _each(lambda picture: turn(picture, degrees))


def _brightness(pictures: Pictures) -> float:
    """Two standard deviations of the pictures' mean brightness, as a share of it."""
    means = pictures.reshape(len(pictures), -1).mean(axis=1)
    return float(np.clip(2 * means.std() / max(1.0, means.mean()), *BRIGHTNESS_RANGE))

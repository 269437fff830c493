"""From the maps of good parts in front of a camera to what its site file holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae_detect.site_places import SitePlaces, fit_places
from aae_detect.threshold import Threshold, conformal_threshold

FOLDS = 5
"""Each fifth of the frames is scored by what the others say is usual."""


def fit_site(anomaly_maps: NDArray[np.float32], target_frr: float) -> tuple[SitePlaces, Threshold]:
    """Learn what is usual at each place, and the threshold.

    A frame that had taught what is usual would score too low afterwards, and the threshold with it. So stretches of
    neighbouring frames are scored by the places that the other stretches teach; those in the file are of all.

    Args:
        anomaly_maps: (n, h, w) of good parts, as the model gives them, in the order in which they were taken; n at
            least 2.
        target_frr: False-reject rate that is asked for, 0 to 1.
    """
    scores = []
    for stretch in np.array_split(np.arange(len(anomaly_maps)), min(FOLDS, len(anomaly_maps))):
        others = fit_places(np.delete(anomaly_maps, stretch, axis=0))
        scores.append(others.calm(anomaly_maps[stretch]).max(axis=(1, 2)))
    return fit_places(anomaly_maps), conformal_threshold(np.concatenate(scores), target_frr, "site")

"""How well a model would find defects, measured on held-back good pictures with synthetic defects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from aae_detect.bench.metrics import average_precision
from aae_train.detector import Detector, measure_evidence
from aae_train.judge import CELL
from aae_train.loader import Store
from aae_train.picture_mask import inside_of
from aae_train.synthetic import make_defect

FEWEST_PICTURES, MOST_PICTURES = 8, 32
"""Of 256x256; of larger ones fewer, as all of them are looked at ten times in a run."""

_SEED = 20240


class SelectScore:
    """A fixed set of synthetic defects on the select pictures; the same for every checkpoint of a run."""

    def __init__(self, store: Store, select: Sequence[int]) -> None:
        """Draw the defects.

        Args:
            store: All pictures.
            select: Those of the select part, at least one; at most 32 of them are used.
        """
        height, width = store[select[0]].shape[:2]
        most = max(FEWEST_PICTURES, min(MOST_PICTURES, MOST_PICTURES * 256**2 // (height * width)))
        chosen = [select[i] for i in np.linspace(0, len(select) - 1, min(most, len(select))).astype(int)]
        self._inside = inside_of(store)
        self._good = np.stack([store[i] for i in chosen])
        defective, masks = [], []
        for place, picture in enumerate(self._good):
            rng = np.random.default_rng([_SEED, place])
            foreign = self._good[place - 1]
            picture_with_defect, mask, _ = make_defect(picture, rng, foreign, self._inside)
            defective.append(picture_with_defect)
            masks.append(mask)
        self._defective = np.stack(defective)
        cells = np.stack(masks).reshape(len(masks), masks[0].shape[0] // CELL, CELL, -1, CELL)
        self._cell_is_defect = cells.max(axis=(2, 4)) > 0  # (N, h, w)

    def measure(self, detector: Detector) -> float:
        """Return the mean average precision of the maps' cells, 0 to 1; higher is better."""
        judge = detector.judge
        statistics = judge.standards(measure_evidence(detector, self._good, self._inside))
        standardised = statistics.standardise(measure_evidence(detector, self._defective, self._inside))
        maps = judge.combine(torch.from_numpy(standardised)).numpy()
        pairs = zip(self._cell_is_defect, maps, strict=True)
        return float(np.mean([average_precision(truth.ravel(), scores.ravel()) for truth, scores in pairs]))

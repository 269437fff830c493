"""How well a model would find defects, measured on held-back good pictures with synthetic defects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aae_detect.bench.metrics import average_precision
from aae_train.compute import to_pictures
from aae_train.detector_graph import CELL, blur_kernel, evidence
from aae_train.loader import Store
from aae_train.place_statistics import fit_statistics
from aae_train.synthetic import make_defect

MOST_PICTURES = 32
_SEED = 20240
_CHUNK = 8


class SelectScore:
    """A fixed set of synthetic defects on the select pictures; the same for every checkpoint of a run."""

    def __init__(self, store: Store, select: Sequence[int]) -> None:
        """Draw the defects.

        Args:
            store: All pictures.
            select: Those of the select part, at least one; at most 32 of them are used.
        """
        chosen = [select[i] for i in np.linspace(0, len(select) - 1, min(MOST_PICTURES, len(select))).astype(int)]
        self._good = np.stack([store[i] for i in chosen])
        defective, masks = [], []
        for place, picture in enumerate(self._good):
            rng = np.random.default_rng([_SEED, place])
            picture_with_defect, mask, _ = make_defect(picture, rng, foreign=self._good[place - 1])
            defective.append(picture_with_defect)
            masks.append(mask)
        self._defective = np.stack(defective)
        cells = np.stack(masks).reshape(len(masks), masks[0].shape[0] // CELL, CELL, -1, CELL)
        self._cell_is_defect = cells.max(axis=(2, 4)) > 0  # (N, h, w)

    def measure(self, model: nn.Module) -> float:
        """Return the mean average precision of the maps' cells, 0 to 1; higher is better."""
        maps = fit_statistics(measure_evidence(model, self._good)).standardise(measure_evidence(model, self._defective))
        pairs = zip(self._cell_is_defect, maps, strict=True)
        return float(np.mean([average_precision(truth.ravel(), scores.ravel()) for truth, scores in pairs]))


@torch.no_grad()
def measure_evidence(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a model over pictures and return its evidence, not standardised.

    Args:
        model: (N, 3, H, W) in [-1, 1] to the drawn pictures.
        images: (N, H, W, 3) uint8 BGR of the model's size.

    Returns:
        (N, 2, H/4, W/4) float32.
    """
    device = next(model.parameters()).device
    blur: Tensor = blur_kernel().to(device)
    chunks = []
    for start in range(0, len(images), _CHUNK):
        pictures = to_pictures(images[start : start + _CHUNK], device)
        drawn = model(pictures).clamp(-1.0, 1.0)
        chunks.append(evidence(pictures, drawn, blur).float().cpu().numpy())
    return np.concatenate(chunks)

"""What speaks against a picture, each kind on its own: how much would it find without the others?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_compare.exported import Exported

WHAT = {
    "residual": "what the decoder cannot redraw: the detector's own score",
    "latent": "how far the picture's code lies from the prior, at its worst place",
    "discriminator": "how unlike the prior (aae), or unlike a real picture (gan), the discriminator finds it",
    "features": "how far what the discriminator sees in the picture lies from what it sees in the reconstruction",
}
"""Kinds of evidence, and what each is."""

_BANK = 2048
"""Samples that stand for the prior."""

_DRAWN = 64
"""Pictures drawn for the codes that stand for the prior where codes are not held to it."""

_SEED = 815


def measure_evidence(exported: Exported, paths: Sequence[Path]) -> dict[str, list[float]]:
    """Score pictures by every kind of evidence that the parts of a model give; higher is less like a good part.

    Args:
        exported: The parts.
        paths: The pictures.

    Returns:
        A score for each picture by kind, without `residual`, which the detector gives.
    """
    bank = _reference_places(exported)
    scores: dict[str, list[float]] = {"latent": []}
    if exported.judges_codes:
        scores["discriminator"] = []
    if exported.judges_pictures:
        scores |= {"discriminator": [], "features": []}
    for path in paths:
        picture = exported.read(path)
        code = exported.encode(picture)
        scores["latent"].append(distance_to_bank(exported.places(code), bank))
        if exported.judges_codes:
            scores["discriminator"].append(-exported.judge_code(code))
        if exported.judges_pictures:
            logit, seen = exported.judge_picture(picture)
            _, seen_again = exported.judge_picture(exported.reconstructor.reconstruct(picture))
            scores["discriminator"].append(-logit)
            scores["features"].append(float(np.square(seen - seen_again).mean()))
    return scores


def distance_to_bank(places: NDArray[np.floating], bank: NDArray[np.floating]) -> float:
    """Return how far a code lies from a distribution that is known by samples, at its worst place.

    The worst and not the average place, as the detector's score is its map's highest value: a defect is small.

    Args:
        places: (P, L) numbers of each place.
        bank: (n, L) samples.

    Returns:
        The largest, over places, of the squared distance to the nearest sample, per number.
    """
    x, y = places.astype(np.float64), bank.astype(np.float64)
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None, :] - 2 * x @ y.T
    return float(max(0.0, squares.min(axis=1).max()) / x.shape[1])


def _reference_places(exported: Exported) -> NDArray[np.float32]:
    """Return what codes of good parts should look like, (n, L): samples of the prior, or codes of drawn pictures."""
    rng = np.random.default_rng(_SEED)
    if exported.prior is not None:
        return exported.prior.sample(_BANK, exported.latent_chw[0], rng)
    drawn = exported.generator.sample(_DRAWN, _SEED)
    places = np.concatenate([exported.places(code) for code in exported.encode_all(list(drawn), _SEED)])
    return places[rng.permutation(len(places))[:_BANK]]

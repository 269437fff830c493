"""What the report is about: scores of held-back good pictures, and of the same pictures with synthetic defects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_train.config import TrainConfig
from aae_train.held_out import Calibrated, Detect, HeldOut
from aae_train.loader import Store
from aae_train.odd import OddOnes
from aae_train.picture_mask import inside_of
from aae_train.synthetic import make_defect

MOST_DEFECTS = 100
"""Held-back pictures that get a synthetic defect; more would cost time and hardly change the share that is found."""

_SEED = 5077
"""Not that of any other set of defects, so that nothing was chosen by these."""

_CHUNK = 8


@dataclass(frozen=True, eq=False)
class Examined:
    """A run whose model is ready to be shown."""

    config: TrainConfig
    out: Path
    """The run folder."""

    store: Store
    """All pictures, by number."""

    names: Sequence[str]
    """A name for each, relative to the data folder."""

    calibrated: Calibrated
    odd: OddOnes
    """All good pictures, the least usual first."""


@dataclass(frozen=True, eq=False)
class Defect:
    """A synthetic defect: which picture it is drawn on, so that it can be drawn again."""

    number: int
    foreign: int
    """Picture that texture may be taken from."""

    def draw(self, store: Store) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
        """Return the picture with the defect, the mask, and the kind, as `make_defect` does."""
        rng = np.random.default_rng([_SEED, self.number])
        return make_defect(store[self.number], rng, store[self.foreign], inside_of(store))


@dataclass(frozen=True, eq=False)
class Scored:
    """A held-back picture and its score; what belongs to it is looked at again only for the few that are shown."""

    number: int
    score: float
    detect: Detect
    """The detector that gave the score."""

    defect: Defect | None = None
    """None where the picture is good as it is."""

    kind: str = ""
    """Of the defect."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture for people, and what the detector makes of it."""

    name: str
    kind: str
    picture: NDArray[np.uint8]
    """HxWx3 uint8 BGR at the model's size."""

    mask: NDArray[np.bool_] | None
    """(H, W), where it is defective; None where it is good, or nobody knows."""

    reconstruction: NDArray[np.uint8]
    anomaly_map: NDArray[np.float32]
    score: float
    defective: bool


def score_good(held_out: Sequence[HeldOut]) -> list[Scored]:
    """List the held-back good pictures with the scores that the threshold was set from, highest first."""
    found = [
        Scored(number, float(score), group.detect)
        for group in held_out
        for number, score in zip(group.numbers, group.scores, strict=True)
    ]
    return sorted(found, key=lambda scored: -scored.score)


def score_defects(held_out: Sequence[HeldOut], store: Store, most: int = MOST_DEFECTS) -> list[Scored]:
    """Draw a defect on held-back pictures and score them, highest first; the same for the same pictures.

    Args:
        held_out: The pictures and their detectors.
        store: All pictures.
        most: At most so many pictures get one, evenly spread.
    """
    everything = [(number, group.detect) for group in held_out for number in group.numbers]
    places = np.linspace(0, len(everything) - 1, min(most, len(everything))).astype(int)
    chosen = [everything[place] for place in places]
    defects = [Defect(number, chosen[place - 1][0]) for place, (number, _) in enumerate(chosen)]
    found = []
    for detect, group in _runs(chosen, defects):
        drawn = [defect.draw(store) for defect in group]
        scores = detect(np.stack([picture for picture, _, _ in drawn])).scores
        for defect, (_, _, kind), score in zip(group, drawn, scores, strict=True):
            found.append(Scored(defect.number, float(score), detect, defect, kind))
    return sorted(found, key=lambda scored: -scored.score)


def show(scored: Scored, examined: Examined) -> Shown:
    """Look at a picture again."""
    if scored.defect is None:
        picture, mask = examined.store[scored.number], None
    else:
        picture, drawn, _ = scored.defect.draw(examined.store)
        mask = drawn > 0
    answers = scored.detect(picture[np.newaxis].copy())
    return Shown(
        name=examined.names[scored.number],
        kind=scored.kind,
        picture=picture,
        mask=mask,
        reconstruction=answers.reconstructions[0],
        anomaly_map=answers.anomaly_maps[0],
        score=scored.score,
        defective=scored.defect is not None,
    )


def spread_evenly(items: Sequence[Scored], count: int) -> list[Scored]:
    """Take `count` of them, first and last among them."""
    return [items[place] for place in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)]


def scores_of(items: Sequence[Scored]) -> NDArray[np.float64]:
    """Return the scores, (n,)."""
    return np.array([item.score for item in items], np.float64)


def _runs(chosen: Sequence[tuple[int, Detect]], defects: Sequence[Defect]) -> Iterator[tuple[Detect, Sequence[Defect]]]:
    """Cut the defects into small batches of one detector each."""
    start = 0
    while start < len(chosen):
        detect, stop = chosen[start][1], start
        while stop < len(chosen) and stop - start < _CHUNK and chosen[stop][1] is detect:
            stop += 1
        yield detect, defects[start:stop]
        start = stop

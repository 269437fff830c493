"""Figures of a family over its seeds, with intervals that hold for differences between families, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.bench import metrics
from aae_detect.bench.bootstrap import LEVEL, RESAMPLES

Draws = NDArray[np.float64]
"""(resamples,) a figure, over draws of seeds and test pictures; entry i of every figure is of the same draw."""

METHOD = (
    f"A family's figure is the mean over its seeds. Intervals are {LEVEL:.0%} percentile intervals of {RESAMPLES} "
    "bootstrap draws. Each draw takes seeds with replacement and, good and defective ones each among themselves, test "
    "pictures with replacement; every family sees the same draws, so that a difference between two families is taken "
    "picture by picture (paired). With one seed the interval knows nothing of how the seed matters."
)


@dataclass(frozen=True, eq=False)
class Scored:
    """One run's scores of its test pictures."""

    seed: int
    test_set: str
    """Runs with the same name here were tested on the same pictures, in the same order."""

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    threshold: float

    def figure(self, name: str, places: NDArray[np.int64] | None = None) -> float:
        """Return one of `FIGURES`, for some of the pictures or, without `places`, for all."""
        labels, scores = (self.labels, self.scores) if places is None else (self.labels[places], self.scores[places])
        match name:
            case "image_auroc":
                return metrics.auroc(labels, scores)
            case "image_ap":
                return metrics.average_precision(labels, scores)
            case "recall_at_threshold":
                return metrics.recall_at(labels, scores, self.threshold)
            case "false_reject_rate":
                return metrics.false_reject_rate(labels, scores, self.threshold)
        raise ValueError(f"{name} is none of {', '.join(FIGURES)}")


FIGURES = ("image_auroc", "image_ap", "recall_at_threshold", "false_reject_rate")


def mean_figure(runs: Sequence[Scored], name: str) -> float:
    """Return the mean over a family's runs."""
    return float(np.mean([run.figure(name) for run in runs]))


def draw_figures(
    families: Mapping[str, Sequence[Scored]], name: str, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Draws]:
    """Draw a figure of every family again and again, as `METHOD` says.

    Args:
        families: Runs by family, at least one of each.
        name: One of `FIGURES`.
        resamples: Draws.
        seed: Same seed, same draws.
    """
    runs_by_seed = {family: sorted(runs, key=lambda run: run.seed) for family, runs in families.items()}
    test_sets = {run.test_set: run.labels for runs in families.values() for run in runs}
    most = max(len(runs) for runs in families.values())
    draws = {family: np.empty(resamples) for family in families}
    rng = np.random.default_rng(seed)
    for number in range(resamples):
        chance = rng.random(most)
        places = {test_set: _redraw(labels, rng) for test_set, labels in test_sets.items()}
        for family, runs in runs_by_seed.items():
            # Families with the same seeds draw the same ones, for they share the chance.
            drawn = [runs[int(share * len(runs))] for share in chance[: len(runs)]]
            figures = {run.seed: run.figure(name, places[run.test_set]) for run in drawn}
            draws[family][number] = np.mean([figures[run.seed] for run in drawn])
    return draws


def interval(draws: Draws) -> tuple[float, float]:
    """Return the ends of the percentile interval; (NaN, NaN) where the figure is undefined."""
    low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _redraw(labels: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    defective, good = np.flatnonzero(labels), np.flatnonzero(~labels)
    return np.concatenate([rng.choice(defective, len(defective)), rng.choice(good, len(good))])

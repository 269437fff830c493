"""How far a figure could lie off, had the test pictures been others of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]
RESAMPLES = 1000
LEVEL = 0.95


def bootstrap_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    statistics: Mapping[str, Statistic],
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    clips: Sequence[str] | None = None,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals, stratified: good and defective pictures are redrawn each among themselves.

    Two things it cannot know. Where the test pictures show no error at all the interval is a single point, though the
    truth need not be. And pictures are taken as independent: for the frames of one video it is too narrow, unless it is
    told which belong together; then whole clips are redrawn, good and defective pictures with each other.

    Args:
        labels: (n,) booleans, True where defective.
        scores: (n,) floats.
        statistics: Figures by name; every one sees the same resamples.
        resamples: How many times to redraw.
        seed: Same seed, same intervals.
        level: Probability that the interval shall cover the truth.
        clips: (n,) a name for each picture, the same for those that belong together; None: each stands for itself.

    Returns:
        Lower and upper end by name; (NaN, NaN) where the figure is undefined.

    References:
        B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    truth, values = np.asarray(labels, np.bool_), np.asarray(scores, np.float64)
    defective, good = values[truth], values[~truth]
    redrawn_truth = np.concatenate([np.ones(len(defective), np.bool_), np.zeros(len(good), np.bool_)])
    draws = np.empty((resamples, len(statistics)))
    generator = np.random.default_rng(seed)
    members = [] if clips is None else [np.flatnonzero(np.asarray(clips) == name) for name in sorted(set(clips))]
    for draw in draws:
        if members:
            chosen = _redraw_clips(generator, members, truth)
            draw[:] = [statistic(truth[chosen], values[chosen]) for statistic in statistics.values()]
            continue
        redrawn = np.concatenate([_redraw(generator, defective), _redraw(generator, good)])
        draw[:] = [statistic(redrawn_truth, redrawn) for statistic in statistics.values()]
    low, high = np.percentile(draws, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(statistics)}


def _redraw(generator: np.random.Generator, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[generator.integers(0, len(values), len(values))] if len(values) else values


def _redraw_clips(
    generator: np.random.Generator, members: list[NDArray[np.intp]], truth: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Redraw clips until both kinds of picture are there, if both are at all."""
    while True:
        chosen = np.concatenate([members[number] for number in generator.integers(0, len(members), len(members))])
        if len(set(truth[chosen])) == len(set(truth)):
            return chosen

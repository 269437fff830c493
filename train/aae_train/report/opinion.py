"""The verdict on a model in plain words: what it promises, what it finds, and whether anything speaks against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aae_detect.spec import Calibration
from aae_detect.threshold import tell_rate
from aae_train.report.histogram import count_above
from aae_train.report.labelled import Labelled

Level = Literal["good", "doubt", "bad"]
HEADLINES: dict[Level, str] = {
    "good": "Nothing speaks against this model.",
    "doubt": "Look closer before you trust this model.",
    "bad": "Do not trust this model yet.",
}

FOUND_WELL, FOUND_POORLY = 0.8, 0.5
"""Share of the defects that is found: from the first on nothing is said against it, below the second all is."""

SURPRISING = 0.01
"""More rejected good test pictures than would happen so rarely, were the promise true, are held against the model."""


@dataclass(frozen=True)
class Opinion:
    """What to think of a model."""

    level: Level
    reasons: tuple[str, ...]
    """What speaks against it."""

    sentences: tuple[str, ...]
    """What it promises, and what it finds."""


def form_opinion(
    calibration: Calibration,
    threshold: float,
    defects: NDArray[np.floating],
    labelled: Labelled,
    warnings: Sequence[str],
) -> Opinion:
    """Say what to think of a model.

    Labelled defects are real ones, so where there are any, the share of them that is found decides.

    Args:
        calibration: What the threshold rests on.
        threshold: Of the verdict.
        defects: (n,) scores of synthetic defects.
        labelled: What came of the labelled test pictures.
        warnings: Of the run.
    """
    found, count = count_above(defects, threshold), len(defects)
    share = found / count
    sentences = [
        _promise(calibration, threshold),
        f"Of {count} synthetic defects, drawn on good pictures, it finds {found} ({share:.0%}).",
    ]
    reasons: list[str] = []
    if share < (FOUND_POORLY if labelled.judged else FOUND_WELL):
        reasons.append(f"it misses {count - found} of {count} synthetic defects")
    if labelled.judged:
        hit, defective, rejected, good = count_labelled(labelled, threshold)
        share = hit / defective
        sentences.append(
            f"Of {defective} test pictures labelled defective it finds {hit} ({share:.0%}), and it rejects {rejected} "
            f"of {good} labelled good ({rejected / good:.0%})."
        )
        if share < FOUND_WELL:
            reasons.insert(0, f"it misses {defective - hit} of {defective} labelled defective pictures")
        if chance_of_rejected(rejected, good, calibration) < SURPRISING:
            reasons.append(
                f"it rejects {rejected} of {good} good test pictures, more than the threshold promises: they differ "
                "from the pictures that it learned from"
            )
    if warnings:
        reasons.append("the run gave a warning" if len(warnings) == 1 else f"the run gave {len(warnings)} warnings")
    level: Level = "bad" if share < FOUND_POORLY or not math.isfinite(threshold) else "doubt" if reasons else "good"
    return Opinion(level, tuple(reasons), tuple(sentences))


def count_labelled(labelled: Labelled, threshold: float) -> tuple[int, int, int, int]:
    """Count labelled pictures: defective ones found, all defective ones, good ones rejected, all good ones."""
    labels, scores = labelled.labels, labelled.scores
    return (
        count_above(scores[labels], threshold),
        int(np.count_nonzero(labels)),
        count_above(scores[~labels], threshold),
        int(np.count_nonzero(~labels)),
    )


def _promise(calibration: Calibration, threshold: float) -> str:
    cross_fit = calibration.method == "cross-fit"
    how = "each scored by a model that had not learned it" if cross_fit else "none of which it learned from"
    return (
        f"The threshold {threshold:.4g} {tell_rate(calibration)}, as long as parts, camera and light stay as they are; "
        f"it rests on {calibration.count} good pictures, {how}."
    )


def chance_of_rejected(rejected: int, count: int, calibration: Calibration) -> float:
    """Return the probability that a threshold rejects so many fresh good pictures or more, where all are alike.

    The promised rate holds on average over all calibrations. What this one realises follows a Beta(m + 1, n - m) with m
    of n scores above the threshold (`aae_detect.threshold`), so what it rejects is beta-binomial, not binomial.

    Args:
        rejected: Of the fresh ones.
        count: Of the fresh ones.
        calibration: What the threshold rests on.
    """
    worth = calibration.effective_count or calibration.count
    # What is promised is (m + 1) / (n + 1), or a rate that was asked for and lies less than one score above.
    above = max(0, math.floor(calibration.promised_frr * (worth + 1) + 1e-9) - 1)
    if above >= worth:
        return 1.0
    whole = _log_beta(above + 1, worth - above) + math.log(count + 1)
    return sum(
        math.exp(
            _log_beta(above + 1 + hits, worth - above + count - hits) - _log_beta(hits + 1, count - hits + 1) - whole
        )
        for hits in range(rejected, count + 1)
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

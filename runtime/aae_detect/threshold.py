"""The threshold: from the scores of good pictures that nothing else touched, for a false-reject rate that is named.

With n exchangeable scores, a fresh one lies above the k-th smallest with probability at most 1 - k / (n + 1) (split
conformal prediction, Vovk et al. 2005; Lei et al., arXiv 1604.04173); so k = ceil((n + 1)(1 - rate)) keeps the rate on
average over all such calibrations. What one of them realises differs: it follows a Beta(n - k + 1, k), whose 95 % point
is the bound that is stated beside the rate (`rate_bound`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect.spec import Calibration
from aae_detect.tail import fit_tail

CONFIDENCE = 0.95
"""That the realised false-reject rate lies below the bound."""

_BY_CHANCE, _OF_NEIGHBOURS, _OF_ROUNDS = 8.0, 2.0, 5.0
"""How much longer than 1 the correlation of n independent scores may seem, how much alike two that follow each other,
and how much alike the most alike of those that lie farther apart, in 1 / sqrt(n)."""

_SAME_PEAK = 0.8
"""Share of the highest correlation that the first one of the same kind has at least."""

_DIGITS = 7
"""Of recorded scores: what float32 holds."""


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it can promise."""

    value: float
    calibration: Calibration
    left_out: int = 0
    """Pictures above it that did not set it because they look unlike the rest."""

    @property
    def warning(self) -> str:
        """What to tell the user where the pictures are too few or too much alike for the rate asked for; else empty."""
        asked, calibration = self.calibration.target_frr, self.calibration
        if calibration.promised_frr <= asked:
            return ""
        pictures, better = f"{calibration.count} calibration pictures", "add good pictures"
        if _is_worth_less(calibration):
            pictures += f", which follow each other and are worth {calibration.effective_count} independent ones,"
            better = "add good pictures of more different parts"
        words = f"{pictures} can promise a false-reject rate of {calibration.promised_frr:.1%} at best, "
        words += f"{asked:.1%} was asked for"
        those = "the one that looks" if self.left_out == 1 else f"the {self.left_out} that look"
        but_for = f"but for {those} unlike the rest, which would have blinded it" if self.left_out else ""
        if calibration.extrapolated:
            words += (
                f": that takes {pictures_needed(asked)}. The threshold is extrapolated from the highest scores among "
            )
            words += f"them{', ' if but_for else ''}{but_for}"
        elif but_for:
            words += f". The threshold is set by all of them {but_for}"
        return f"{words}; {better} to do better"


def conformal_threshold(
    scores: NDArray[np.floating], target_frr: float, method: str, odd: NDArray[np.bool_] | None = None
) -> Threshold:
    """Set the threshold so that a fresh good picture is rejected with probability at most `target_frr`.

    Where n scores cannot say that, because k exceeds n, the threshold is read from a tail fitted to them, and never
    lies below the highest of them: what is promised is then 1 / (n + 1), which needs no tail.

    A defective or misframed picture among the good would make the detector blind where the threshold hangs on it; so
    pictures that were called odd before there were scores never set it: the highest of the others does, or a tail
    fitted to those. They count as rejected in what is promised: (m + 1) / (n + 1) with m scores above.

    Scores that follow each other are worth fewer independent ones (`effective_count`): the threshold stays where it is,
    and what is promised is what so many could promise, with the same share above.

    Args:
        scores: (n,) scores of good pictures in the order in which they were taken, n at least 1.
        target_frr: The rate asked for, 0 to 1.
        method: `split`, `cross-fit` or `site`, for the record.
        odd: (n,) whether each picture looks unlike the rest, known without its score; None where nobody looked.
    """
    values = np.asarray(scores, dtype=np.float64)
    ordered = np.sort(values)
    count = len(ordered)
    highest = ordered[-1] if odd is None or odd.all() else values[~odd].max()
    usual = ordered[ordered <= highest]
    rank = _rank(count, target_frr)
    hangs_on_highest = rank > len(usual)
    extrapolated = hangs_on_highest and _rank(len(usual), target_frr) > len(usual)
    if hangs_on_highest:
        value = float(highest)
        if extrapolated:
            tail = fit_tail(usual)
            value = max(value, tail.value_at(min(target_frr, tail.share)))
        above = int((ordered > value).sum())
        promised = max(target_frr, (above + 1) / (count + 1))
    else:
        value, above, promised = float(ordered[rank - 1]), count - rank, target_frr
    worth = effective_count(values)
    worth_above = math.ceil(above * worth / count)
    if worth < count:
        promised = max(target_frr, (worth_above + 1) / (worth + 1))
    return Threshold(
        value,
        Calibration(
            method=method,
            count=count,
            target_frr=target_frr,
            promised_frr=promised,
            bound_frr=rate_bound(worth, worth_above),
            extrapolated=extrapolated,
            effective_count=worth,
            **_record(ordered),
        ),
        above if hangs_on_highest else 0,
    )


def _rank(count: int, target_frr: float) -> int:
    """Return the rank of the score that keeps the rate, from 1 on; beyond `count` there is none."""
    # A tiny slack keeps (99 + 1) * (1 - 0.01) at 99, where floating point says 99.00000000000001.
    return math.ceil((count + 1) * (1 - target_frr) - 1e-9)


def with_scores(calibration: Calibration, ordered: NDArray[np.float64]) -> Calibration:
    """Return the same calibration with the scores that another form of the model gives, ascending; none stay none."""
    return replace(calibration, **_record(ordered)) if len(ordered) else calibration


def _record(ordered: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "score_min": float(ordered[0]),
        "score_median": float(np.median(ordered)),
        "score_max": float(ordered[-1]),
        "scores": tuple(float(f"{score:.{_DIGITS}g}") for score in ordered),
    }


def tell_rate(calibration: Calibration) -> str:
    """Say what a threshold promises, to go on after "the threshold".

    Scores of a cross-fit come from models that learned from fewer pictures than the one that judges, and are not quite
    its own: what they promise is called an estimate.
    """
    if calibration.method == "cross-fit":
        words = f"should reject about {calibration.promised_frr:.1%} of good parts or fewer"
    else:
        words = f"rejects at most {calibration.promised_frr:.1%} of good parts"
    if calibration.bound_frr < 1 and calibration.method != "cross-fit":
        words += f" on average, and less than {calibration.bound_frr:.1%} with a confidence of {CONFIDENCE:.0%}"
    if _is_worth_less(calibration):
        words += f" (pictures that follow each other are worth {calibration.effective_count} of {calibration.count})"
    return words


def _is_worth_less(calibration: Calibration) -> bool:
    """Whether the pictures follow each other; 0: nobody looked."""
    return 0 < calibration.effective_count < calibration.count


def pictures_needed(target_frr: float) -> int:
    """Return how many calibration pictures the rate takes: the smallest n with 1 / (n + 1) <= rate."""
    return math.ceil(1 / target_frr - 1 - 1e-9)


def rate_bound(count: int, above: int, confidence: float = CONFIDENCE) -> float:
    """Return the rate below which the false-reject rate lies with this confidence.

    The rate r at which so many of `count` scores, or fewer, lie above the threshold with a probability of only
    1 - confidence: the upper end of Clopper & Pearson (1934), the quantile of a Beta(above + 1, count - above).

    Args:
        count: Good scores, at least 1.
        above: How many of them lie above the threshold.
        confidence: 0 to 1.
    """
    low, high = 0.0, 1.0
    if above >= count:
        return 1.0
    for _ in range(50):
        rate = (low + high) / 2
        low, high = (rate, high) if _at_most(count, above, rate) > 1 - confidence else (low, rate)
    return high


def _at_most(count: int, most: int, rate: float) -> float:
    """Return the probability of at most `most` hits in `count` trials."""
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    return sum(
        math.exp(
            math.lgamma(count + 1)
            - math.lgamma(hits + 1)
            - math.lgamma(count - hits + 1)
            + hits * log_rate
            + (count - hits) * log_rest
        )
        for hits in range(most + 1)
    )


def effective_count(scores: NDArray[np.floating]) -> int:
    """Return what scores are worth, as a number of independent ones.

    Pictures of one part, or frames of one second, say the same thing several times. By the sum of the autocorrelations
    of the scores' ranks, in pairs as long as they are positive (Geyer 1992, Statistical Science 7); and where the same
    parts come round in the same order, times the sum over the rounds. Parts that come again in another order are not
    noticed.

    Args:
        scores: (n,) in the order in which they were taken.

    Returns:
        1 to n; n where the scores do not clearly follow each other.
    """
    count = len(scores)
    if count < 4:
        return count
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") - (count - 1) / 2
    spectrum = np.fft.rfft(ranks, 2 * count)
    correlations = np.fft.irfft(spectrum * spectrum.conj())[:count] / float((ranks**2).sum())
    pairs = correlations[: count // 2 * 2].reshape(-1, 2).sum(axis=1)
    ending = np.flatnonzero(pairs <= 0)
    kept = pairs[: ending[0]] if len(ending) else pairs
    length = max(1.0, 2 * float(kept.sum()) - 1)
    by_chance = 1 / math.sqrt(count)
    # Long and weak, as where the light creeps, or short and clear, as where each part is taken twice.
    neighbours = correlations[1] / by_chance
    if neighbours < _OF_NEIGHBOURS and (neighbours < 1 or length < 1 + _BY_CHANCE * by_chance):
        length = 1.0
    return max(1, round(count / (length * _rounds(correlations, 2 * len(kept)))))


def _rounds(correlations: NDArray[np.float64], beyond: int) -> float:
    """Return how often the same parts have come round, by a peak of the autocorrelations from the lag `beyond` on."""
    count = len(correlations)
    farther = correlations[beyond : count // 2 + 1]
    # Where neighbours are alike, so are by chance those that lie apart (Bartlett 1946).
    by_chance = math.sqrt((1 + 2 * float((correlations[1:beyond] ** 2).sum())) / count)
    if not len(farther) or farther.max() < _OF_ROUNDS * by_chance:
        return 1.0
    period = beyond + int(np.argmax(farther >= _SAME_PEAK * farther.max()))
    return 1 + 2 * float(correlations[period::period].clip(0.0).sum())


def colour_scale(threshold: float) -> tuple[float, float]:
    """Return the map values of the coldest and the hottest colour, from 0 to twice the threshold.

    At 0 lies what the worst place of a usual good picture shows, by either evidence, because the map is standardised.
    """
    return 0.0, 2.0 * max(threshold, 1.0)

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

_BY_CHANCE = 8.0
"""How much longer than 1 the correlation of n independent scores may seem, in 1 / sqrt(n)."""

_DIGITS = 7
"""Of recorded scores: what float32 holds."""


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it can promise."""

    value: float
    calibration: Calibration
    left_out: int = 0
    """Odd pictures above it that did not set it."""

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
        if not calibration.extrapolated:
            return words + f"{asked:.1%} was asked for; {better} to do better"
        return words + (
            f"{asked:.1%} was asked for: that takes {pictures_needed(asked)}. The threshold is extrapolated from the "
            f"highest scores among them{self._but_for}; {better} to do better"
        )

    @property
    def _but_for(self) -> str:
        if not self.left_out:
            return ""
        those = "the one that looks" if self.left_out == 1 else f"the {self.left_out} that look"
        return f", but for {those} unlike the rest, which would have blinded it"


def conformal_threshold(
    scores: NDArray[np.floating], target_frr: float, method: str, odd: NDArray[np.bool_] | None = None
) -> Threshold:
    """Set the threshold so that a fresh good picture is rejected with probability at most `target_frr`.

    Where n scores cannot say that, because k exceeds n, the threshold is read from a tail fitted to them, and never
    lies below the highest of them: what is promised is then 1 / (n + 1), which needs no tail. It would hang on one
    picture, and a defective or misframed one among the good would make the detector blind; so pictures that were called
    odd before there were scores give way, and count as rejected in what is promised: (m + 1) / (n + 1) with m scores
    above.

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
    # A tiny slack keeps (99 + 1) * (1 - 0.01) at 99, where floating point says 99.00000000000001.
    rank = math.ceil((count + 1) * (1 - target_frr) - 1e-9)
    extrapolated = rank > count
    if extrapolated:
        highest = ordered[-1] if odd is None or odd.all() else values[~odd].max()
        usual = ordered[ordered <= highest]
        tail = fit_tail(usual)
        value = max(float(usual[-1]), tail.value_at(min(target_frr, tail.share)))
        above = int((ordered > value).sum())
        promised = (above + 1) / (count + 1)
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
        above if extrapolated else 0,
    )


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
    """Say what a threshold promises, to go on after "the threshold"."""
    words = f"rejects at most {calibration.promised_frr:.1%} of good parts"
    if calibration.bound_frr < 1:
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
    of the scores' ranks, in pairs as long as they are positive (Geyer 1992, Statistical Science 7).

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
    length = 2 * float(kept.sum()) - 1
    return count if length < 1 + _BY_CHANCE / math.sqrt(count) else max(1, round(count / length))


def colour_scale(threshold: float) -> tuple[float, float]:
    """Return the map values of the coldest and the hottest colour: from the average good place to twice the threshold.

    Zero is the centre of the good pictures, because the map is standardised.
    """
    return 0.0, 2.0 * max(threshold, 1.0)

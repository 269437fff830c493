"""The threshold: a conformal quantile of the scores of good pictures that nothing else touched."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.spec import Calibration


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it can promise."""

    value: float
    calibration: Calibration
    left_out: int = 0
    """Odd pictures above it that did not set it."""

    @property
    def warning(self) -> str:
        """What to tell the user where the pictures are too few for the rate that was asked for; else empty."""
        asked, promised = self.calibration.target_frr, self.calibration.promised_frr
        if promised <= asked:
            return ""
        return (
            f"{self.calibration.count} calibration pictures can promise a false-reject rate of {promised:.1%} at best, "
            f"{asked:.1%} was asked for: that takes {pictures_needed(asked)} of them. The threshold is the highest "
            f"score among them{self._but_for}; add good pictures to do better"
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

    With n exchangeable scores, a fresh one lies above the k-th smallest with probability at most 1 - k / (n + 1)
    (split conformal prediction, Vovk et al. 2005; Lei et al., arXiv 1604.04173); so k = ceil((n + 1)(1 - rate)).
    Where that exceeds n, the highest score is taken, which promises 1 / (n + 1). It would hang on one picture then, and
    a defective or misframed one among the good would make the detector blind; so pictures that were called odd before
    there were scores give way, and count as rejected in what is promised: (m + 1) / (n + 1) with m scores above.

    Args:
        scores: (n,) scores of good pictures, n at least 1.
        target_frr: The rate asked for, 0 to 1.
        method: `split` or `cross-fit`, for the record.
        odd: (n,) whether each picture looks unlike the rest, known without its score; None where nobody looked.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    count = len(ordered)
    # A tiny slack keeps (99 + 1) * (1 - 0.01) at 99, where floating point says 99.00000000000001.
    rank = math.ceil((count + 1) * (1 - target_frr) - 1e-9)
    promised, left_out = target_frr, 0
    if rank > count:
        usual = ordered if odd is None or odd.all() else np.asarray(scores, np.float64)[~odd]
        left_out = int((ordered > usual.max()).sum())
        rank, promised = count - left_out, (left_out + 1) / (count + 1)
    calibration = Calibration(
        method=method,
        count=count,
        target_frr=target_frr,
        promised_frr=promised,
        score_min=float(ordered[0]),
        score_median=float(np.median(ordered)),
        score_max=float(ordered[-1]),
    )
    return Threshold(float(ordered[rank - 1]), calibration, left_out)


def pictures_needed(target_frr: float) -> int:
    """Return how many calibration pictures the rate takes: the smallest n with 1 / (n + 1) <= rate."""
    return math.ceil(1 / target_frr - 1 - 1e-9)


def colour_scale(threshold: float) -> tuple[float, float]:
    """Return the map values of the coldest and the hottest colour: from the average good place to twice the threshold.

    Zero is the centre of the good pictures, because the map is standardised.
    """
    return 0.0, 2.0 * max(threshold, 1.0)

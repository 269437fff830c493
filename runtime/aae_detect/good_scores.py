"""How usual a score is among good pictures: its conformal p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aae_detect.tail import Tail, fit_tail


@dataclass(frozen=True, eq=False)
class GoodScores:
    """The scores that a threshold rests on, and the tail beyond them."""

    ordered: NDArray[np.float64]
    """(n,) ascending, n at least 1."""

    tail: Tail
    """At least exponential: so few scores cannot say that no good one ever lies beyond some score."""

    @classmethod
    def from_scores(cls, scores: Sequence[float]) -> GoodScores | None:
        """Take ascending scores; None where there are none."""
        if not len(scores):
            return None
        ordered = np.asarray(scores, np.float64)
        tail = fit_tail(ordered)
        if tail.shape < 0:
            tail = replace(tail, scale=tail.scale / (1 - tail.shape), shape=0.0)  # with the same mean excess
        return cls(ordered, tail)

    def p_value(self, score: float) -> float:
        """Return the probability that a good picture scores so high or higher.

        With n good scores of which m are as high, (m + 1) / (n + 1): under exchangeability a fresh good picture gets a
        p-value of at most p with probability at most p (Vovk et al. 2005). Above all of them that would be 1 / (n + 1)
        for a scratch and for a hammer alike; from there on it falls as the fitted tail does, so anything below
        1 / (n + 1) is extrapolated.
        """
        count = len(self.ordered)
        reached = count - int(np.searchsorted(self.ordered, score, side="left"))
        least = 1 / (count + 1)
        if reached:
            return (reached + 1) * least
        return least * self.tail.probability_above(score) / self.tail.probability_above(float(self.ordered[-1]))

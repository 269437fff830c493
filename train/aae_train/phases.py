"""The parts of a stage: who learns in which share of the budget, and how fast."""

from __future__ import annotations

import math
from dataclasses import replace

from aae_train.family import Phase

HEAD_PHASE = "head"
HEAD_SHARE = 0.6
"""Share of the budget in which the judge's head learns, where it has one. Steps of the drawer have become faster than
the head's; this gives either a third more of them than half of the time gave before. Shares were not compared."""

WARM_UP_STEPS = 50
LAST_RATE = 0.02
"""Share of the peak learning rate at the end of the cosine."""


def list_phases(of_family: tuple[Phase, ...], with_head: bool) -> tuple[Phase, ...]:
    """List the phases of a stage: those of the family, and then the head's, while everything else stands still.

    A head that learns beside a drawer which is still changing learns what is no more; and once that one stands still,
    a step costs half.
    """
    if not with_head:
        return of_family
    shrunk = [replace(phase, share=phase.share * (1 - HEAD_SHARE), selects=False) for phase in of_family]
    return *shrunk, Phase(HEAD_PHASE, HEAD_SHARE)


def learning_rate_share(done: float, step: int) -> float:
    """Return the learning rate as a share of its peak: linear warm-up, then half a cosine down to a fiftieth.

    Args:
        done: Share of the budget that is used, 0 to 1.
        step: Steps taken.
    """
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))

"""A prior that a user gives in Python: any function that samples it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import ConfigError
from aae_detect.prior import Prior
from aae_train.config import CUSTOM

_RECORDED = 4096
_MOST_NUMBERS = 2**20


def record_prior(sample: Callable[[int, int], NDArray[np.floating]], dim: int) -> Prior:
    """Record samples of a prior; from then on the run, its resumption and the device draw from these.

    Best with mean 0 and variance 1 in every number, like the built-in priors.

    Args:
        sample: Takes (n, dim), returns an array of that shape: n independent samples of one place's numbers.
        dim: Numbers of one place, `TrainConfig.latent_chw[0]`.

    Raises:
        ConfigError: it returns something else.
    """
    count = max(1, min(_RECORDED, _MOST_NUMBERS // dim))
    bank = np.asarray(sample(count, dim), dtype=np.float32)
    if bank.shape != (count, dim) or not np.isfinite(bank).all():
        what = f"shape {bank.shape}" if bank.shape != (count, dim) else "numbers that are not finite"
        raise ConfigError(f"the custom prior returned {what} for ({count}, {dim}); expected finite ({count}, {dim})")
    return Prior(CUSTOM, bank=np.ascontiguousarray(bank))

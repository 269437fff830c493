"""Random numbers of one training step: functions of seed, stage and step alone.

However many processes share a step, together they draw what one would draw, each its own rows: so a run may be resumed,
or spread over machines, and takes the same path.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae_detect.prior import Prior
from aae_train.processes import Processes

_STREAM = 7
"""Keeps these numbers apart from the loader's."""


class Draw:
    """The random numbers of one step; every call draws on."""

    def __init__(
        self, prior: Prior, prior_chw: tuple[int, int, int], seed: int, stage: int, step: int, processes: Processes
    ) -> None:
        """Start a step.

        Args:
            prior: Of the run.
            prior_chw: Shape of a prior sample.
            seed: Of the run, from 0.
            stage: Number of the model within the run.
            step: Number of the step.
            processes: Who shares it.
        """
        self._prior, self._prior_chw = prior, prior_chw
        self.step = step
        """Number of the step, for what is not done in every one."""
        self._rng = np.random.default_rng([seed, stage, _STREAM, step])
        self._processes = processes

    def prior(self, rows: int) -> Tensor:
        """Return this process's prior samples, (rows, L * h * w), on the device."""
        return self._mine(self._prior.sample_codes(rows * self._processes.count, self._prior_chw, self._rng), rows)

    def prior_for_all(self, rows: int) -> Tensor:
        """Return the same prior samples in every process, (rows, L * h * w), on the device."""
        return torch.from_numpy(self._prior.sample_codes(rows, self._prior_chw, self._rng)).to(self._processes.device)

    def normal(self, rows: int, dim: int) -> Tensor:
        """Return this process's standard normal numbers, (rows, dim), on the device; dim may be 0."""
        return self._mine(self._rng.standard_normal((rows * self._processes.count, dim), np.float32), rows)

    def uniform(self, rows: int, dim: int) -> Tensor:
        """Return this process's numbers, uniform in 0 to 1, (rows, dim), on the device."""
        return self._mine(self._rng.random((rows * self._processes.count, dim), np.float32), rows)

    def choose(self, count: int, most: int) -> Tensor:
        """Return at most so many of the numbers below `count`, each once, by chance; the same in every process."""
        chosen = np.arange(count) if count <= most else self._rng.choice(count, most, replace=False)
        return torch.from_numpy(chosen).to(self._processes.device)

    def _mine(self, drawn: NDArray[np.float32], rows: int) -> Tensor:
        first = self._processes.rank * rows
        return torch.from_numpy(drawn[first : first + rows]).to(self._processes.device)

"""Trains a family on rows of numbers: the loop of `stage` without pictures, checkpoints and selection."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aae_detect.prior import Prior
from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.family import GenerativeModel, Losses, Pictures
from aae_train.phases import learning_rate_share
from aae_train.players import Players
from aae_train.processes import Processes
from aae_train.stage import EMA_DECAY
from aae_train.start import scale_to_data
from aae_train.vector_networks import to_vectors

_EXAMPLES = 1024
"""Rows that the start is scaled to."""

_BATCH_STREAM, _START_STREAM = 9, 10
"""Keep these numbers apart from those of `draw`."""


def fit_vectors(
    model: GenerativeModel, config: TrainConfig, rows: NDArray[Any], prior: Prior
) -> tuple[GenerativeModel, list[Losses]]:
    """Train for `config.steps` steps on the CPU.

    Args:
        model: From `vector_networks.make_vector_model`, or put together from the same parts; changed in place.
        config: Steps, batch size, learning rates and seed.
        rows: (N, D), best with a mean near 0 and a variance near 1.
        prior: Of the codes.

    Returns:
        The running average of the weights, which is what to use, and the losses of every step.
    """
    assert config.steps is not None  # minutes are for runs whose speed is unknown
    processes = Processes("cpu")
    rng = np.random.default_rng([config.seed, _START_STREAM])
    examples = rng.permutation(len(rows))[:_EXAMPLES]
    samples = prior.sample_codes(len(examples), model.prior_chw, rng)
    model.start(to_vectors(rows[examples]), torch.from_numpy(samples))
    if model.latent_discriminator is not None:
        scale_to_data(model.latent_discriminator, torch.from_numpy(samples))
    average = copy.deepcopy(model).requires_grad_(False)
    players = Players(model.players(config), processes, "fp32")  # so small, bf16 gains nothing
    history: list[Losses] = []
    ends = [round(config.steps * share) for share in itertools.accumulate(phase.share for phase in model.phases)]
    begin = 0
    for phase, end in zip(model.phases, ends, strict=True):
        model.load_state_dict(average.state_dict())
        for step in range(begin, end):
            players.set_rate(learning_rate_share((step - begin) / (end - begin), step - begin))
            rng = np.random.default_rng([config.seed, _BATCH_STREAM, step])
            batch = to_vectors(rows[rng.integers(len(rows), size=config.batch_size)])
            draw = Draw(prior, model.prior_chw, config.seed, 0, step, processes)
            history.append(model.step(phase.name, Pictures(batch, batch), draw, players))
            _follow(average, model, step - begin)
        begin = end
    return average, history


@torch.no_grad()
def _follow(average: GenerativeModel, model: GenerativeModel, step: int) -> None:
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for kept, value in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(value)

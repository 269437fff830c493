"""Where training starts: weights that drawn products have taught, so that little is left to learn of a new one.

A head that starts from chance spends most of a short training on what all products have in common: what edges, threads
and scratches look like, and what to make of a drawing that is a little blurred. The file beside this one begins after
that. No photograph had a part in it: `scripts/make_starting_point.py` made it from pictures that it draws by chance.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from aae_train.checkpoint import read_tensors

STARTING_POINT = Path(__file__).with_name("starting_point.safetensors")

DRAWER, HEAD = ("model.encoder.", "model.decoder."), ("judge.head.",)
PARTS = (DRAWER, HEAD)
"""What starts there, by what the names of the weights begin with; of each, everything or nothing."""


@torch.no_grad()
def take_starting_point(
    detector: nn.Module, path: Path = STARTING_POINT, parts: tuple[tuple[str, ...], ...] = PARTS
) -> None:
    """Start a detector's `parts` there, as far as it has the networks of the file; others stay as they are.

    Raises:
        ConfigError: the file cannot be read.
    """
    start, _ = read_tensors(path)
    weights = detector.state_dict()
    for prefixes in parts:
        part = {name: tensor for name, tensor in start.items() if name.startswith(prefixes)}
        # A network may have more than the file, as a Gaussian posterior has variances; but never less.
        if all(name in weights and weights[name].shape == tensor.shape for name, tensor in part.items()):
            for name, tensor in part.items():
                weights[name].copy_(tensor)

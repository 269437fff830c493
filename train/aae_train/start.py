"""Weights to start from: scaled layer by layer until the first batch passes through with zero mean and unit variance.

Without layers that normalise, a deep chain starts with signals that shrink at every step: the code comes out forty
times narrower than its prior, and training spends its first thousand steps on nothing but scale. One pass over real
pictures mends that (data-dependent initialization: Salimans & Kingma, arXiv 1602.07868; Mishkin & Matas, arXiv
1511.06422), and costs nothing afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SMALLEST_STD = 1e-3
"""A channel that hardly moves on the first batch is left alone: dividing by almost nothing would blow it up."""

_FEW = 256
"""Below so many values, the channels of a layer share one scale: their own would be noise."""

_PICTURE_STD = 0.25
"""Contrast of the first drawings, about that of a picture in [-1, 1]."""

Affine = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


@torch.no_grad()
def scale_to_data(network: nn.Module, example: Tensor, drawn_like: Tensor | None = None) -> Tensor:
    """Scale every convolution and dense layer of a network, in the order in which the example reaches them.

    Args:
        network: Changed in place.
        example: What it is fed.
        drawn_like: (N, C, ...) pictures whose mean per channel the last layer starts at; without them, the last layer
            comes out with zero mean and unit variance like all others.

    Returns:
        What the scaled network makes of the example.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, Affine)]

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        assert isinstance(layer, Affine)
        mean: Tensor | float = 0.0
        std = 1.0
        if layer is layers[-1] and drawn_like is not None:
            mean, std = drawn_like.transpose(0, 1).flatten(1).mean(dim=1), _PICTURE_STD
        return _scale(layer, inputs[0], out, mean, std)

    # A hook's answer takes the place of the layer's, so that the next layer sees what is scaled already.
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    try:
        scaled: Tensor = network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return scaled


def _scale(layer: Affine, example: Tensor, out: Tensor, mean: Tensor | float, std: float) -> Tensor:
    """Scale one layer and return what comes out of it then."""
    if layer.bias is None:
        return out
    values = out.transpose(0, 1).flatten(1)  # (C, everything else)
    found_mean = values.mean(dim=1)
    variance = values.var(dim=1, correction=0)
    if values.shape[1] < _FEW:
        variance = variance.mean().expand_as(variance)
    moves = variance.sqrt() > _SMALLEST_STD
    gain = torch.where(moves, std / variance.sqrt().clamp_min(_SMALLEST_STD), 1.0)
    channel_axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    shape = [-1 if axis == channel_axis else 1 for axis in range(layer.weight.dim())]
    layer.weight.mul_(gain.view(shape))
    # A layer that starts as a constant, such as a posterior's variance, keeps that constant.
    layer.bias.copy_(torch.where(moves, (layer.bias - found_mean) * gain + mean, layer.bias))
    scaled: Tensor = layer.forward(example)  # not layer(...): that would call the hook again
    return scaled

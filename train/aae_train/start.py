"""Weights to start from: scaled layer by layer until the first batch passes through with zero mean and unit variance.

Without layers that normalise, a deep chain starts with signals that shrink at every step: the code comes out forty
times narrower than its prior, and training spends its first thousand steps on nothing but scale. One pass over real
pictures mends that (data-dependent initialization: Salimans & Kingma, arXiv 1602.07868; Mishkin & Matas, arXiv
1511.06422), and costs nothing afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aae_train.aae import AdversarialAutoencoder

_SMALLEST_STD = 1e-3
"""A channel that hardly moves on the first batch is left alone: dividing by almost nothing would blow it up."""

_PICTURE_STD = 0.25
"""Contrast of the first drawings, about that of a picture in [-1, 1]."""


@torch.no_grad()
def scale_to_data(model: AdversarialAutoencoder, pictures: Tensor) -> None:
    """Scale every convolution of encoder and decoder to the pictures; the drawing starts at their mean colour.

    Args:
        model: Changed in place; the code of `pictures` comes out with zero mean and unit variance per channel.
        pictures: (B, 3, H, W) in [-1, 1].
    """
    x = _scale_along(model.encoder.features, pictures)
    code = _scale_layer(model.encoder.to_latent, x)  # (B, L, H/16, W/16)
    x = _scale_layer(model.decoder.from_latent, code)
    x = _scale_along(model.decoder.features, x)
    _scale_layer(model.decoder.to_picture, x, mean=pictures.mean(dim=(0, 2, 3)), std=_PICTURE_STD)


def _scale_along(layers: nn.Sequential, x: Tensor) -> Tensor:
    for layer in layers:
        x = _scale_layer(layer, x)
    return x


def _scale_layer(layer: nn.Module, x: Tensor, mean: Tensor | None = None, std: float = 1.0) -> Tensor:
    """Scale one layer, if it is a convolution, and return what comes out of it."""
    out: Tensor = layer(x)
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) or layer.bias is None:
        return out
    found_std, found_mean = torch.std_mean(out, dim=(0, 2, 3))
    gain = torch.where(found_std > _SMALLEST_STD, std / found_std, 1.0)
    channel_axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    layer.weight.mul_(gain.view([-1 if axis == channel_axis else 1 for axis in range(4)]))
    layer.bias.copy_((layer.bias - found_mean) * gain + (0.0 if mean is None else mean))
    scaled: Tensor = layer(x)
    return scaled

"""Folds what is computed with weights alone into the weights: fewer operations for the same answer.

    x + conv(x)                          becomes one convolution, with 1 added where it looks at x itself
    conv(picture - drawing)              is linear, so the picture's part of it joins the convolution of the picture

What comes out is the same but for rounding, and is compared with the model as it was trained.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from aae_train.head import Look
from aae_train.networks import Residual

_Module = TypeVar("_Module", bound=nn.Module)


class FoldedLook(nn.Module):
    """As `Look`, but that the difference is never made."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        of_picture, of_drawing = look.kernels()
        self.picture = copy.deepcopy(look.picture)
        self.picture.weight.copy_(of_picture)
        self.drawing = nn.Conv2d(self.picture.in_channels, self.picture.out_channels, 3, padding=1, bias=False)
        self.drawing.weight.copy_(of_drawing)

    def forward(self, picture: Tensor, drawn: Tensor) -> Tensor:
        """Take a picture (N, 3, H, W) and a drawing (N, 3, H/2, W/2) to features (N, STEM, H/2, W/2)."""
        features: Tensor = self.picture(picture) + self.drawing(drawn)
        return features


@torch.no_grad()
def fold(module: _Module) -> _Module:
    """Return a folded copy of a trained module; the module itself stays as it is."""
    folded = copy.deepcopy(module)
    for parent in list(folded.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Residual):
                setattr(parent, name, _plain(child))
            elif isinstance(child, Look):
                setattr(parent, name, FoldedLook(child))
    return folded.requires_grad_(False)


def _plain(residual: Residual) -> nn.Conv2d:
    conv = residual.conv
    height, width = conv.kernel_size
    for channel in range(conv.out_channels):
        conv.weight[channel, channel, height // 2, width // 2] += 1.0
    return conv

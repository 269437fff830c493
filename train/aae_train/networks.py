"""The networks for pictures: encoder, decoder, and the discriminators of codes and of pictures.

No layer normalises over a batch: statistics of a batch would differ between processes, and would change with the batch
size. An edge CPU spends its time at high resolution, so detectors read pictures in steps of 4 pixels and draw them in
half the size, which loses little: what comes out of a narrow code is smooth. Channels come in blocks of 16, as ONNX
Runtime keeps them. The decoder grows by 2x2 transposed convolutions, which it runs faster than resize + 3x3
convolution; 1x1 convolution + repeat, as in the head, is faster still, and was not tried for what it draws.

A code is (L, h, w): L numbers for each place of a grid. A vector code is a grid of one place; it goes through a dense
layer on either side, and what it draws hangs together over the whole picture, where a grid only remembers locally.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from aae_train.posterior import Posterior


@dataclass(frozen=True)
class Layout:
    """How an encoder shrinks a picture, and a decoder grows it."""

    reading_step: int
    """Pixels from one place to the next that the first layer looks at: 2 or 4."""

    widths: tuple[int, ...]
    """Channels of each resolution from there on, each half of the one before; the last is that of a code."""

    @property
    def drawing_step(self) -> int:
        """Pixels of a picture to one of its drawing."""
        return self.reading_step // 2


FAST = Layout(4, (32, 64, 96))
"""For detectors: the layout of `FINE`, with a head and descriptors to match, took ONNX Runtime twice as long."""

FINE = Layout(2, (24, 48, 80, 112))
"""For who draws whole pictures, and for discriminators, which see every pixel of them."""

CODE_STEP = 16
"""Input pixels a side of one place of a grid code. Coarser codes (32) take several times as long to learn parts that
move: after 700 steps holes were still missing that a code of 16 draws after 500."""

_DEEP = 2
"""Residual layers at the coarsest level: what has to be seen together, such as a part and its missing hole, meets
here."""

_NARROW = 48
"""Channels at 1/32 of the input size, on the way to a vector: the dense layer's weights grow with it."""

_DENSE = 128
DISCRIMINATOR_WIDTH = 256


class Residual(nn.Module):
    """x + conv(x), for an x that was rectified: adds depth where the picture is small; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = start_layer(nn.Conv2d(channels, channels, 3, padding=1), 2.0)
        nn.init.zeros_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        result: Tensor = x + self.conv(x)
        return result


class Encoder(nn.Module):
    """Picture to latent code: q(z|x), of which a posterior is the last part."""

    def __init__(self, trunk: nn.Module, posterior: Posterior) -> None:
        """Put an encoder together.

        Args:
            trunk: (B, 3, H, W) in [-1, 1] to features (B, C, h, w).
            posterior: Features to a code of (L, h, w).
        """
        super().__init__()
        self.trunk = trunk
        self.posterior = posterior

    @property
    def noise_dim(self) -> int:
        """Numbers of noise that a picture takes; 0 where the encoder is deterministic."""
        return self.posterior.noise_dim

    def forward(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        """Encode pictures.

        Args:
            picture: (B, 3, H, W), BGR in [-1, 1].
            noise: (B, noise_dim) standard normal; None means zeros, the answer that detection uses.

        Returns:
            (B, L * h * w), in the order of a flattened (L, h, w).
        """
        latent: Tensor = self.posterior(self.trunk(picture), noise)
        return latent


class Decoder(nn.Module):
    """Latent code to picture: p(x|z). As a generator it is fed from the prior."""

    def __init__(self, latent_chw: tuple[int, int, int], trunk: nn.Module) -> None:
        """Put a decoder together.

        Args:
            latent_chw: Shape of a code.
            trunk: (B, L, h, w) to pictures.
        """
        super().__init__()
        self.latent_chw = latent_chw
        self.trunk = trunk

    def forward(self, latent: Tensor) -> Tensor:
        """Draw pictures.

        Args:
            latent: (B, L * h * w).

        Returns:
            (B, 3, H / step, W / step), BGR, around [-1, 1]; not clamped, so that a gradient reaches every pixel. The
            step is that of the layout, 1 or 2.
        """
        picture: Tensor = self.trunk(latent.view(-1, *self.latent_chw))
        return picture


class LatentDiscriminator(nn.Module):
    """Tells codes of pictures from samples of the prior, place by place, as the prior is one of places."""

    def __init__(self, latent_chw: tuple[int, int, int], width: int = DISCRIMINATOR_WIDTH) -> None:
        super().__init__()
        self.latent_chw = latent_chw
        self.layers = nn.Sequential(
            nn.Conv2d(latent_chw[0], width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Map codes (B, L * h * w) to logits (B, h * w): positive where a place is taken for a sample of the prior."""
        # As matrices: gradients of gradients of 1x1 convolutions take several times as long.
        length, height, width = self.latent_chw
        rows = latent.view(-1, length, height * width).transpose(1, 2).reshape(-1, length)  # (B * h * w, L)
        for layer in self.layers:
            rows = F.linear(rows, layer.weight.flatten(1), layer.bias) if isinstance(layer, nn.Conv2d) else layer(rows)
        return rows.view(-1, height * width)


class PictureDiscriminator(nn.Module):
    """Tells pictures from drawings."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        """Put a discriminator together.

        Args:
            features: (B, 3, H, W) to (B, F).
            head: (B, F) to (B, 1).
        """
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, picture: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to logits (B, 1): positive where one is taken for real."""
        logits: Tensor = self.head(self.features(picture))
        return logits


def encoder_trunk(
    layout: Layout, input_hw: tuple[int, int], to: Literal["grid", "vector"]
) -> tuple[nn.Sequential, int]:
    """Make the trunk of an encoder; returns it and the channels of its features."""
    layers = _shrinking(layout, nn.ReLU())
    if to == "grid":
        return nn.Sequential(*layers), layout.widths[-1]
    return nn.Sequential(*layers, *_dense(layout, input_hw, nn.ReLU()), nn.Unflatten(1, (_DENSE, 1, 1))), _DENSE


def decoder_trunk(
    layout: Layout, latent_chw: tuple[int, int, int], input_hw: tuple[int, int], grid: bool
) -> nn.Sequential:
    """Make the trunk of a decoder, for a grid of the input's size over 16, or for a vector.

    It draws in the input's size over `layout.drawing_step`.
    """
    widths = layout.widths
    if not grid:
        height, width = _narrow_hw(input_hw)
        entry: list[nn.Module] = [
            nn.Flatten(),
            start_layer(nn.Linear(latent_chw[0], _NARROW * height * width), 2.0),
            nn.ReLU(),
            nn.Unflatten(1, (_NARROW, height, width)),
            start_layer(nn.ConvTranspose2d(_NARROW, widths[-1], 2, stride=2), 2.0),
            nn.ReLU(),
        ]
    else:
        entry = [start_layer(nn.Conv2d(latent_chw[0], widths[-1], 1), 2.0), nn.ReLU()]
    layers = [*entry]
    for _ in range(_DEEP):
        layers += [Residual(widths[-1]), nn.ReLU()]
    for finer, coarser in reversed(list(itertools.pairwise(widths))):
        layers += [start_layer(nn.ConvTranspose2d(coarser, finer, 2, stride=2), 2.0), nn.ReLU()]
        layers += [Residual(finer), nn.ReLU()]
    return nn.Sequential(*layers, start_layer(nn.ConvTranspose2d(widths[0], 3, 2, stride=2), 1.0))


def picture_discriminator(input_hw: tuple[int, int]) -> PictureDiscriminator:
    """Make a discriminator of pictures; its features are what the last hidden layer sees."""
    features = nn.Sequential(*_shrinking(FINE, nn.LeakyReLU(0.2)), *_dense(FINE, input_hw, nn.LeakyReLU(0.2)))
    return PictureDiscriminator(features, start_layer(nn.Linear(_DENSE, 1), 1.0))


def _shrinking(layout: Layout, activation: nn.Module) -> list[nn.Module]:
    """(B, 3, H, W) to (B, widths[-1], H/16, W/16)."""
    widths = layout.widths
    layers: list[nn.Module] = [_reading(layout), activation]
    for level, (finer, coarser) in enumerate(itertools.pairwise(widths), start=1):
        layers += [start_layer(nn.Conv2d(finer, coarser, 3, stride=2, padding=1), 2.0), activation]
        for _ in range(_DEEP if level == len(widths) - 1 else level // 2):
            layers += [Residual(coarser), activation]
    return layers


def _reading(layout: Layout) -> nn.Module:
    """Make the layer that sees pixels; what it sees overlaps, so that no edge falls between two places."""
    step = layout.reading_step
    size = 6 if step == 4 else 3
    return start_layer(nn.Conv2d(3, layout.widths[0], size, stride=step, padding=1), 2.0)


def _dense(layout: Layout, input_hw: tuple[int, int], activation: nn.Module) -> list[nn.Module]:
    """(B, widths[-1], H/16, W/16) to (B, 128)."""
    height, width = _narrow_hw(input_hw)
    return [
        start_layer(nn.Conv2d(layout.widths[-1], _NARROW, 3, stride=2, padding=1), 2.0),
        activation,
        nn.Flatten(),
        start_layer(nn.Linear(_NARROW * height * width, _DENSE), 2.0),
        activation,
    ]


def _narrow_hw(input_hw: tuple[int, int]) -> tuple[int, int]:
    return input_hw[0] // (2 * CODE_STEP), input_hw[1] // (2 * CODE_STEP)


_Layer = TypeVar("_Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def start_layer(layer: _Layer, gain: float) -> _Layer:
    """Start a layer's weights: gain 2 where a ReLU follows (He et al., arXiv 1502.01852), else 1; biases at zero."""
    # Each output pixel of a 2x2 stride-2 transposed convolution sees one input pixel; torch's own fan-in differs.
    fan_in = layer.in_channels if isinstance(layer, nn.ConvTranspose2d) else layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=(gain / fan_in) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

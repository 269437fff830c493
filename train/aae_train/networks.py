"""The networks of an adversarial autoencoder: encoder, decoder, and a discriminator on the latent code.

No layer normalises over a batch: statistics of a batch would differ between processes, and would change with the batch
size. Few channels stand at high resolution, because that is where an edge CPU spends its time; the decoder grows by 2x2
transposed convolutions, which ONNX Runtime runs faster than resize + convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (24, 48, 80, 112)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the input size."""

CODE_STEP: int = 2 ** len(WIDTHS)
"""Input pixels a side of one place of the code. Coarser codes (32) take several times as long to learn parts that move:
after 700 steps holes were still missing that a code of 16 draws after 500."""

_DEEP = 2
"""Residual layers at the coarsest level: what has to be seen together, such as a part and its missing hole, meets
here."""

DISCRIMINATOR_WIDTH = 256


class Residual(nn.Module):
    """x + conv(x), for an x that was rectified: adds depth where the picture is small; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(_bias(self.conv))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        result: Tensor = x + self.conv(x)
        return result


class Encoder(nn.Module):
    """Picture to latent code: q(z|x) of a deterministic autoencoder."""

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for level, width in enumerate(WIDTHS):
            layers += [_conv(nn.Conv2d(previous, width, 3, stride=2, padding=1)), nn.ReLU()]
            for _ in range(_DEEP if level == len(WIDTHS) - 1 else level // 2):
                layers += [Residual(width), nn.ReLU()]
            previous = width
        self.features = nn.Sequential(*layers)
        self.to_latent = _linear(nn.Conv2d(previous, latent_channels, 1))

    def forward(self, picture: Tensor) -> Tensor:
        """Encode pictures.

        Args:
            picture: (B, 3, H, W), BGR in [-1, 1], sides multiples of 16.

        Returns:
            (B, latent_channels * H/16 * W/16), places row by row inside each channel.
        """
        code: Tensor = self.to_latent(self.features(picture))  # (B, L, H/16, W/16)
        return code.flatten(1)


class Decoder(nn.Module):
    """Latent code to picture: p(x|z)."""

    def __init__(self, latent_channels: int, input_hw: tuple[int, int]) -> None:
        super().__init__()
        self.code_chw = (latent_channels, input_hw[0] // CODE_STEP, input_hw[1] // CODE_STEP)
        self.from_latent = _conv(nn.Conv2d(latent_channels, WIDTHS[-1], 1))
        layers: list[nn.Module] = [nn.ReLU()]
        for _ in range(_DEEP):
            layers += [Residual(WIDTHS[-1]), nn.ReLU()]
        for level in range(len(WIDTHS) - 1, 0, -1):
            width = WIDTHS[level - 1]
            layers += [_conv(nn.ConvTranspose2d(WIDTHS[level], width, 2, stride=2), fan_in=WIDTHS[level]), nn.ReLU()]
            layers += [Residual(width), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.to_picture = _linear(nn.ConvTranspose2d(WIDTHS[0], 3, 2, stride=2), fan_in=WIDTHS[0])

    def forward(self, latent: Tensor) -> Tensor:
        """Draw pictures.

        Args:
            latent: (B, D).

        Returns:
            (B, 3, H, W), BGR, around [-1, 1]; not clamped, so that a gradient reaches every pixel.
        """
        code = latent.view(-1, *self.code_chw)  # (B, L, H/16, W/16)
        picture: Tensor = self.to_picture(self.features(self.from_latent(code)))
        return picture


class LatentDiscriminator(nn.Module):
    """Tells codes of pictures from samples of the prior."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, DISCRIMINATOR_WIDTH),
            nn.LeakyReLU(0.2),
            nn.Linear(DISCRIMINATOR_WIDTH, DISCRIMINATOR_WIDTH),
            nn.LeakyReLU(0.2),
            nn.Linear(DISCRIMINATOR_WIDTH, 1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Map codes (B, D) to logits (B,): positive where it takes a code for a sample of the prior."""
        logits: Tensor = self.layers(latent)
        return logits.squeeze(1)


def _conv(layer: nn.Conv2d | nn.ConvTranspose2d, fan_in: int | None = None) -> nn.Module:
    """Start a layer that a ReLU follows (He et al., arXiv 1502.01852), biases at zero."""
    return _start(layer, 2.0, fan_in)


def _linear(layer: nn.Conv2d | nn.ConvTranspose2d, fan_in: int | None = None) -> nn.Module:
    """Start a layer that no activation follows, biases at zero."""
    return _start(layer, 1.0, fan_in)


def _start(layer: nn.Conv2d | nn.ConvTranspose2d, gain: float, fan_in: int | None) -> nn.Module:
    # Each output pixel of a 2x2 stride-2 transposed convolution sees one input pixel; torch's own fan-in differs.
    inputs = fan_in if fan_in is not None else layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=(gain / inputs) ** 0.5)
    nn.init.zeros_(_bias(layer))
    return layer


def _bias(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    assert layer.bias is not None  # made with a bias in this file
    return layer.bias

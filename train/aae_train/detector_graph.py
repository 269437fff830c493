"""The detector as one module: a picture in, map, score and drawing out. What this computes is what is exported.

Two kinds of evidence come from picture and drawing, each a number per cell of 4x4 pixels:

    detail:  sqrt(mean of (x - x')^2)   catches what is thin or sharp, such as a scratch; squares let few pixels count
    shift:   |mean of (x - x')|         catches faint colour over an area; sensor noise averages out of it

Each is blurred a little, detail less, so that a thin line is not spread out, and standardised per place by how it
behaves on good pictures that training never saw, so that an edge that is always hard to draw does not look like a
defect. The map is the larger of the two, in standard deviations.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_train.family import GenerativeModel
from aae_train.networks import PictureDiscriminator

CELL = 4
"""Pixels a side of one cell of the map."""

EVIDENCE = ("detail", "shift")
_BLUR_SIGMAS = (0.7, 1.0)
"""Cells, for detail and shift. Chosen on the demo camera: against 1.0 for both and mean |x - x'|, it finds twice as
many scratches at the same false-reject rate."""

_BLUR_RADIUS = 2


class DetectorGraph(nn.Module):
    """Encoder, decoder and the scoring of what they could not redraw."""

    centre: Tensor
    spread: Tensor
    blur: Tensor

    def __init__(self, encoder: nn.Module, decoder: nn.Module, centre: Tensor, spread: Tensor) -> None:
        """Put a detector together.

        Args:
            encoder: (B, 3, H, W) in [-1, 1], and noise (B, noise_dim) or None, to (B, D).
            decoder: Its inverse.
            centre: (1, 2, H/4, W/4) mean of the evidence on good pictures.
            spread: The same shape, its standard deviation, above 0.
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)
        self.register_buffer("blur", blur_kernel(), persistent=False)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Judge pictures.

        Args:
            image: (N, H, W, 3) uint8 BGR at model size.
            noise: (N, noise_dim), or (1, noise_dim) for all, of a stochastic encoder; None means zeros.

        Returns:
            anomaly_map (N, H/4, W/4) float32; anomaly_score (N,) float32, the map's maximum;
            reconstruction (N, H, W, 3) uint8 BGR.
        """
        picture = to_model_range(image)
        code = self.encoder(picture, None if noise is None else noise.expand(image.shape[0], -1))
        drawn = self.decoder(code).clamp(-1.0, 1.0)
        standardised = (evidence(picture, drawn, self.blur) - self.centre) / self.spread  # (N, 2, h, w)
        anomaly_map = standardised.amax(dim=1)
        return anomaly_map, anomaly_map.amax(dim=(1, 2)), to_image(drawn)


class EncoderGraph(nn.Module):
    """The encoder as it is exported: from the same `image` as the detector's."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Take (N, H, W, 3) uint8 BGR, and noise (N, noise_dim) of a stochastic encoder, to codes (N, D) float32."""
        latent: Tensor = self.encoder(to_model_range(image), noise)
        return latent


class DecoderGraph(nn.Module):
    """The decoder as it is exported."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor) -> Tensor:
        """Take codes (N, D) float32 to pictures (N, H, W, 3) uint8 BGR."""
        return to_image(self.decoder(latent).clamp(-1.0, 1.0))


class GeneratorGraph(nn.Module):
    """The generator as it is exported: for most families the decoder, fed from the prior."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, prior_sample: Tensor) -> Tensor:
        """Take samples of the prior (N, P) float32 to pictures (N, H, W, 3) uint8 BGR."""
        return to_image(self.model.generate(prior_sample).clamp(-1.0, 1.0))


class LatentDiscriminatorGraph(nn.Module):
    """A discriminator of codes as it is exported."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, latent: Tensor) -> Tensor:
        """Take codes (N, D) float32 to logits (N,): the mean over places; higher is more like the prior."""
        logits: Tensor = self.discriminator(latent)
        return logits.mean(dim=1)


class PictureDiscriminatorGraph(nn.Module):
    """A discriminator of pictures as it is exported, with what its last hidden layer saw."""

    def __init__(self, discriminator: PictureDiscriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Take (N, H, W, 3) uint8 BGR to logits (N,), higher is more like a real one, and features (N, F)."""
        features: Tensor = self.discriminator.features(to_model_range(image))
        return self.discriminator.head(features).squeeze(1), features


def to_model_range(image: Tensor) -> Tensor:
    """Take (N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1]."""
    return image.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_image(picture: Tensor) -> Tensor:
    """Take (N, 3, H, W) in [-1, 1] to (N, H, W, 3) uint8."""
    return ((picture + 1.0) * 127.5).round().permute(0, 2, 3, 1).to(torch.uint8)


def evidence(picture: Tensor, drawn: Tensor, blur: Tensor) -> Tensor:
    """Measure, per cell, what the drawing lacks.

    Args:
        picture: (N, 3, H, W) in [-1, 1].
        drawn: The same shape.
        blur: From `blur_kernel`.

    Returns:
        (N, 2, H/4, W/4): detail and shift, not standardised.
    """
    difference = picture - drawn
    detail = F.avg_pool2d(difference.square().mean(dim=1, keepdim=True), CELL).sqrt()
    shift = F.avg_pool2d(difference, CELL).abs().mean(dim=1, keepdim=True)
    cells = torch.cat([detail, shift], dim=1)
    # Edges are repeated, not padded with zeros: a border of zeros would hide defects at the rim.
    padded = F.pad(cells, (_BLUR_RADIUS,) * 4, mode="replicate")
    return F.conv2d(padded, blur, groups=len(EVIDENCE))


def blur_kernel() -> Tensor:
    """Return a Gaussian for each kind of evidence, (2, 1, 5, 5), each of sum 1."""
    offsets = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, dtype=torch.float32)
    lines = [torch.exp(-0.5 * (offsets / sigma) ** 2) for sigma in _BLUR_SIGMAS]
    return torch.stack([torch.outer(line, line)[None] / line.sum() ** 2 for line in lines])

"""The detector as one module: a picture in, map, score and drawing out. What this computes is what is exported.

Encoder and decoder draw what the part should look like; the judge (`judge`) gives evidence from picture and drawing;
each kind of evidence is standardised per place by how it behaves on good pictures that training never saw, so that an
edge that is always hard to draw does not look like a defect; and the judge combines them into the map.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aae_detect.scoring import SILENT
from aae_train.family import GenerativeModel
from aae_train.judge import CELL, Judge
from aae_train.networks import PictureDiscriminator
from aae_train.picture_mask import PAINT, cells_of


class DetectorGraph(nn.Module):
    """Encoder, decoder, and the judge of what they drew."""

    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        judge: Judge,
        centre: Tensor,
        spread: Tensor,
        inside: NDArray[np.bool_] | None = None,
    ) -> None:
        """Put a detector together.

        Args:
            encoder: (B, 3, H, W) in [-1, 1], and noise (B, noise_dim) or None, to (B, D).
            decoder: Its inverse.
            judge: Gives K kinds of evidence.
            centre: (1, K, H/4, W/4) from `evidence_statistics`.
            spread: The same shape, above 0.
            inside: (H, W), where to look; None: everywhere.
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.judge = judge
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)
        self.mask = None if inside is None else MaskGraph(inside)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Judge pictures.

        Args:
            image: (N, H, W, 3) uint8 BGR at model size.
            noise: (N, noise_dim), or (1, noise_dim) for all, of a stochastic encoder; None means zeros.

        Returns:
            anomaly_map (N, H/4, W/4) float32; anomaly_score (N,) float32, the map's maximum;
            reconstruction uint8 BGR, (N, H, W, 3) or half the size.
        """
        if self.mask is not None:
            image = self.mask.paint(image)
        picture = to_model_range(image)
        code = self.encoder(picture, None if noise is None else noise.expand(image.shape[0], -1))
        drawn = self.decoder(code).clamp(-1.0, 1.0)
        standardised = (self.judge.evidence(picture, drawn) - self.centre) / self.spread  # (N, K, h, w)
        anomaly_map = self.judge.combine(standardised)
        if self.mask is not None:
            anomaly_map = self.mask.silence(anomaly_map)
        return anomaly_map, anomaly_map.amax(dim=(1, 2)), to_image(drawn)


class MaskGraph(nn.Module):
    """Where to look: what lies outside is painted over before anything sees it, and its cells say nothing."""

    inside: Tensor
    cells: Tensor

    def __init__(self, inside: NDArray[np.bool_]) -> None:
        """Take a mask (H, W) in the model's input."""
        super().__init__()
        self.register_buffer("inside", torch.from_numpy(inside.copy())[None, :, :, None])
        self.register_buffer("cells", torch.from_numpy(cells_of(inside, CELL))[None])

    def paint(self, image: Tensor) -> Tensor:
        """Paint (N, H, W, 3) uint8."""
        return torch.where(self.inside, image, torch.tensor(PAINT, dtype=torch.uint8, device=image.device))

    def silence(self, anomaly_map: Tensor) -> Tensor:
        """Silence the cells outside, (N, H/4, W/4)."""
        return torch.where(self.cells, anomaly_map, torch.tensor(float(SILENT), device=anomaly_map.device))


class EncoderGraph(nn.Module):
    """The encoder as it is exported: from the same `image` as the detector's."""

    def __init__(self, encoder: nn.Module, inside: NDArray[np.bool_] | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.mask = None if inside is None else MaskGraph(inside)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Take (N, H, W, 3) uint8 BGR, and noise (N, noise_dim) of a stochastic encoder, to codes (N, D) float32."""
        if self.mask is not None:
            image = self.mask.paint(image)
        latent: Tensor = self.encoder(to_model_range(image), noise)
        return latent


class DecoderGraph(nn.Module):
    """The decoder as it is exported."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor) -> Tensor:
        """Take codes (N, D) float32 to pictures uint8 BGR, (N, H, W, 3) or half the size."""
        return to_image(self.decoder(latent).clamp(-1.0, 1.0))


class GeneratorGraph(nn.Module):
    """The generator as it is exported: for most families the decoder, fed from the prior."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, prior_sample: Tensor) -> Tensor:
        """Take samples of the prior (N, P) float32 to pictures uint8 BGR, (N, H, W, 3) or half the size."""
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
    return ((picture + 1.0) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

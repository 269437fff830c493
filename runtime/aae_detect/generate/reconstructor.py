"""What a model makes of a picture: through the encoder, and back through the decoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect.generate.generator import random_of
from aae_detect.generate.part_model import PartModel, require_one_export
from aae_detect.preprocess import prepare
from aae_detect.session import AUTO


class Reconstructor:
    """A loaded `encoder.onnx` and `decoder.onnx`."""

    def __init__(self, encoder: PartModel, decoder: PartModel) -> None:
        """Use `Reconstructor.load`; it makes the arguments."""
        self.encoder = encoder
        self.decoder = decoder

    @classmethod
    def load(cls, folder: str | Path, provider: str = AUTO, threads: int = 0) -> Reconstructor:
        """Load encoder and decoder of an export.

        Args:
            folder: What `aae-export` wrote.
            provider: As `open_session` takes it.
            threads: Threads inside an operator; 0 means one per core.

        Raises:
            ModelError: a file is missing, refused, from an older aae-export, or they are of different models.
            ConfigError: the provider is not there.
        """
        encoder = PartModel.open(Path(folder), "encoder", provider, threads)
        decoder = PartModel.open(Path(folder), "decoder", provider, threads)
        require_one_export([encoder, decoder])
        return cls(encoder, decoder)

    @property
    def stochastic(self) -> bool:
        """Whether the encoder takes noise, so that one picture has many reconstructions."""
        return self.encoder.note.noise_dim > 0

    def prepare(self, image: Any, bits: int | None = None) -> NDArray[np.uint8]:
        """Take a picture to the model's input, HxWx3 uint8 BGR, as detection does.

        Args:
            image: As `to_bgr8` takes it.
            bits: Depth that a uint16 picture carries; None: that of the pictures that the model learned from.

        Raises:
            FrameError: not a picture, see `to_bgr8`.
        """
        note = self.encoder.note
        return prepare(image, note.input_hw, note.fit, note.bits if bits is None else bits)[0]

    def noise(self, count: int, seed: int) -> NDArray[np.float32]:
        """Draw noise for the encoder, standard normal, (count, noise_dim) float32."""
        dim = self.encoder.note.noise_dim
        # Places of a seed with two numbers; the samples of the prior have one.
        rows = [random_of(seed, 0, number).standard_normal(dim, dtype=np.float32) for number in range(count)]
        return np.stack(rows) if rows else np.empty((0, dim), np.float32)

    def reconstruct(self, image: NDArray[np.uint8], noise: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
        """Reconstruct a prepared picture.

        Args:
            image: HxWx3 uint8 BGR at the model's size, from `prepare`.
            noise: (noise_dim,) for a stochastic encoder; None means zeros, with which detection works.

        Returns:
            HxWx3 uint8 BGR, of the note's `drawn_hw`: the picture's size, or half of it.
        """
        inputs: dict[str, NDArray[Any]] = {"image": image[np.newaxis]}
        if self.stochastic:
            row = np.zeros(self.encoder.note.noise_dim, np.float32) if noise is None else noise
            inputs["noise"] = row[np.newaxis]
        picture: NDArray[np.uint8] = self.decoder.run(latent=self.encoder.run(**inputs))[0]
        return picture

    def draw(self, image: NDArray[np.uint8], noise: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
        """Reconstruct a prepared picture once per row of noise (N, noise_dim)."""
        for row in noise:
            yield self.reconstruct(image, row)

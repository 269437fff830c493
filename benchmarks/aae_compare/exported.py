"""The files beside a detector, run through ONNX Runtime as a device would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect.generate.generator import Generator
from aae_detect.generate.part_model import require_one_export
from aae_detect.generate.reconstructor import Reconstructor
from aae_detect.part_file import read_part
from aae_detect.picture_source import read_picture
from aae_detect.prior import Prior
from aae_detect.session import open_session

_CODES_OF_THEIR_OWN = ("gmmn-ae",)
"""Families whose codes are not held to the prior: their generator goes from the prior to a code first."""


class Exported:
    """Encoder, decoder, generator and, where there is one, discriminator of an export."""

    def __init__(self, folder: Path, provider: str, threads: int) -> None:
        """Load them.

        Args:
            folder: What `aae-export` wrote.
            provider: As `open_session` takes it.
            threads: As `open_session` takes it.

        Raises:
            ModelError: a file is refused.
        """
        self.reconstructor = Reconstructor.load(folder, provider, threads)
        self.generator = Generator.load(folder, provider, threads)
        require_one_export([self.reconstructor.encoder, self.generator.model])
        path = folder / "discriminator.onnx"
        self._discriminator: Any = None
        if path.is_file():
            self._discriminator = open_session(read_part(path, "discriminator").content, provider, threads)[0]

    @property
    def latent_chw(self) -> tuple[int, int, int]:
        """Shape of a code: numbers per place, places down and across."""
        return self.reconstructor.encoder.note.latent_chw

    @property
    def prior(self) -> Prior | None:
        """What codes are held to; None where they are held to nothing."""
        return None if self.reconstructor.encoder.note.family in _CODES_OF_THEIR_OWN else self.generator.prior

    @property
    def judges_codes(self) -> bool:
        """Whether there is a discriminator of codes."""
        return self._discriminator is not None and self._discriminator.get_inputs()[0].name == "latent"

    @property
    def judges_pictures(self) -> bool:
        """Whether there is a discriminator of pictures."""
        return self._discriminator is not None and not self.judges_codes

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read a picture to the model's size, HxWx3 uint8 BGR, as detection does."""
        return self.reconstructor.prepare(read_picture(path))

    def encode(self, picture: NDArray[np.uint8], noise: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the code of a picture from `read`, (D,); without noise it is the one that detection uses."""
        inputs: dict[str, NDArray[Any]] = {"image": picture[np.newaxis]}
        if self.reconstructor.stochastic:
            dim = self.reconstructor.encoder.note.noise_dim
            inputs["noise"] = (np.zeros(dim, np.float32) if noise is None else noise)[np.newaxis]
        code: NDArray[np.float32] = self.reconstructor.encoder.run(**inputs)[0]
        return code

    def encode_all(self, pictures: Sequence[NDArray[np.uint8]], seed: int) -> NDArray[np.float32]:
        """Return codes (N, D) of pictures, with noise where the encoder takes it: what the prior is compared with."""
        noise = self.reconstructor.noise(len(pictures), seed)
        return np.stack([self.encode(picture, row) for picture, row in zip(pictures, noise, strict=True)])

    def places(self, code: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take a code (D,) to its places, (h * w, L)."""
        return code.reshape(self.latent_chw[0], -1).T

    def judge_code(self, code: NDArray[np.float32]) -> float:
        """Return the discriminator's logit of a code (D,); higher is more like the prior."""
        return float(self._discriminator.run(["logit"], {"latent": code[np.newaxis]})[0][0])

    def judge_picture(self, picture: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
        """Return the discriminator's logit of a picture, higher is more like a real one, and what it saw, (F,)."""
        logit, features = self._discriminator.run(["logit", "features"], {"image": picture[np.newaxis]})
        return float(logit[0]), features[0]

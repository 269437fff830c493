"""Pictures from samples of a model's prior.

    from aae_detect.generate.generator import sample_pictures

    pictures_bgr = sample_pictures("export", count=16, seed=0)

Sample number i of a seed is the same picture however many are drawn: each has a random generator of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import ConfigError
from aae_detect.generate.part_model import PartModel
from aae_detect.session import AUTO


def random_of(seed: int, *place: int) -> np.random.Generator:
    """Return the random generator of one place in what a seed makes.

    Raises:
        ConfigError: the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}, expected 0 or more")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


class Generator:
    """A loaded `generator.onnx` with the prior that it draws from."""

    def __init__(self, model: PartModel) -> None:
        """Use `Generator.load`; it makes the argument."""
        self.model = model
        self.prior = model.note.make_prior()

    @classmethod
    def load(cls, folder: str | Path, provider: str = AUTO, threads: int = 0) -> Generator:
        """Load the generator of an export.

        Args:
            folder: What `aae-export` wrote.
            provider: As `open_session` takes it.
            threads: Threads inside an operator; 0 means one per core.

        Raises:
            ModelError: the file is missing, refused, or from an older aae-export.
            ConfigError: the provider is not there.
        """
        return cls(PartModel.open(Path(folder), "generator", provider, threads))

    def codes(self, count: int, seed: int, first: int = 0) -> NDArray[np.float32]:
        """Draw samples of the prior.

        Args:
            count: Number of samples.
            seed: 0 or more.
            first: Number of the first one, from 0.

        Returns:
            (count, latent_dim) float32.
        """
        chw = self.model.note.latent_chw
        codes = np.empty((count, self.model.note.latent_dim), np.float32)
        for place in range(count):
            codes[place] = self.prior.sample_codes(1, chw, random_of(seed, first + place))[0]
        return codes

    def draw(self, codes: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
        """Draw the pictures of codes (N, latent_dim), each HxWx3 uint8 BGR.

        One at a time: memory stays small whatever N is, and a picture does not depend on its neighbours in a batch.
        """
        for code in codes:
            yield self.model.run(prior_sample=code[np.newaxis])[0]

    def sample(self, count: int, seed: int = 0) -> NDArray[np.uint8]:
        """Draw pictures from the prior.

        Args:
            count: Number of pictures, 0 or more.
            seed: 0 or more; the same seed gives the same pictures.

        Returns:
            (count, H, W, 3) uint8 BGR, of the note's `drawn_hw`.

        Raises:
            ConfigError: count or seed is negative.
        """
        if count < 0:
            raise ConfigError(f"count is {count}, expected 0 or more")
        pictures = np.empty((count, *self.model.note.drawn_hw, 3), np.uint8)
        for place, picture in enumerate(self.draw(self.codes(count, seed))):
            pictures[place] = picture
        return pictures


def sample_pictures(folder: str | Path, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Load the generator of an export and draw pictures from its prior, see `Generator`.

    Returns:
        (count, H, W, 3) uint8 BGR.

    Raises:
        ModelError: the file is missing, refused, or from an older aae-export.
        ConfigError: count or seed is negative.
    """
    return Generator.load(folder).sample(count, seed)


def interpolate(
    first: NDArray[np.float32], last: NDArray[np.float32], steps: int, prior_kind: str
) -> NDArray[np.float32]:
    """Go from one sample of a prior to another.

    Under a normal prior the way is an arc, `cos(t) first + sin(t) last` for t from 0 to a right angle: the slerp
    of two samples that are independent, hence at right angles on average. Every point of it is distributed as the prior
    itself, in any dimension, while the middle of a straight line would be too short: half the variance, codes that a
    decoder hardly met. Under the other priors it is a straight line, which never leaves the box of the uniform one;
    between the clusters of a mixture or the windings of a swiss roll it shows what lies where the prior has nothing.

    Args:
        first: (D,) a sample.
        last: (D,) another.
        steps: Points, both ends among them, at least 2.
        prior_kind: `Prior.kind`.

    Returns:
        (steps, D) float32.
    """
    share = np.linspace(0, 1, steps)[:, np.newaxis]
    if prior_kind == "normal":
        weights = np.cos(share * np.pi / 2), np.sin(share * np.pi / 2)
    else:
        weights = 1 - share, share
    codes = (weights[0] * first + weights[1] * last).astype(np.float32)
    codes[0], codes[-1] = first, last  # cos(pi / 2) is not quite 0
    return codes

"""Priors: the distributions that latent codes are held to, and that a generator draws parts from.

A code is a grid of places with a few numbers each (a vector is a grid of one place), and a prior is a distribution of
one place's numbers; places are independent. All have mean 0 and variance 1 in every number, so that one network starts
well under each.

    normal       N(0, 1) in each number
    uniform      between -sqrt(3) and sqrt(3) in each number
    mixture:K    one of K Gaussians; their centres lie on a circle in every pair of numbers
    swiss-roll   a spiral in every pair of numbers (both as in Makhzani et al., arXiv 1511.05644)
    custom       anything; known by recorded samples only
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import ConfigError

PRIOR_NAMES = ("normal", "uniform", "mixture:K", "swiss-roll")
"""What a user may type; `custom` comes from Python only."""

MOST_COMPONENTS = 100
_ROLL_NOISE = 0.04
"""Thickness of the swiss roll; its windings lie about 0.85 apart."""


@dataclass(frozen=True, eq=False)
class Prior:
    """One of the distributions above."""

    kind: str
    """`normal`, `uniform`, `mixture`, `swiss-roll` or `custom`."""

    components: int = 0
    """Of a mixture, else 0."""

    bank: NDArray[np.float32] | None = None
    """(n, dim) recorded samples of one place; for `custom` only."""

    @property
    def name(self) -> str:
        """As `parse_prior` reads it."""
        return f"mixture:{self.components}" if self.kind == "mixture" else self.kind

    def sample(self, count: int, dim: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw samples of one place.

        Args:
            count: Number of samples.
            dim: Numbers in each.
            rng: Where the randomness comes from.

        Returns:
            (count, dim) float32.

        Raises:
            ConfigError: the prior has no such dimension.
        """
        self.require_dim(dim)
        if self.kind == "normal":
            return rng.standard_normal((count, dim), dtype=np.float32)
        if self.kind == "uniform":
            return rng.uniform(-math.sqrt(3), math.sqrt(3), (count, dim)).astype(np.float32)
        if self.kind == "mixture":
            return _sample_mixture(self.components, count, dim, rng)
        if self.kind == "swiss-roll":
            return _sample_swiss_roll(count, dim, rng)
        assert self.bank is not None  # require_dim refuses a custom prior without one
        return self.bank[rng.integers(len(self.bank), size=count)]

    def sample_codes(
        self, count: int, latent_chw: tuple[int, int, int], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Draw whole codes: every place for itself.

        Args:
            count: Number of codes.
            latent_chw: Numbers per place, and places down and across.
            rng: Where the randomness comes from.

        Returns:
            (count, channels * height * width) float32, in the order of a flattened (channels, height, width).
        """
        channels, height, width = latent_chw
        places = self.sample(count * height * width, channels, rng).reshape(count, height * width, channels)
        return np.ascontiguousarray(places.transpose(0, 2, 1)).reshape(count, -1)

    def require_dim(self, dim: int) -> None:
        """Refuse numbers per place that the prior is not defined for.

        Raises:
            ConfigError: says which are.
        """
        if self.kind in ("mixture", "swiss-roll") and dim % 2:
            raise ConfigError(f"--prior {self.name} lies in pairs of numbers, the code has {dim}; give an even number")
        if self.kind == "custom" and (self.bank is None or self.bank.shape[1] != dim):
            found = "no samples" if self.bank is None else f"samples of {self.bank.shape[1]} numbers"
            raise ConfigError(f"the custom prior has {found}, the code has {dim} per place; give a prior for that many")


def parse_prior(text: str) -> Prior:
    """Read `normal`, `uniform`, `mixture:K` or `swiss-roll`.

    Raises:
        ConfigError: none of these.
    """
    kind, _, count = text.partition(":")
    if kind == "mixture":
        if not count.isdecimal() or not 2 <= int(count) <= MOST_COMPONENTS:
            raise ConfigError(f"--prior {text}: write mixture:K with K from 2 to {MOST_COMPONENTS}, such as mixture:10")
        return Prior("mixture", int(count))
    if text not in PRIOR_NAMES:
        raise ConfigError(f"--prior {text!r} is none of {', '.join(PRIOR_NAMES)}")
    return Prior(text)


def _sample_mixture(components: int, count: int, dim: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One component for all pairs of a sample, so that there are K clusters whatever the dimension."""
    # A third of half the distance between neighbours: clusters that touch could not be told from a ring.
    width = min(0.3, math.sqrt(2) * math.sin(math.pi / components) / 3)
    radius = math.sqrt(2 * (1 - width**2))  # so that every number has variance 1
    # From a quarter of the way to the second axis, so that two centres differ in both numbers.
    angle = 2 * math.pi * rng.integers(components, size=(count, 1)) / components + math.pi / 4
    centre = radius * np.stack([np.cos(angle), np.sin(angle)], axis=2)  # (count, 1, 2)
    pairs = centre + width * rng.standard_normal((count, dim // 2, 2))
    return pairs.reshape(count, dim).astype(np.float32)


def _sample_swiss_roll(count: int, dim: int, rng: np.random.Generator) -> NDArray[np.float32]:
    grid = _spiral(np.linspace(0, 1, 10001))
    mean, std = grid.mean(axis=0), grid.std(axis=0)
    pairs = (_spiral(rng.uniform(0, 1, (count, dim // 2))) - mean) / std
    pairs += _ROLL_NOISE * rng.standard_normal(pairs.shape)
    samples: NDArray[np.float32] = pairs.reshape(count, dim).astype(np.float32)
    return samples


def _spiral(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take a share of the way, 0 to 1, to (..., 2) points; the density is even along the way."""
    # Arc length grows with the square of the angle, so the square is what has to be uniform.
    first, last = 1.5 * math.pi, 4.5 * math.pi
    turn = np.sqrt(first**2 + share * (last**2 - first**2))
    return np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=-1)

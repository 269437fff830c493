"""What every family has in common: an encoder, a decoder, and a step that teaches them.

    aae.py   adversarial autoencoder          gan.py    generator against a discriminator of pictures
    vae.py   variational autoencoder          gmmn.py   generator by MMD alone, and in the codes of an autoencoder
    wae.py   Wasserstein autoencoder by MMD

Each file holds one family's mathematics; `families.py` finds them by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.networks import Decoder, Encoder, PictureDiscriminator
from aae_train.players import Player, Players
from aae_train.start import scale_to_data


@dataclass(frozen=True)
class Phase:
    """A part of the training, with a learning-rate schedule of its own."""

    name: str
    share: float
    """Of the budget; a family's phases add up to 1."""

    selects: bool = True
    """Whether the best checkpoint may lie in it: whether what finds defects is learning already."""


@dataclass(frozen=True)
class Pictures:
    """This process's part of a batch, on the device."""

    shown: Tensor
    """(B, 3, H, W) in [-1, 1]: what an encoder sees, some with synthetic defects."""

    clean: Tensor
    """(B, 3, H / step, W / step) in [-1, 1]: the good pictures that a decoder has to draw, in the size of drawings."""

    mask: Tensor | None = None
    """(B, H, W) uint8: above 0 where `shown` has a defect; None where examples are vectors."""

    groups: tuple[int, ...] = ()
    """(B,): the group of each picture, as in `Examples`; empty where nobody has examples."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Good pictures that a judge learns from in closed form."""

    pictures: Tensor
    """(N, 3, H, W) in [-1, 1]."""

    count: int
    """Different pictures among them; the others are changed copies."""

    groups: tuple[int, ...]
    """(N,): a picture and its changed copies are in one group, and so are neighbours, which may resemble each other.
    Whoever learns by gradient from a picture may be told what the other groups have taught, and nothing that the
    picture itself has: a fresh one will not have taught anything either."""


Losses = dict[str, float]
"""What one step measured, by name. Shared names: `reconstruction` (`losses.reconstruction_loss`), `discriminator`,
`generator`, `discriminator_accuracy` (0.5 where it cannot tell), `mmd`, `kl`."""


class GenerativeModel(nn.Module, ABC):
    """The networks of one family, under the names that they have in `model.safetensors`."""

    phases: tuple[Phase, ...] = (Phase("all", 1.0),)
    holds_prior = True
    """Whether codes of pictures are held to the prior; else only samples of it are drawn from."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @abstractmethod
    def players(self, config: TrainConfig) -> dict[str, Player]:
        """Say who learns, and how fast."""

    @abstractmethod
    def step(self, phase: str, pictures: Pictures, draw: Draw, players: Players) -> Losses:
        """Teach every player of a phase once."""

    def forward(self, picture: Tensor) -> Tensor:
        """Redraw pictures (B, 3, H, W) in [-1, 1], without noise, in the decoder's size: what detection does."""
        drawing: Tensor = self.decoder(self.encoder(picture))
        return drawing

    def generate(self, prior_sample: Tensor) -> Tensor:
        """Draw pictures from samples of the prior, (B, P) to (B, 3, H / step, W / step)."""
        drawing: Tensor = self.decoder(prior_sample)
        return drawing

    @property
    def prior_chw(self) -> tuple[int, int, int]:
        """Shape of a prior sample, for `generate`."""
        return self.decoder.latent_chw

    @property
    def latent_discriminator(self) -> nn.Module | None:
        """(B, D) to logits, where there is one."""
        return None

    @property
    def picture_discriminator(self) -> PictureDiscriminator | None:
        """(B, 3, H, W) to logits, with `features`, where there is one."""
        return None

    def start(self, pictures: Tensor, prior_sample: Tensor) -> None:
        """Scale the weights to the data before the first step (`start.scale_to_data`).

        Args:
            pictures: (N, 3, H, W) in [-1, 1].
            prior_sample: (N, P).
        """
        codes = scale_to_data(self.encoder, pictures)
        scale_to_data(self.decoder, codes, drawn_like=pictures)

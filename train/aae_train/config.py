"""What a training run was asked to do: written to RUN/config.json, read again by --resume and by aae-export."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import ConfigError
from aae_detect.prior import Prior, parse_prior
from aae_detect.spec import BITS, FITS, Fit
from aae_train.losses import ADVERSARIAL_LOSSES, AdversarialLoss
from aae_train.networks import CODE_STEP, FAST, FINE, Layout
from aae_train.picture_mask import decode_inside
from aae_train.posterior import ENCODERS, EncoderKind

Head = Literal["unet", "none"]
HEADS: tuple[Head, ...] = get_args(Head)
Start = Literal["drawn", "scratch"]
STARTS: tuple[Start, ...] = get_args(Start)
Device = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[Device, ...] = get_args(Device)
Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SIZE_STEP = 32
"""Sizes go in steps of this: the encoder halves its input four times, and a family may once more."""
ENCODERS_OF: dict[str, tuple[EncoderKind, ...]] = {
    "aae": ENCODERS,
    "wae-mmd": ENCODERS,
    "vae": ("gaussian",),
    "gan": ("deterministic",),
    "gmmn": ("deterministic",),
    "gmmn-ae": ("deterministic",),
}
"""The families, and which encoders have a meaning in each; the first is the default."""

MODELS = tuple(ENCODERS_OF)
VECTOR_MODELS = ("gan", "gmmn", "gmmn-ae")
"""Families whose code is a vector unless asked otherwise: what they draw has to hang together by itself."""

TILE_MODELS = ("aae", "vae", "wae-mmd")
"""Families of which nothing has a size of its own where the code is a grid."""

GRID = "grid"
VECTOR_LATENT = 64
"""Numbers of a vector code, by default."""

CUSTOM = "custom"
"""Name of a prior that was given in Python."""

MOST_LATENT = 4096
MOST_SEEDS = 2**29
"""Seed, stage and step are packed into one 64-bit number for torch."""


@dataclass(frozen=True)
class TrainConfig:
    """A training run, checked when it is made."""

    data: str
    """Folder of pictures, absolute."""

    model: str = "aae"
    encoder: EncoderKind | None = None
    """How a picture becomes a code, see `posterior`; None takes the family's default."""

    prior: str = "normal"
    """As `aae_detect.prior.parse_prior` reads it, or `custom`."""

    latent: str | None = None
    """`grid`, or the length of a vector code; None takes the family's default."""

    head: Head = "unet"
    """Who judges picture and drawing: a network that is trained on synthetic defects, with descriptors of places; or
    the difference alone."""

    start: Start = "drawn"
    """Weights to start from: those that drawn products have taught (`starting_point`), or chance."""

    adversarial_loss: AdversarialLoss = "relativistic"
    """Of GAN and AAE. `non-saturating` is the paper's, without penalties; the relativistic one stays stable."""

    input_hw: tuple[int, int] = (256, 256)
    """Height and width of the model's input, pixels, multiples of 32."""

    tile: int | None = None
    """Side of the tiles that are trained on, pixels, a multiple of 32; None trains on whole pictures. See `tile`."""

    fit: Fit = "stretch"
    """How a picture is put into the input."""

    bits: int | None = None
    """Depth that 16-bit pictures carry; None means all 16."""

    mask: str = ""
    """Where in the input to look, as `picture_mask.encode_inside` writes it; empty: everywhere."""

    seed: int = 0
    steps: int | None = 2000
    """Training steps; None where `minutes` is given."""

    minutes: float | None = None
    """Training time; None where `steps` is given."""

    batch_size: int = 8
    lr: float = 2e-3
    """Learning rate of the reconstruction phase (Adam), at its peak."""

    adversarial_lr: float = 4e-4
    """Learning rate of discriminator and of the encoder as generator (Adam), at its peak. A fifth of `lr`: with equal
    rates the two phases undo each other's work and the codes hold nothing."""

    latent_channels: int = 8
    """Numbers per place of a grid code; there is one place per 16x16 input pixels."""

    defect_rate: float = 0.5
    """Share of training pictures that carry a synthetic defect which the reconstruction has to remove."""

    target_frr: float = 0.01
    """False-reject rate that the threshold is set for, 0 to 1."""

    device: Device = "auto"
    precision: Precision = "auto"
    """What networks are trained in; auto takes bf16 where the hardware multiplies it. Losses are fp32 always."""

    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ConfigError(f"--model {self.model!r} is none of {', '.join(MODELS)}")
        # Filled in at once, so that config.json says what was really done.
        if self.encoder is None:
            object.__setattr__(self, "encoder", ENCODERS_OF[self.model][0])
        if self.latent is None:
            object.__setattr__(self, "latent", str(VECTOR_LATENT) if self.model in VECTOR_MODELS else GRID)
        self._check_ranges()
        self._check_combination()

    def _check_ranges(self) -> None:
        height, width = self.input_hw
        assert self.latent is not None  # filled in above
        vector = self.latent.isdecimal() and 1 <= int(self.latent) <= MOST_LATENT
        checks: list[tuple[bool, str]] = [
            (self.encoder in ENCODERS, f"--encoder {self.encoder!r} is none of {', '.join(ENCODERS)}"),
            (
                self.latent == GRID or vector,
                f"--latent {self.latent!r} is neither grid nor a number from 1 to {MOST_LATENT}",
            ),
            (self.head in HEADS, f"--head {self.head!r} is none of {', '.join(HEADS)}"),
            (self.start in STARTS, f"--start {self.start!r} is none of {', '.join(STARTS)}"),
            (
                self.adversarial_loss in ADVERSARIAL_LOSSES,
                f"--adversarial-loss {self.adversarial_loss!r} is none of {', '.join(ADVERSARIAL_LOSSES)}",
            ),
            (
                all(side % SIZE_STEP == 0 and SIZE_STEP <= side <= 4096 for side in (height, width)),
                f"--size {height}x{width} is not made of multiples of {SIZE_STEP} between {SIZE_STEP} and 4096; "
                f"nearest: {_nearest_size(height)}x{_nearest_size(width)}",
            ),
            (
                self.tile is None or (self.tile % SIZE_STEP == 0 and SIZE_STEP <= self.tile <= min(height, width)),
                f"--tile {self.tile} is no multiple of {SIZE_STEP} that fits into the model's input {height}x{width}; "
                f"give a smaller one, or a larger --size",
            ),
            (self.fit in FITS, f"--fit {self.fit!r} is none of {', '.join(FITS)}"),
            (self.bits is None or self.bits in BITS, f"--bits {self.bits} is none of {', '.join(map(str, BITS))}"),
            (0 <= self.seed < MOST_SEEDS, f"--seed {self.seed} lies outside 0 to {MOST_SEEDS - 1}"),
            ((self.steps is None) != (self.minutes is None), "give either --steps or --minutes, not both"),
            (self.steps is None or self.steps >= 1, f"--steps {self.steps} is below 1"),
            (self.minutes is None or self.minutes > 0, f"--minutes {self.minutes} is not above 0"),
            (1 <= self.batch_size <= 1024, f"--batch-size {self.batch_size} lies outside 1 to 1024"),
            (0 < self.lr < 1, f"--lr {self.lr} lies outside 0 to 1"),
            (0 < self.adversarial_lr < 1, f"adversarial_lr {self.adversarial_lr} lies outside 0 to 1"),
            (1 <= self.latent_channels <= 256, f"latent_channels {self.latent_channels} lies outside 1 to 256"),
            (0 <= self.defect_rate <= 1, f"defect_rate {self.defect_rate} lies outside 0 to 1"),
            (0 < self.target_frr < 1, f"--target-frr {self.target_frr} lies outside 0 to 1"),
            (self.device in DEVICES, f"--device {self.device!r} is none of {', '.join(DEVICES)}"),
            (self.precision in PRECISIONS, f"--precision {self.precision!r} is none of {', '.join(PRECISIONS)}"),
        ]
        if problems := [message for fine, message in checks if not fine]:
            raise ConfigError("; ".join(problems))

    def _check_combination(self) -> None:
        """Refuse what has no meaning, and say what has."""
        encoders = ENCODERS_OF[self.model]
        if self.encoder not in encoders:
            fitting = ", ".join(model for model, kinds in ENCODERS_OF.items() if self.encoder in kinds)
            raise ConfigError(
                f"--model {self.model} has no {self.encoder} encoder, only {', '.join(encoders)}; "
                f"--encoder {self.encoder} goes with --model {fitting}"
            )
        if self.model == "vae" and self.prior != "normal":
            raise ConfigError(
                f"--model vae needs --prior normal, {self.prior} was asked for: its KL term is known in closed form "
                "there only; any prior goes with --model aae, wae-mmd, gan, gmmn"
            )
        if self.model == "gmmn-ae" and self.latent == GRID:
            raise ConfigError(
                "--model gmmn-ae needs a vector code, --latent grid was asked for: its generator draws whole codes; "
                f"give --latent {VECTOR_LATENT}, or --model gmmn"
            )
        if self.tile is not None and (self.latent != GRID or self.model not in TILE_MODELS):
            raise ConfigError(
                f"--tile goes with --latent grid and --model {', '.join(TILE_MODELS)}, --latent {self.latent} and "
                f"--model {self.model} were asked for: only a code of places can be drawn larger than it was learned"
            )
        few = self.model in ("gmmn", "gmmn-ae") or (self.model == "wae-mmd" and self.latent != GRID)
        if self.batch_size < 2 and few:
            raise ConfigError(
                f"--batch-size {self.batch_size} is too small for --model {self.model} --latent {self.latent}: MMD "
                "compares distributions, of at least two pictures; give 2 or more, the more the better"
            )
        if self.mask and self.tile is not None:
            raise ConfigError("--mask says where to look, and --tile takes all places for the same; leave one out")
        if self.mask:
            decode_inside(self.mask, self.input_hw)
        if self.prior != CUSTOM:
            parse_prior(self.prior).require_dim(self.latent_chw[0])

    @property
    def latent_chw(self) -> tuple[int, int, int]:
        """Shape of a code: numbers per place, places down and across; a vector has one place."""
        if self.latent == GRID:
            return self.latent_channels, self.input_hw[0] // CODE_STEP, self.input_hw[1] // CODE_STEP
        assert self.latent is not None  # filled in when this was made
        return int(self.latent), 1, 1

    @property
    def layout(self) -> Layout:
        """How the networks shrink pictures and grow them: finely where whole pictures are drawn, from a vector.

        A discriminator of pictures sees every pixel of them, and codes of places are there for detectors.
        """
        return FAST if self.latent == GRID and self.model in TILE_MODELS else FINE

    @property
    def inside(self) -> NDArray[np.bool_] | None:
        """Where in the input to look, (H, W); None: everywhere."""
        return decode_inside(self.mask, self.input_hw) if self.mask else None

    @property
    def latent_dim(self) -> int:
        """Length of a flattened code."""
        channels, height, width = self.latent_chw
        return channels * height * width

    def make_prior(self) -> Prior:
        """Return the prior, unless it is a custom one, which only its maker knows."""
        return parse_prior(self.prior)

    def to_json(self) -> str:
        """Return the settings as indented JSON, as `from_json` reads it."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Read settings.

        Raises:
            ConfigError: not JSON, or a field is missing, unknown or out of range.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
                raise ConfigError(
                    f"config.json has unknown fields {', '.join(unknown)}; was it made by a newer version?"
                )
            height, width = data.pop("input_hw")
            return cls(input_hw=(int(height), int(width)), **data)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"config.json cannot be read: {error}; train again") from error

    @classmethod
    def load(cls, run: Path) -> TrainConfig:
        """Read RUN/config.json.

        Raises:
            ConfigError: the folder holds no run, or its settings cannot be read.
        """
        path = run / "config.json"
        if not path.is_file():
            raise ConfigError(f"{run} holds no config.json; expected a folder that aae-train made")
        return cls.from_json(path.read_text(encoding="utf-8"))


def _nearest_size(side: int) -> int:
    return min(4096, max(SIZE_STEP, round(side / SIZE_STEP) * SIZE_STEP))

"""What a comparison was asked to do, and what a later call into the same folder must ask for again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from aae_detect.errors import ConfigError
from aae_train.config import ENCODERS_OF, MODELS, Device, TrainConfig
from aae_train.posterior import EncoderKind


@dataclass(frozen=True)
class Candidate:
    """A family with one of its encoders."""

    model: str
    encoder: EncoderKind

    @property
    def name(self) -> str:
        """As `parse_candidates` reads it: the encoder is named where it is not the family's first."""
        return self.model if self.encoder == ENCODERS_OF[self.model][0] else f"{self.model}:{self.encoder}"


def parse_candidates(text: str) -> tuple[Candidate, ...]:
    """Read names separated by commas, such as `aae,aae:gaussian,vae`.

    Raises:
        ConfigError: a name is unknown or there twice, or a family has no such encoder.
    """
    candidates = [_parse_candidate(item.strip()) for item in text.split(",")]
    if doubled := sorted({c.name for c in candidates if candidates.count(c) > 1}):
        raise ConfigError(f"--models names {', '.join(doubled)} more than once; name each once")
    return tuple(candidates)


def _parse_candidate(item: str) -> Candidate:
    model, colon, encoder = item.partition(":")
    if model not in MODELS:
        raise ConfigError(f"--models {item!r}: {model!r} is none of {', '.join(MODELS)}; write NAME or NAME:ENCODER")
    kinds = ENCODERS_OF[model]
    if colon and encoder not in kinds:
        raise ConfigError(f"--models {item!r}: {model} has no encoder {encoder!r}, only {', '.join(kinds)}")
    return Candidate(model, cast(EncoderKind, encoder) if colon else kinds[0])


@dataclass(frozen=True)
class CompareSettings:
    """What all rows of a table have in common. Models and seeds are not among it: a later call may add some."""

    data: str
    """Name of the data folder; not its path, so that the table may travel."""

    pictures_sha256: str
    """Over names and sizes of all pictures that take part, see `pictures.fingerprint`."""

    input_hw: tuple[int, int] = (256, 256)
    steps: int | None = None
    """Training steps of every model; None where `minutes` is given."""

    minutes: float | None = None
    """Training time of every run; None where `steps` is given."""

    batch_size: int = 8
    prior: str = "normal"
    latent: str | None = None
    """As `TrainConfig.latent`; None leaves each family its own."""

    threads: int = 0
    """Of ONNX Runtime wherever a model is measured; 0 means one per core."""

    device: Device = "auto"
    """Where training runs."""

    def train_config(self, data: Path, candidate: Candidate, seed: int) -> TrainConfig:
        """Return the settings of one run.

        Raises:
            ConfigError: the family cannot be trained like that.
        """
        try:
            return TrainConfig(
                data=str(data.resolve()),
                model=candidate.model,
                encoder=candidate.encoder,
                prior=self.prior,
                latent=self.latent,
                head="none",  # a head would find what a family's drawing does not show
                start="scratch",  # the drawn starting point is an autoencoder's, and fits some families only
                input_hw=self.input_hw,
                seed=seed,
                steps=self.steps,
                minutes=self.minutes,
                batch_size=self.batch_size,
                device=self.device,
            )
        except ConfigError as error:
            raise ConfigError(f"{candidate.name} cannot be compared: {error}; or leave it out of --models") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for JSON."""
        return {**asdict(self), "input_hw": list(self.input_hw)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CompareSettings:
        """Read what `to_dict` gave.

        Raises:
            ConfigError: a field is missing, unknown or of another kind.
        """
        try:
            if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
                raise TypeError(f"unknown fields {', '.join(unknown)}")
            height, width = data["input_hw"]
            return cls(**{**data, "input_hw": (int(height), int(width))})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"its settings cannot be read ({error}); compare into a new folder") from error

    def require_same(self, begun: CompareSettings, out: Path) -> None:
        """Refuse to put rows of other settings into one table.

        Args:
            begun: Settings that the folder was begun with.
            out: The folder, for the message.

        Raises:
            ConfigError: says what differs.
        """
        now, before = asdict(self), asdict(begun)
        if changed := [name for name in now if now[name] != before[name]]:
            what = ", ".join(f"{_option(name)} was {_show(before[name])}, now {_show(now[name])}" for name in changed)
            raise ConfigError(
                f"--out {out} holds a comparison of other settings ({what}): its rows could not be compared with new "
                "ones; give the same settings again, or another --out"
            )

    def command(self, names: Sequence[str], seeds: int) -> str:
        """Return the command that makes such a table, without paths of this machine."""
        height, width = self.input_hw
        words = ["aae-compare", self.data, "--out", "DIR", "--models", ",".join(names), "--seeds", str(seeds)]
        words += ["--steps", str(self.steps)] if self.steps is not None else ["--minutes", f"{self.minutes:g}"]
        words += ["--size", f"{height}x{width}", "--batch-size", str(self.batch_size), "--prior", self.prior]
        words += ["--latent", self.latent] if self.latent else []
        return shlex.join([*words, "--threads", str(self.threads), "--device", self.device])

    @property
    def budget(self) -> str:
        """The budget in words."""
        return f"{self.steps} steps" if self.steps is not None else f"{self.minutes:g} minutes"


def _option(field: str) -> str:
    return {
        "data": "DATA",
        "pictures_sha256": "what DATA holds",
        "input_hw": "--size",
    }.get(field, f"--{field.replace('_', '-')}")


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "not given" if value is None else f"{value:.12}" if isinstance(value, str) else str(value)

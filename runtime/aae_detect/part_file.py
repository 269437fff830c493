"""The files beside the detector in an export (encoder, decoder, generator, discriminator) and what their notes say.

They are for whoever wants the latent space, and for `aae-generate`; detection needs none of them. A note is JSON in the
ONNX metadata, and a file is refused on the same grounds as a detector, before ONNX Runtime sees it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import ConfigError, ModelError
from aae_detect.model_file import PART_KEY, read_onnx
from aae_detect.prior import Prior, parse_prior
from aae_detect.spec import BITS, FITS, METADATA_KEY, Fit

Role = Literal["encoder", "decoder", "generator", "discriminator"]
ROLES: tuple[Role, ...] = get_args(Role)

PICTURES = "uint8 NHWC BGR"
"""How the graphs take and give pictures; there is no other way yet."""

MAX_NUMBERS = 2**20
"""Most numbers in a code or in its noise; far above any model of this project."""

_HINT = "give the folder that `aae-export` wrote"
_AGAIN = "export the model again with this version's `aae-export`"


@dataclass(frozen=True)
class PartNote:
    """What a part is, checked when it is made."""

    role: Role

    family: str
    """Model family, such as `aae`."""

    prior: str
    """`normal`, `uniform`, `mixture:K`, `swiss-roll` or `custom`."""

    latent_dim: int
    """Numbers in a code; for a generator, in a sample of the prior."""

    latent_chw: tuple[int, int, int]
    """Numbers per place, and places down and across; their product is `latent_dim`. A vector has one place."""

    noise_dim: int
    """Numbers of noise that a stochastic encoder takes; 0 where it is deterministic."""

    input_hw: tuple[int, int]
    """Height and width of the pictures, pixels."""

    fit: Fit
    """How a frame is put into the input."""

    pictures: str
    """Type and layout of the pictures, `PICTURES`."""

    weights_sha256: str
    """SHA-256 of the `model.safetensors` that this was exported from, lower-case hex: parts of one model share it."""

    bits: int = 16
    """Depth that the 16-bit pictures carried that it learned from."""

    drawing_step: int = 1
    """Pixels of `input_hw` to one of what is drawn."""

    prior_bank: str = ""
    """Recorded samples of one place of a custom prior, (n, numbers per place) as `pack_bank` writes them."""

    def __post_init__(self) -> None:
        problems = [f"{name} is {getattr(self, name)!r:.60}, {expected}" for name, expected in self._wrong_fields()]
        if not problems and self.latent_dim != int(np.prod(self.latent_chw)):
            problems.append(f"latent_dim {self.latent_dim} is not the product of latent_chw {self.latent_chw}")
        if not problems and any(side % self.drawing_step for side in self.input_hw):
            problems.append(f"drawing_step {self.drawing_step} does not divide input_hw {self.input_hw}")
        if not problems:
            problems += self._prior_problems()
        if problems:
            raise ModelError(f"the part's note is wrong: {'; '.join(problems)}; {_AGAIN}")

    def _wrong_fields(self) -> list[tuple[str, str]]:
        """Each field on its own: those that hold something else than they should, and what they should hold."""
        return [
            (name, expected)
            for name, right, expected in (
                ("role", self.role in ROLES, f"none of {', '.join(ROLES)}"),
                ("family", isinstance(self.family, str) and bool(self.family.strip()), "not the name of a family"),
                ("prior", isinstance(self.prior, str), "not the name of a prior"),
                ("latent_dim", _whole_numbers((self.latent_dim,), 1, 1, MAX_NUMBERS), f"not 1 to {MAX_NUMBERS}"),
                ("latent_chw", _whole_numbers(self.latent_chw, 3, 1, MAX_NUMBERS), "not three whole numbers from 1"),
                ("noise_dim", _whole_numbers((self.noise_dim,), 1, 0, MAX_NUMBERS), f"not 0 to {MAX_NUMBERS}"),
                ("input_hw", _whole_numbers(self.input_hw, 2, 1, 16384), "not a height and a width, 1 to 16384"),
                ("drawing_step", _whole_numbers((self.drawing_step,), 1, 1, 16384), "not a number of pixels"),
                ("fit", self.fit in FITS, f"none of {', '.join(FITS)}"),
                ("bits", self.bits in BITS, f"none of {', '.join(map(str, BITS))}"),
                ("pictures", self.pictures == PICTURES, f"not {PICTURES!r}"),
                ("weights_sha256", _is_sha256(self.weights_sha256), "not a SHA-256 in lower-case hex"),
                ("prior_bank", isinstance(self.prior_bank, str), "not base64 text"),
            )
            if not right
        ]

    def _prior_problems(self) -> list[str]:
        """What is wrong with the prior, and for a generator, which is drawn from, with its samples."""
        if self.prior_bank and self.prior != "custom":
            return [f"prior_bank holds samples, and prior is {self.prior!r}, not 'custom'"]
        try:
            prior = self.make_prior() if self.role == "generator" else _named_prior(self.prior)
            if self.role == "generator":
                prior.require_dim(self.latent_chw[0])
        except (ConfigError, ValueError) as error:
            return [str(error)]
        return []

    @property
    def drawn_hw(self) -> tuple[int, int]:
        """Height and width of what is drawn, pixels."""
        return self.input_hw[0] // self.drawing_step, self.input_hw[1] // self.drawing_step

    def make_prior(self) -> Prior:
        """Return the prior that a generator draws from, with its recorded samples where it is a custom one."""
        if self.prior != "custom" or not self.prior_bank:
            return _named_prior(self.prior)
        return Prior("custom", bank=_unpack_bank(self.prior_bank, self.latent_chw[0]))

    def to_json(self) -> str:
        """Return the note as JSON, as `from_json` reads it; without samples where there are none."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "prior_bank" or value})

    @classmethod
    def from_json(cls, text: str) -> PartNote:
        """Read a note.

        Raises:
            ModelError: not JSON, of an older or a newer aae-export, or with a field that is wrong.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the part's note is not JSON ({error}); {_AGAIN}") from error
        if not isinstance(data, dict):
            raise ModelError(f"the part's note is not a JSON object; {_AGAIN}")
        if missing := [f.name for f in fields(cls) if f.default is MISSING and f.name not in data]:
            raise ModelError(f"the part's note lacks {', '.join(missing)}: an older aae-export wrote it; {_AGAIN}")
        if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
            named = ", ".join(repr(name)[:40] for name in unknown[:5])
            raise ModelError(f"the part's note has unknown fields {named}: upgrade aae-detect on this machine")
        # JSON has no tuples.
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**values)


@dataclass(frozen=True)
class PartFile:
    """A part that passed all checks that can be made without running it."""

    path: Path
    content: bytes = field(repr=False)
    note: PartNote


def read_part(path: Path, role: Role) -> PartFile:
    """Read and check one of the files beside the detector.

    Raises:
        ModelError: as `model_file.read_model`, or it is another part than the one wanted.
    """
    content, metadata = read_onnx(path, f"{role}.onnx", _HINT)
    if PART_KEY not in metadata:
        what = "a detector" if METADATA_KEY in metadata else "an ONNX model, but not one of ours"
        raise ModelError(f"{path} is {what} (no {PART_KEY!r} in its metadata), expected {role}.onnx; {_HINT}")
    try:
        note = PartNote.from_json(metadata[PART_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if note.role != role:
        raise ModelError(f"{path} says that it is the {note.role}, expected the {role}; {_HINT}")
    return PartFile(path, content, note)


def pack_bank(samples: NDArray[np.float32]) -> str:
    """Write samples (n, numbers per place) of a custom prior as `PartNote.prior_bank` holds them.

    Returns:
        Base64 of little-endian float32 in C order.
    """
    return base64.b64encode(np.ascontiguousarray(samples, "<f4").tobytes()).decode("ascii")


def _unpack_bank(text: str, numbers: int) -> NDArray[np.float32]:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"prior_bank is not base64 ({error})") from error
    if len(content) % (4 * numbers):
        raise ValueError(f"prior_bank has {len(content)} bytes, not whole samples of {numbers} float32 numbers")
    bank = np.frombuffer(content, "<f4").reshape(-1, numbers).astype(np.float32)
    if not np.isfinite(bank).all():
        raise ValueError("prior_bank holds numbers that are not finite")
    return bank


def _named_prior(name: str) -> Prior:
    return Prior("custom") if name == "custom" else parse_prior(name)


def _whole_numbers(values: Any, count: int, least: int, most: int) -> bool:
    """Whether this is so many ints in a range; True and False are none."""
    if not isinstance(values, tuple) or len(values) != count:
        return False
    return all(type(value) is int and least <= value <= most for value in values)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None

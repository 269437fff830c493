"""One part of an export, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from aae_detect.errors import ModelError
from aae_detect.part_file import PartFile, PartNote, Role, read_part
from aae_detect.session import open_session

Port = tuple[str, list[int]]
"""Type as ONNX Runtime names it, and shape without the batch."""


class PartModel:
    """A loaded part; `PartModel.open` makes one."""

    def __init__(self, part: PartFile, session: Any, warnings: tuple[str, ...]) -> None:
        """Use `PartModel.open`; it makes the arguments."""
        self.path: Path = part.path
        self.note: PartNote = part.note
        self.warnings = warnings
        """What the user should know about how it was loaded."""
        self._session = session

    @classmethod
    def open(cls, folder: Path, role: Role, provider: str, threads: int) -> PartModel:
        """Load a part of an export.

        Args:
            folder: What aae-export wrote.
            role: Which part: the file is `role.onnx`.
            provider: As `open_session` takes it.
            threads: As `open_session` takes it.

        Raises:
            ModelError: the file is refused, or its graph is not what its note says.
            ConfigError: the provider is not there.
        """
        part = read_part(folder / f"{role}.onnx", role)
        session, _, warnings = open_session(part.content, provider, threads)
        _check_ports(session, part)
        return cls(part, session, warnings)

    def run(self, **inputs: NDArray[Any]) -> NDArray[Any]:
        """Run the graph; returns its first and, apart from a discriminator's, only output."""
        output: NDArray[Any] = self._session.run(None, inputs)[0]
        return output


def require_one_export(parts: Sequence[PartModel]) -> None:
    """Refuse parts of different models: their codes mean different things.

    Raises:
        ModelError: names two of them.
    """
    first = parts[0]
    for other in parts[1:]:
        if other.note.weights_sha256 != first.note.weights_sha256:
            raise ModelError(
                f"{first.path} and {other.path} come from different models (weights {first.note.weights_sha256[:12]} "
                f"and {other.note.weights_sha256[:12]}); export one of them again into a folder of its own"
            )


def _expected_ports(note: PartNote) -> tuple[dict[str, Port], dict[str, Port]]:
    """Inputs and outputs of a part, as the contract of an export has them."""
    picture: Port = ("tensor(uint8)", [*note.input_hw, 3])
    drawing: Port = ("tensor(uint8)", [*note.drawn_hw, 3])
    code: Port = ("tensor(float)", [note.latent_dim])
    if note.role == "encoder":
        noise: dict[str, Port] = {"noise": ("tensor(float)", [note.noise_dim])} if note.noise_dim else {}
        return {"image": picture, **noise}, {"latent": code}
    if note.role == "decoder":
        return {"latent": code}, {"reconstruction": drawing}
    if note.role == "generator":
        return {"prior_sample": code}, {"picture": drawing}
    raise ModelError("a discriminator draws nothing; open the encoder, the decoder or the generator")


def _check_ports(session: Any, part: PartFile) -> None:
    """Refuse a graph whose inputs and outputs are not what its note says."""
    inputs, outputs = _expected_ports(part.note)
    for kind, ports, expected in (
        ("inputs", session.get_inputs(), inputs),
        ("outputs", session.get_outputs(), outputs),
    ):
        found = {port.name: (port.type, list(port.shape[1:])) for port in ports}
        if found != expected:
            raise ModelError(
                f"{part.path}: the graph has the {kind} {found}, its note says {expected}; export the model again"
            )

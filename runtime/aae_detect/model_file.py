"""Reads an ONNX file just far enough to refuse it: protobuf wire format, no `onnx` package.

The device must say no to a foreign, truncated or unsafe file before ONNX Runtime opens it, and the `onnx` package is
not on the device. An ONNX file is one protobuf message: on the wire a list of (field number, type, value), and the
few field numbers that matter here are fixed by https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aae_detect.errors import ModelError
from aae_detect.limited_read import read_limited
from aae_detect.signature import OwnerKey
from aae_detect.spec import METADATA_KEY, ModelSpec

MAX_MODEL_BYTES = 512 * 2**20
"""Far above any model of this project; a larger file is refused before it is read."""

MAX_DEPTH = 16
"""Graphs inside graphs (If, Loop); a deeper nesting is an attack, not a model."""

MAX_FIELDS = 200_000
"""Fields of the file that are looked at, thirty times those of the largest detector: walking them takes time."""

MAX_METADATA_BYTES = 16 * 2**20
"""Far above any description; as JSON it takes a multiple of that in memory."""

TRUSTED_DOMAINS = frozenset({"", "ai.onnx"})
"""Operator sets that every ONNX Runtime brings itself; anything else would need code from elsewhere."""

PART_KEY = "aae_detect.part"
"""Metadata key of the files beside the detector, see `part_file`."""

_HINT = "make a detector with `aae-train` and `aae-export`, or try `aae-detect --demo`"


@dataclass(frozen=True)
class ModelFile:
    """A model file that passed all checks that can be made without running it."""

    path: Path
    content: bytes = field(repr=False)
    sha256: str
    """SHA-256 of the file, lower-case hex: what other files bind to."""
    spec: ModelSpec


def read_model(path: Path, owner: OwnerKey | None = None) -> ModelFile:
    """Read and check a detector file.

    Args:
        path: The file.
        owner: Whose signature it must have; None: nobody's.

    Raises:
        ModelError: missing, too large, not signed, truncated, not ONNX, with external data or custom operators, not
            made by aae-export, or with a description that this version cannot read.
    """
    content, metadata = read_onnx(path, "detector.onnx", _HINT, owner)
    if METADATA_KEY not in metadata:
        what = "another file of an export" if PART_KEY in metadata else "an ONNX model, but not one of ours"
        raise ModelError(f"{path} is {what} (no {METADATA_KEY!r} in its metadata), expected detector.onnx; {_HINT}")
    try:
        spec = ModelSpec.from_json(metadata[METADATA_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return ModelFile(path, content, hashlib.sha256(content).hexdigest(), spec)


def read_onnx(path: Path, expected: str, hint: str, owner: OwnerKey | None = None) -> tuple[bytes, dict[str, str]]:
    """Read any ONNX file of an export and check all that does not depend on which one it is.

    Args:
        path: The file.
        expected: How an export names it, for errors.
        hint: What a user without such a file should do.
        owner: Whose signature it must have; None: nobody's.

    Returns:
        Its content and its metadata.

    Raises:
        ModelError: missing, too large, truncated, not ONNX, with external data or custom operators.
    """
    content = _read_bytes(path, expected, hint)
    if owner is not None:
        owner.require(content, path)  # before anything looks into it
    return content, _inspect(content, path, hint)


def _read_bytes(path: Path, expected: str, hint: str) -> bytes:
    try:
        content = read_limited(path, MAX_MODEL_BYTES)
    except FileNotFoundError as error:
        raise ModelError(f"no model file {path}; {hint}") from error
    except OSError as error:
        if path.is_dir():
            raise ModelError(f"{path} is a folder, expected the file {expected}, perhaps {path / expected}") from error
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise ModelError(f"{path} is empty; copy the file again")
    return content


class _Malformed(Exception):
    """The bytes are no protobuf message."""


@dataclass
class _Walk:
    """One way through a file, which ends."""

    path: Path
    left: int = MAX_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
        """As `_fields`, and count them."""
        for each in _fields(message):
            self.left -= 1
            if self.left < 0:
                raise ModelError(f"{self.path} has more than the {MAX_FIELDS} fields that a model may have; refused")
            yield each


def _inspect(content: bytes, path: Path, hint: str) -> dict[str, str]:
    """Walk the whole file once; returns its metadata, or raises what is wrong with it."""
    # A model starts with field 1 (ir_version) as a varint: 0x08. Other files fail here or soon after.
    # Nobody but ONNX Runtime's own format has these letters here; it would be loaded as what it is, unchecked.
    if content[4:8] == b"ORTM":
        raise ModelError(f"{path} is in ONNX Runtime's own format, expected ONNX; {hint}")
    damaged = f"{path} is a truncated or damaged ONNX file; copy it again"
    foreign = f"{path} is not an ONNX file; {hint}"
    metadata: dict[str, str] = {}
    found_graph, metadata_bytes, walk = False, 0, _Walk(path)
    try:
        for number, value in walk.fields(memoryview(content)):
            if number == 7 and isinstance(value, memoryview):  # graph
                found_graph = True
                _check_graph(value, walk, 0)
            elif number == 25 and isinstance(value, memoryview):  # functions: operators defined in the file itself
                raise ModelError(f"{path} defines functions of its own, which aae-export never writes; refused")
            elif number == 14 and isinstance(value, memoryview):  # metadata_props
                metadata_bytes += len(value)
                if metadata_bytes > MAX_METADATA_BYTES:
                    raise ModelError(f"{path} has more than {MAX_METADATA_BYTES} bytes of metadata; refused")
                entry = {n: bytes(v) for n, v in walk.fields(value) if isinstance(v, memoryview)}
                metadata[entry.get(1, b"").decode("utf-8")] = entry.get(2, b"").decode("utf-8")
    except (_Malformed, UnicodeDecodeError) as error:
        raise ModelError(damaged if content[:1] == b"\x08" else foreign) from error
    if not found_graph:
        raise ModelError(damaged if content[:1] == b"\x08" else foreign)
    return metadata


def _check_graph(graph: memoryview, walk: _Walk, depth: int) -> None:
    """Refuse external data and custom operators in a graph and in the graphs inside it."""
    if depth > MAX_DEPTH:
        raise ModelError(f"{walk.path} nests graphs more than {MAX_DEPTH} deep; refused")
    for number, value in walk.fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == 1:  # node
            _check_node(value, walk, depth)
        elif number == 5:  # initializer
            _check_tensor(value, walk)
        elif number == 15:  # sparse_initializer
            _check_sparse(value, walk)


def _check_node(node: memoryview, walk: _Walk, depth: int) -> None:
    name, domain = "?", ""
    for number, value in walk.fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == 4:  # op_type
            name = bytes(value).decode("utf-8")
        elif number == 7:  # domain
            domain = bytes(value).decode("utf-8")
        elif number == 5:  # attribute
            for kind, inner in walk.fields(value):
                if not isinstance(inner, memoryview):
                    continue
                if kind in (5, 10):  # t, tensors
                    _check_tensor(inner, walk)
                elif kind in (22, 23):  # sparse_tensor, sparse_tensors
                    _check_sparse(inner, walk)
                elif kind in (6, 11):  # g, graphs
                    _check_graph(inner, walk, depth + 1)
    if domain not in TRUSTED_DOMAINS:
        custom = f"{domain}.{name}"
        raise ModelError(f"{walk.path} uses the custom operator {custom}, which would need foreign code; refused")


def _check_sparse(sparse: memoryview, walk: _Walk) -> None:
    for part, tensor in walk.fields(sparse):
        if part in (1, 2) and isinstance(tensor, memoryview):  # values, indices
            _check_tensor(tensor, walk)


def _check_tensor(tensor: memoryview, walk: _Walk) -> None:
    for number, value in walk.fields(tensor):
        # external_data; data_location, of which 0 is "here": a larger number may be cut to EXTERNAL by who reads it.
        if number == 13 or (number == 14 and value != 0):
            raise ModelError(f"{walk.path} keeps weights in other files (external data); a model is one file; refused")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield (field number, value) of a protobuf message; only varints and bytes have a value, others give 0."""
    at, end = 0, len(message)
    while at < end:
        start, (key, at) = at, _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if number == 0 or key >> 32:  # others cut a longer key to 32 bits, and see another field than we do
            raise _Malformed
        if at - start > 1 and message[at - 1] == 0:  # longer than needed: to make two formats of one file
            raise _Malformed
        value: memoryview | int = 0
        if wire_type == 0:
            value, at = _varint(message, at)
        elif wire_type == 1:
            at += 8
        elif wire_type == 5:
            at += 4
        elif wire_type == 2:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        else:
            raise _Malformed
        if at > end:
            raise _Malformed
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise _Malformed
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7

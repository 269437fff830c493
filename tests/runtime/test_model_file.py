"""What is refused before ONNX Runtime ever sees it. Files are altered on the wire: protobuf takes appended fields."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aae_detect.errors import ModelError
from aae_detect.model_file import MAX_FIELDS, MAX_METADATA_BYTES, MAX_MODEL_BYTES, _fields, read_model
from aae_detect.spec import METADATA_KEY


def field(number: int, payload: bytes | int) -> bytes:
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def metadata(key: str, value: str) -> bytes:
    return field(14, field(1, key.encode()) + field(2, value.encode()))


def node(op_type: str, domain: str = "", *attributes: bytes) -> bytes:
    return field(1, field(4, op_type.encode()) + field(7, domain.encode()) + b"".join(field(5, a) for a in attributes))


EXTERNAL_TENSOR = field(14, 1) + field(13, field(1, b"location") + field(2, b"/etc/passwd"))


@pytest.fixture
def content(tiny_model: Path) -> bytes:
    return tiny_model.read_bytes()


def check_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "altered.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_model(path)


def test_a_good_file_is_read(tiny_model: Path) -> None:
    model = read_model(tiny_model)
    assert model.spec.input_hw == (64, 64)
    assert len(model.sha256) == 64
    assert model.content == tiny_model.read_bytes()


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file .*aae-train"):
        read_model(tmp_path / "nothing.onnx")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        read_model(tmp_path)


def test_empty(tmp_path: Path) -> None:
    check_refused(tmp_path, b"", "is empty")


def test_too_large_is_refused_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)  # sparse: takes no room on the disk
    with pytest.raises(ModelError, match="more than"):
        read_model(path)


def test_what_never_ends_or_is_waited_for_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    os.mkfifo(path)
    for other in (path, Path("/dev/zero")):
        with pytest.raises(ModelError, match="a pipe or a device; expected a regular file"):
            read_model(other)
    with pytest.raises(ModelError, match="zero character"):
        read_model(tmp_path / "detector\0.onnx")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncated(tmp_path: Path, content: bytes, share: float) -> None:
    check_refused(tmp_path, content[: int(len(content) * share)], "truncated or damaged")


@pytest.mark.parametrize("foreign", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello world, this is text\n", bytes(64)])
def test_not_onnx(tmp_path: Path, foreign: bytes) -> None:
    check_refused(tmp_path, foreign, "is not an ONNX file")


def test_not_ours(tmp_path: Path, content: bytes) -> None:
    stripped = b"".join(
        field(number, bytes(value) if isinstance(value, memoryview) else value)
        for number, value in _fields(memoryview(content))
        if number != 14
    )
    check_refused(tmp_path, stripped, "not one of ours")
    check_refused(tmp_path, stripped + metadata("aae_detect.part", "{}"), "another file of an export")


def test_a_newer_schema(tmp_path: Path, content: bytes, tiny_model: Path) -> None:
    data = json.loads(read_model(tiny_model).spec.to_json())
    newer = json.dumps(data | {"schema_version": 99, "later": "field"})
    check_refused(tmp_path, content + metadata(METADATA_KEY, newer), "upgrade aae-detect")


@pytest.mark.parametrize(
    "graph",
    [
        field(5, EXTERNAL_TENSOR),
        field(15, field(1, EXTERNAL_TENSOR)),
        node("Constant", "", field(5, EXTERNAL_TENSOR)),
        node("Constant", "", field(10, EXTERNAL_TENSOR)),
        node("If", "", field(6, field(5, EXTERNAL_TENSOR))),
        node("Constant", "", field(22, field(1, EXTERNAL_TENSOR))),
        node("Constant", "", field(23, field(2, EXTERNAL_TENSOR))),
        field(5, field(14, 2**32 + 1)),
    ],
)
def test_external_data_wherever_it_hides(tmp_path: Path, content: bytes, graph: bytes) -> None:
    check_refused(tmp_path, content + field(7, graph), "external data")


@pytest.mark.parametrize(
    "graph",
    [
        node("Run", "evil.ops"),
        node("Loop", "", field(6, node("Run", "evil.ops"))),
        node("If", "", field(11, node("Run", "evil.ops"))),
    ],
)
def test_custom_operators_wherever_they_hide(tmp_path: Path, content: bytes, graph: bytes) -> None:
    check_refused(tmp_path, content + field(7, graph), r"custom operator evil\.ops\.Run")


def test_a_field_number_that_others_cut_to_another_one(tmp_path: Path, content: bytes) -> None:
    """External data as ONNX Runtime reads it: 13, and bits beyond the 32 of a key."""
    hidden = varint((13 << 3 | 2) + 2**32) + varint(4) + b"\x0a\x02ab"
    check_refused(tmp_path, content + field(7, field(5, hidden)), "damaged")


def test_a_file_that_onnxruntime_takes_for_its_own_format(tmp_path: Path, content: bytes) -> None:
    """It looks at bytes 4 to 8; before them, here, begins a field that protobuf passes over."""
    hint = r"in ONNX Runtime's own format, expected ONNX"
    check_refused(tmp_path, b"\x12\x06\0\0ORTM" + content, hint)
    check_refused(tmp_path, b"\x92\x80\x80\x00\x04ORTM" + content, "is not an ONNX file")


def test_more_than_any_model_has_is_refused_soon(tmp_path: Path, content: bytes) -> None:
    check_refused(tmp_path, content + b"\x08\x00" * MAX_FIELDS, "fields that a model may have")
    check_refused(tmp_path, content + field(7, field(5, b"\x08\x00" * MAX_FIELDS)), "fields that a model may have")
    check_refused(tmp_path, content + metadata("x", "a" * MAX_METADATA_BYTES), "bytes of metadata; refused")


def test_functions_of_its_own(tmp_path: Path, content: bytes) -> None:
    check_refused(tmp_path, content + field(25, field(1, b"f")), "defines functions")


def test_graphs_nested_without_end(tmp_path: Path, content: bytes) -> None:
    graph = b""
    for _ in range(200):
        graph = node("If", "", field(6, graph))
    check_refused(tmp_path, content + field(7, graph), "deep")


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 1480), value=st.integers(0, 255), cut=st.integers(0, 1481))
def test_damage_gives_our_error_or_a_model_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, position: int, value: int, cut: int
) -> None:
    damaged = bytearray(tiny_model.read_bytes())
    damaged[min(position, len(damaged) - 1)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(damaged[:cut]) if cut % 3 == 0 else bytes(damaged))
    try:
        assert read_model(path).spec.latent_dim >= 0
    except ModelError as error:
        assert str(path) in str(error)

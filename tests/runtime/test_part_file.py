"""The files beside the detector: what is refused before ONNX Runtime sees it, and what a note must say."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from aae_detect.errors import ModelError
from aae_detect.model_file import MAX_MODEL_BYTES, PART_KEY, read_model
from aae_detect.part_file import PartNote, pack_bank, read_part

EXPORT = Path(__file__).parents[1] / "data" / "tiny_export"
NOTE = read_part(EXPORT / "generator.onnx", "generator").note
BANK = np.arange(10, dtype=np.float32).reshape(5, 2) / 8

Alter = Callable[[object], Path]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


@pytest.fixture
def with_note(tmp_path: Path) -> Alter:
    """Return the generator with another note: protobuf takes appended fields, and the last one counts."""

    def alter(note: object) -> Path:
        text = note if isinstance(note, str) else json.dumps(note)
        entry = field(14, field(1, PART_KEY.encode()) + field(2, text.encode()))
        path = tmp_path / "generator.onnx"
        path.write_bytes((EXPORT / "generator.onnx").read_bytes() + entry)
        return path

    return alter


def note_data(**changes: object) -> dict[str, object]:
    return json.loads(NOTE.to_json()) | changes


def test_a_good_file_is_read() -> None:
    part = read_part(EXPORT / "encoder.onnx", "encoder")
    assert part.content == (EXPORT / "encoder.onnx").read_bytes()
    assert part.note == PartNote(
        role="encoder",
        family="aae",
        prior="normal",
        latent_dim=24,
        latent_chw=(2, 3, 4),
        noise_dim=24,
        input_hw=(48, 64),
        fit="stretch",
        pictures="uint8 NHWC BGR",
        weights_sha256="0" * 64,
    )


def test_a_note_survives_json_and_leaves_out_an_empty_bank() -> None:
    assert PartNote.from_json(NOTE.to_json()) == NOTE
    assert "prior_bank" not in NOTE.to_json()


def test_the_wrong_files(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file .*generator\.onnx; give the folder that `aae-export` wrote"):
        read_part(tmp_path / "generator.onnx", "generator")
    with pytest.raises(ModelError, match=r"is a folder, expected the file generator\.onnx"):
        read_part(tmp_path, "generator")
    with pytest.raises(ModelError, match=r"tiny\.onnx is a detector .*expected encoder\.onnx"):
        read_part(tiny_model, "encoder")
    with pytest.raises(ModelError, match=r"says that it is the decoder, expected the generator"):
        read_part(EXPORT / "decoder.onnx", "generator")
    with pytest.raises(ModelError, match=r"is another file of an export"):
        read_model(EXPORT / "decoder.onnx")


def test_unsafe_and_broken_files_are_refused_as_a_detector_is(tmp_path: Path) -> None:
    content = (EXPORT / "generator.onnx").read_bytes()
    external = field(7, field(5, field(13, field(1, b"location") + field(2, b"/etc/passwd"))))
    custom = field(7, field(1, field(4, b"Run") + field(7, b"evil.ops")))
    no_note = b"\x08\x0a" + field(7, b"")
    path = tmp_path / "generator.onnx"
    for altered, message in (
        (b"", "is empty"),
        (content[: len(content) // 2], "truncated or damaged"),
        (b"hello world, this is text\n", "is not an ONNX file; give the folder"),
        (content + external, "external data"),
        (content + custom, r"custom operator evil\.ops\.Run"),
        (content + field(25, field(1, b"f")), "defines functions"),
        (no_note, "not one of ours"),
    ):
        path.write_bytes(altered)
        with pytest.raises(ModelError, match=message):
            read_part(path, "generator")
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)  # sparse
    with pytest.raises(ModelError, match="more than"):
        read_part(path, "generator")


def test_an_older_export_is_told_to_export_again(with_note: Alter) -> None:
    older = {name: note_data()[name] for name in ("role", "family", "prior", "latent_dim", "pictures")}
    older["weights_sha256"] = "0" * 64
    with pytest.raises(ModelError) as error:
        read_part(with_note(older), "generator")
    message = str(error.value)
    assert "lacks latent_chw, noise_dim, input_hw, fit: an older aae-export wrote it; export the model again" in message
    assert "generator.onnx" in message


def test_a_newer_export_is_told_to_upgrade(with_note: Alter) -> None:
    with pytest.raises(ModelError, match=r"unknown fields 'temperature': upgrade aae-detect"):
        read_part(with_note(note_data(temperature=0.5)), "generator")


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', "null", "[" * 100_000])
def test_a_note_that_is_no_object(with_note: Alter, text: str) -> None:
    with pytest.raises(ModelError, match=r"generator\.onnx: the part's note is not "):
        read_part(with_note(text), "generator")


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("role", "critic"),
        ("role", {"a": 1}),
        ("family", ""),
        ("family", 7),
        ("prior", 7),
        ("latent_dim", 0),
        ("latent_dim", 24.0),
        ("latent_dim", True),
        ("latent_dim", 10**30),
        ("latent_chw", [2, 3]),
        ("latent_chw", [24, 1, True]),
        ("latent_chw", [-2, -3, 4]),
        ("latent_chw", "234"),
        ("noise_dim", -1),
        ("noise_dim", None),
        ("input_hw", [0, 64]),
        ("input_hw", [48, 64, 3]),
        ("input_hw", [48, 20000]),
        ("drawing_step", 0),
        ("drawing_step", "2"),
        ("bits", 8),
        ("fit", "squeeze"),
        ("pictures", "float NCHW RGB"),
        ("weights_sha256", "0" * 63),
        ("weights_sha256", "G" * 64),
        ("prior_bank", 3),
    ],
)
def test_each_field_is_checked(with_note: Alter, field_name: str, value: object) -> None:
    with pytest.raises(ModelError, match=rf"the part's note is wrong: {field_name} is .*; export the model again"):
        read_part(with_note(note_data(**{field_name: value})), "generator")


def test_drawings_are_a_whole_part_of_pictures(with_note: Alter) -> None:
    assert read_part(with_note(note_data(drawing_step=2)), "generator").note.drawn_hw == (24, 32)
    with pytest.raises(ModelError, match=r"drawing_step 5 does not divide input_hw \(48, 64\)"):
        read_part(with_note(note_data(drawing_step=5)), "generator")


def test_the_shape_of_the_code_is_its_length(with_note: Alter) -> None:
    with pytest.raises(ModelError, match=r"latent_dim 24 is not the product of latent_chw \(2, 3, 5\)"):
        read_part(with_note(note_data(latent_chw=[2, 3, 5])), "generator")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": "cauchy"}, "'cauchy' is none of normal, uniform"),
        ({"prior": "mixture:1"}, "write mixture:K"),
        ({"prior": "mixture:10", "latent_chw": [1, 6, 4]}, "lies in pairs of numbers"),
        ({"prior": "custom"}, "the custom prior has no samples"),
        ({"prior": "custom", "prior_bank": "not base64!"}, "is not base64"),
        ({"prior": "custom", "prior_bank": base64.b64encode(bytes(12)).decode()}, "12 bytes, not whole samples of 2"),
        ({"prior": "custom", "prior_bank": pack_bank(np.float32([[0, np.nan]]))}, "not finite"),
        ({"prior": "normal", "prior_bank": pack_bank(BANK)}, "prior_bank holds samples, and prior is 'normal'"),
    ],
)
def test_the_prior_must_be_one_to_draw_from(with_note: Alter, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as error:
        read_part(with_note(note_data(**changes)), "generator")
    assert message in str(error.value)
    assert "generator.onnx: the part's note is wrong" in str(error.value)


def test_only_the_generator_draws_from_the_prior() -> None:
    """Codes of another size than the prior's samples, as GMMN in the codes of an autoencoder has them."""
    data = asdict(NOTE) | {"role": "decoder", "latent_chw": (1, 6, 4)}
    for prior, bank in (("mixture:10", ""), ("swiss-roll", ""), ("custom", ""), ("custom", pack_bank(BANK))):
        assert PartNote(**data | {"prior": prior, "prior_bank": bank}).prior == prior
    with pytest.raises(ModelError, match="'cauchy' is none of"):
        PartNote(**data | {"prior": "cauchy"})


@pytest.mark.parametrize("layout", ["C", "F"])
def test_recorded_samples_come_back_bit_for_bit(layout: str) -> None:
    note = PartNote(**asdict(NOTE) | {"prior": "custom", "prior_bank": pack_bank(np.array(BANK, order=layout))})
    bank = PartNote.from_json(note.to_json()).make_prior().bank
    assert bank is not None
    assert bank.dtype == np.float32
    assert (bank == BANK).all()
    assert base64.b64decode(note.prior_bank) == BANK.astype("<f4").tobytes()

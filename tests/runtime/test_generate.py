"""`aae-generate` on parts whose answers can be worked out by hand; see tests/data/make_tiny_parts.py."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from aae_detect.errors import ConfigError, ModelError
from aae_detect.generate.cli import main
from aae_detect.generate.contents import picture_section, samples_section, ways_section
from aae_detect.generate.generator import Generator, interpolate, sample_pictures
from aae_detect.generate.part_model import PartModel
from aae_detect.generate.reconstructor import Reconstructor
from aae_detect.generate.sheet import GAP, MARGIN, WIDTH, Section, arrange, cell_size, draw_sheet, thumbnail
from aae_detect.model_file import PART_KEY
from aae_detect.part_file import pack_bank, read_part

DATA = Path(__file__).parents[1] / "data"
EXPORT = DATA / "tiny_export"


def drawn(codes: np.ndarray) -> np.ndarray:
    """What the tiny decoder makes of codes (N, 24), worked out here: (N, 48, 64, 3)."""
    places = codes.reshape(-1, 2, 3, 4).repeat(16, axis=2).repeat(16, axis=3)
    blue, red = np.rint(np.clip(127 + np.float32(40) * places, 0, 255)).transpose(1, 0, 2, 3)
    return np.stack([blue, np.full_like(blue, 127), red], axis=3).astype(np.uint8)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def change_note(path: Path, **changes: object) -> None:
    """Give a part another note: protobuf takes appended fields, and the last one counts."""
    note = json.loads(read_part(path, path.stem).note.to_json()) | changes  # type: ignore[arg-type]
    entry = field(14, field(1, PART_KEY.encode()) + field(2, json.dumps(note).encode()))
    path.write_bytes(path.read_bytes() + entry)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A copy of the tiny export, to change."""
    return Path(shutil.copytree(EXPORT, tmp_path / "export"))


@pytest.fixture
def deterministic(export: Path) -> Path:
    """The same with an encoder that takes no noise."""
    shutil.copy(DATA / "tiny_encoder.onnx", export / "encoder.onnx")
    return export


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of even places at the tiny model's own size: blue 100 or 180, green 127, red 60."""
    image = np.full((48, 64, 3), (100, 127, 60), np.uint8)
    image[16:32, 32:48, 0] = 180
    path = tmp_path_factory.mktemp("picture") / "part.png"
    cv2.imwrite(str(path), image)
    return path


def test_codes_are_drawn_as_worked_out_by_hand() -> None:
    codes = np.linspace(-4, 4, 72, dtype=np.float32).reshape(3, 24)
    assert (np.stack(list(Generator.load(EXPORT).draw(codes))) == drawn(codes)).all()


def test_samples_come_from_the_prior_and_the_seed_alone() -> None:
    generator = Generator.load(EXPORT)
    codes = generator.codes(500, seed=3)
    assert (codes.shape, codes.dtype) == ((500, 24), np.float32)
    assert abs(codes.mean()) < 5 / np.sqrt(codes.size)
    assert abs(codes.var() - 1) < 5 * np.sqrt(2 / codes.size)
    assert (generator.codes(500, seed=3) == codes).all()
    assert (generator.codes(500, seed=4) != codes).any()
    pictures = sample_pictures(EXPORT, 5, seed=3)
    assert (pictures.shape, pictures.dtype) == ((5, 48, 64, 3), np.uint8)
    assert (pictures == drawn(codes[:5])).all()


def test_a_sample_is_the_same_however_many_are_drawn() -> None:
    generator = Generator.load(EXPORT)
    assert (generator.codes(3, 0) == generator.codes(40, 0)[:3]).all()
    assert (generator.codes(2, 0, first=7) == generator.codes(9, 0)[7:]).all()
    assert len(np.unique(generator.codes(40, 0)[:, 0])) == 40


def test_a_custom_prior_draws_whole_places_from_its_bank(export: Path) -> None:
    bank = np.array([(-1, 0), (0, 1), (1, -1)], np.float32)
    change_note(export / "generator.onnx", prior="custom", prior_bank=pack_bank(bank))
    pictures = sample_pictures(export, 10, seed=0)
    assert {tuple(pixel) for pixel in pictures.reshape(-1, 3)} == {(87, 127, 127), (127, 127, 167), (167, 127, 87)}


def test_no_pictures_and_impossible_numbers() -> None:
    assert sample_pictures(EXPORT, 0).shape == (0, 48, 64, 3)
    with pytest.raises(ConfigError, match="count is -1, expected 0 or more"):
        sample_pictures(EXPORT, -1)
    with pytest.raises(ConfigError, match="seed is -1, expected 0 or more"):
        sample_pictures(EXPORT, 1, seed=-1)


def test_every_point_of_an_arc_is_distributed_as_the_normal_prior() -> None:
    rng = np.random.default_rng(0)
    first, last = rng.standard_normal((2, 100_000), dtype=np.float32)
    steps = interpolate(first, last, 5, "normal")
    assert (steps[0] == first).all()
    assert (steps[-1] == last).all()
    assert steps.var(axis=1) == pytest.approx(np.ones(5), abs=5 * np.sqrt(2 / 100_000))
    middle = interpolate(np.float32([1, 0]), np.float32([0, 1]), 3, "normal")[1]
    assert middle == pytest.approx([np.sqrt(0.5)] * 2)  # slerp of unit vectors at right angles


@pytest.mark.parametrize("kind", ["uniform", "mixture", "swiss-roll", "custom"])
def test_other_priors_are_crossed_in_a_straight_line(kind: str) -> None:
    steps = interpolate(np.float32([0, 4]), np.float32([1, 0]), 5, kind)
    assert steps.tolist() == [[0, 4], [0.25, 3], [0.5, 2], [0.75, 1], [1, 0]]


def test_reconstructions_with_and_without_noise(picture: Path) -> None:
    reconstructor = Reconstructor.load(EXPORT)
    image = reconstructor.prepare(cv2.imread(str(picture)))
    assert reconstructor.stochastic
    assert (reconstructor.reconstruct(image) == image).all()
    noise = reconstructor.noise(3, seed=0)
    assert (noise.shape, noise.dtype) == ((3, 24), np.float32)
    assert (reconstructor.noise(3, seed=0) == noise).all()
    assert len(np.unique(noise)) == noise.size
    for row, found in zip(noise, reconstructor.draw(image, noise), strict=True):
        shift = 20 * row.reshape(2, 3, 4).repeat(16, axis=1).repeat(16, axis=2)
        expected = np.clip(image[..., [0, 2]] + shift.transpose(1, 2, 0), 0, 255)
        assert np.abs(found[..., [0, 2]] - expected).max() <= 0.51


def test_a_deterministic_encoder_has_one_reconstruction(deterministic: Path, picture: Path) -> None:
    reconstructor = Reconstructor.load(deterministic)
    image = reconstructor.prepare(cv2.imread(str(picture)))
    assert not reconstructor.stochastic
    assert (reconstructor.reconstruct(image) == image).all()
    section = picture_section(reconstructor, image, "part.png", 0)
    assert list(section.captions) == ["picture", "reconstruction"]
    assert "deterministic" in section.note


def test_the_samples_on_the_sheet_are_the_samples() -> None:
    section = samples_section(Generator.load(EXPORT), 12, seed=5)
    expected = sample_pictures(EXPORT, 12, seed=5)
    factor = section.cells[0].shape[0] // 48
    assert factor > 1
    for cell, sample in zip(section.cells, expected, strict=True):
        assert (cell[::factor, ::factor] == sample).all()


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3), (8, 4), (400, 4)])
def test_ways_join_samples_that_the_sheet_shows(count: int, rows: int) -> None:
    section = ways_section(Generator.load(EXPORT), count, seed=5)
    assert len(section.cells) == len(section.captions) == rows * section.columns
    samples = sample_pictures(EXPORT, 2 * rows, seed=5)
    for caption, cell in zip(section.captions, section.cells, strict=True):
        if caption:
            sample = samples[int(caption.removeprefix("sample ")) - 1]
            assert (cell == thumbnail(sample, cell.shape[:2])).all()
    assert max(int(c.removeprefix("sample ")) for c in section.captions if c) <= max(2, count)


@pytest.mark.parametrize("shape", [(256, 256), (256, 352), (8, 8), (64, 512), (512, 64), (1024, 16), (1, 1), (1, 9999)])
@pytest.mark.parametrize("count", [1, 2, 7, 13, 40, 399, 400])
def test_cells_fit_and_keep_the_pictures_shape(shape: tuple[int, int], count: int) -> None:
    columns, (height, width) = arrange(count, shape, 900)
    rows = -(-count // columns)
    assert columns * (width + GAP) - GAP <= WIDTH
    assert rows * (height + GAP) - GAP <= 900
    assert 1 <= columns <= count
    ratio = shape[0] / shape[1]
    assert (height - 1) / (width + 1) <= ratio <= (height + 1) / max(width - 1, 0.1) or min(height, width) == 1
    if height > shape[0]:
        assert height % shape[0] == 0


def test_a_picture_grows_by_repeating_and_shrinks_by_averaging() -> None:
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert cell_size((2, 2), (7, 9)) == (6, 6)
    assert (thumbnail(small, (6, 6))[1::3, 1::3] == small).all()
    board = np.zeros((64, 64, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    assert np.abs(thumbnail(board, (16, 16)).astype(int) - 127.5).max() < 1


@pytest.mark.parametrize(("captions", "cell_w"), [(False, 40), (True, 40), (True, 9)])
def test_gaps_are_even_and_nothing_is_cut(captions: bool, cell_w: int) -> None:
    red, count, columns = (0, 0, 255), 11, 4
    cells = [np.full((30, cell_w, 3), red, np.uint8)] * count
    texts = [f"caption {number}" for number in range(count)] if captions else ()
    long = "word " * 60
    sheet = draw_sheet("Title", long, [Section("Section", long, cells, columns, texts)])
    assert (sheet.dtype, sheet.shape[2]) == (np.uint8, 3)
    edge = np.ones(sheet.shape[:2], bool)
    edge[MARGIN:-MARGIN, MARGIN:-MARGIN] = False
    assert (sheet[edge] == sheet[0, 0]).all()
    found, _, boxes, _ = cv2.connectedComponentsWithStats((sheet == red).all(axis=2).astype(np.uint8))
    assert found - 1 == count
    assert {(w, h) for _, _, w, h, _ in boxes[1:]} == {(cell_w, 30)}
    lefts, tops = sorted({x for x, *_ in boxes[1:]}), sorted({y for _, y, *_ in boxes[1:]})
    assert (len(lefts), len(tops)) == (columns, 3)
    assert len(set(np.diff(lefts))) == len(set(np.diff(tops))) == 1
    assert np.diff(lefts)[0] >= cell_w + GAP


def test_letters_that_the_font_lacks_do_not_stop_it() -> None:
    cell = np.full((20, 20, 3), (0, 0, 255), np.uint8)
    sheet = draw_sheet("Größe", "日本", [Section("läuft", "\n", [cell], 1, ["é"])])
    assert (sheet == (0, 0, 255)).all(axis=2).sum() == 20 * 20


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_same_seed_gives_the_same_sheet(tmp_path: Path, picture: Path) -> None:
    sheets = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.png"
        done = run(EXPORT, "--out", out, "--count", 6, "--seed", seed, "--picture", picture, "--threads", 1)
        assert done.exit_code == 0, done.output
        assert f"6 samples of aae, prior normal: written to {out}" in done.output
        sheets[name] = out.read_bytes()
    assert sheets["a"] == sheets["b"] != sheets["c"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "c.png"}
    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_a_picture_adds_its_reconstructions_and_changes_nothing_else(tmp_path: Path, picture: Path) -> None:
    out, longer = tmp_path / "out.png", tmp_path / "longer.png"
    out.write_text("an earlier sheet")
    assert run(EXPORT, "--out", out).exit_code == 0
    assert run(EXPORT, "--out", longer, "--picture", picture).exit_code == 0
    short, long = cv2.imread(str(out)), cv2.imread(str(longer))
    kept = short.shape[0] - MARGIN
    assert long.shape[0] > short.shape[0]
    assert (long[:kept] == short[:kept]).all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([EXPORT], 2, "Missing option '--out'"),
        ([EXPORT, "--out", "sheet.jpg"], 2, "does not end in .png"),
        ([EXPORT, "--out", "."], 2, "does not end in .png"),
        ([EXPORT, "--out", "nowhere/sheet.png"], 2, "the folder nowhere does not exist; make it first"),
        ([EXPORT, "--out", "sheet.png", "--count", 0], 2, "1<=x<=400"),
        ([EXPORT, "--out", "sheet.png", "--count", 401], 2, "1<=x<=400"),
        ([EXPORT, "--out", "sheet.png", "--seed", -1], 2, "--seed"),
        ([EXPORT, "--out", "sheet.png", "--picture", "nothing.png"], 4, "picture nothing.png cannot be read"),
        ([EXPORT, "--out", "sheet.png", "--picture", __file__], 4, "cannot be decoded"),
        (["nowhere", "--out", "sheet.png"], 5, "no model file nowhere/generator.onnx; give the folder that"),
    ],
)
def test_wrong_use_is_one_message_and_writes_nothing(
    arguments: list[object], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == code
    assert message in done.output
    assert not list(tmp_path.iterdir())


def test_a_sheet_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    out.write_text("earlier")
    (tmp_path / ".sheet.png.part").mkdir()
    done = run(EXPORT, "--out", out)
    assert done.exit_code == 2
    assert "sheet.png cannot be written" in done.output
    assert out.read_text() == "earlier"
    (tmp_path / "folder.png").mkdir()
    assert "folder.png is a folder" in run(EXPORT, "--out", tmp_path / "folder.png").output


def test_an_export_without_its_encoder_draws_samples_only(export: Path, picture: Path, tmp_path: Path) -> None:
    (export / "encoder.onnx").unlink()
    out = tmp_path / "sheet.png"
    assert run(export, "--out", out).exit_code == 0
    done = run(export, "--out", out, "--picture", picture)
    assert done.exit_code == 5
    assert "no model file" in done.output
    assert "encoder.onnx" in done.output


def test_parts_of_different_models_are_refused(export: Path, picture: Path, tmp_path: Path) -> None:
    change_note(export / "generator.onnx", weights_sha256="1" * 64)
    done = run(export, "--out", tmp_path / "sheet.png", "--picture", picture)
    assert done.exit_code == 5
    assert "come from different models (weights 111111111111 and 000000000000)" in done.output
    change_note(export / "decoder.onnx", weights_sha256="1" * 64)
    with pytest.raises(ModelError, match=r"encoder\.onnx and .*decoder\.onnx come from different models"):
        Reconstructor.load(export)


def test_a_graph_that_is_not_what_its_note_says(export: Path) -> None:
    change_note(export / "generator.onnx", latent_chw=[2, 3, 5], latent_dim=30)
    with pytest.raises(ModelError, match=r"the graph has the inputs .*24.* its note says .*30"):
        Generator.load(export)
    change_note(export / "encoder.onnx", noise_dim=0)
    with pytest.raises(ModelError, match=r"the graph has the inputs .*noise"):
        Reconstructor.load(export)
    change_note(export / "decoder.onnx", input_hw=[64, 48])
    with pytest.raises(ModelError, match=r"the graph has the outputs .*reconstruction"):
        PartModel.open(export, "decoder", "cpu", 1)


MODULES_AFTER = """
import json, sys
from aae_detect.generate.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted(set(name.partition(".")[0] for name in sys.modules))))
"""


@pytest.mark.parametrize("help_only", [True, False])
def test_what_the_command_loads(help_only: bool, tmp_path: Path, picture: Path) -> None:
    out = str(tmp_path / "sheet.png")
    arguments = ["--help"] if help_only else [str(EXPORT), "--out", out, "--picture", str(picture)]
    script = MODULES_AFTER.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"torch", "onnx", "onnxscript", "safetensors", "matplotlib", "rich", "sklearn", "scipy"}
    assert bool(loaded & {"cv2", "numpy", "onnxruntime"}) is not help_only
    assert Path(out).exists() is not help_only

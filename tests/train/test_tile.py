from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from aae_detect import Detector
from aae_detect.errors import ConfigError
from aae_detect.picture_source import list_pictures, read_picture
from aae_train.augment import cut_tile
from aae_train.cli import main as train
from aae_train.compute import to_pictures
from aae_train.config import TrainConfig
from aae_train.detector import make_detector
from aae_train.family import Examples
from aae_train.loader import BatchLoader
from aae_train.tile import for_whole_pictures, native_size

TILE, HW = 64, (320, 448)
PERIOD = 32
"""Pixels after which the texture repeats: the picture's level is the same wherever a window lies."""


def texture(hw: tuple[int, int]) -> np.ndarray:
    cell = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (PERIOD, PERIOD, 3), np.uint8), (0, 0), 1.5)
    return np.ascontiguousarray(np.tile(cell, (hw[0] // PERIOD + 1, hw[1] // PERIOD + 1, 1))[: hw[0], : hw[1]])


def test_a_whole_picture_has_no_seams() -> None:
    """The same defect, 32 and 64 pixels further on in a picture that is larger than any tile."""
    torch.manual_seed(0)
    config = TrainConfig(data="x", input_hw=HW, tile=TILE)
    small = make_detector(TrainConfig(data="x", input_hw=(TILE, TILE), tile=TILE))
    for parameter in small.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)  # residual layers start at zero, and would do nothing
    with BatchLoader(texture(HW)[None], [0], 40, seed=0, tile=TILE, defect_rate=0.0, ahead=1) as loader:
        small.judge.prepare(Examples(to_pictures(next(loader).clean, torch.device("cpu")), 40, (0,) * 40))
    whole = for_whole_pictures(small, config)

    def look(top: int, left: int) -> np.ndarray:
        picture = texture(HW)
        picture[top : top + 12, left : left + 20] = (40, 200, 90)
        with torch.no_grad():
            return whole(to_pictures(picture[None], torch.device("cpu")))[0].numpy()

    first, second, third = look(160, 160), look(160, 192), look(160, 224)
    assert first.shape == (2, HW[0] // 4, HW[1] // 4)
    part = np.s_[:, 32:52, 32:56]  # far enough from the edges of the picture, which really are nearer or further
    spread = first.std(axis=(1, 2), keepdims=True)
    moved = np.stack([second[:, :, 8:], np.concatenate([third[:, :, 16:], third[:, :, -8:]], axis=2)])
    assert np.abs(first[part]).max() > 0
    assert (np.abs(moved[0][part] - first[part]) < 0.02 * spread).all()
    assert (np.abs(moved[1][part] - first[part]) < 0.02 * spread).all()


def test_tiles_are_cut_anywhere() -> None:
    picture = np.arange(40 * 50 * 3, dtype=np.uint32).reshape(40, 50, 3).astype(np.uint8)
    rng = np.random.default_rng(0)
    assert cut_tile(picture, None, rng) is picture
    cut = [cut_tile(picture, 32, rng) for _ in range(200)]
    assert {tile.shape for tile in cut} == {(32, 32, 3)}
    assert len({tile.tobytes() for tile in cut}) > 60  # of 9 x 19 places
    assert np.shares_memory(cut[0], picture)


def test_the_size_of_the_files_is_the_size_of_the_model(tmp_path: Path) -> None:
    for number, hw in enumerate([(100, 330), (100, 330), (480, 640)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((*hw, 3), np.uint8))
    assert native_size(list_pictures(tmp_path)) == (96, 320)


def test_what_cannot_be_read_is_left_to_the_check_of_the_pictures(tmp_path: Path) -> None:
    """The first is always among those that are looked at: for the size, and for the place of a mask."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(1, 30):
        cv2.imwrite(str(data / f"{number:02d}.png"), np.full((96, 128, 3), 5 * number, np.uint8))
    (data / "00.png").write_bytes(b"no picture")
    assert native_size(list_pictures(data)) == (96, 128)
    mask = tmp_path / "mask.png"
    cv2.imwrite(str(mask), np.full((96, 128), 255, np.uint8))
    for options in (["--tile", "64"], ["--mask", str(mask), "--size", "64"]):
        command = [str(data), "--dry-run", "--out", str(tmp_path / "run"), *options]
        answer = CliRunner().invoke(train, [*command, "--skip-unreadable"])
        assert answer.exit_code == 0 and "left out" in answer.output, answer.output
        answer = CliRunner().invoke(train, command)
        assert answer.exit_code == 2 and "--skip-unreadable" in answer.output
    for path in data.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="none of 30 pictures can be read"):
        native_size(list_pictures(data))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tile": 50}, "no multiple of 32"),
        ({"tile": 512}, "no multiple of 32 that fits into the model's input 256x256"),
        ({"tile": 64, "latent": "64"}, "--tile goes with --latent grid"),
        ({"tile": 64, "model": "gan"}, "--tile goes with --latent grid and --model aae, vae, wae-mmd"),
    ],
)
def test_what_cannot_be_tiled_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainConfig(data="x", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["unet", "none"])
def test_the_whole_line_with_tiles(head: str, demo_pictures: Path, tmp_path: Path) -> None:
    """The demo's pictures have 120x160 pixels, the detector 128x160, though it has seen pieces of 64x64 only."""
    pytest.importorskip("onnxscript", reason="needs the export extra")
    from aae_export.export import export_run

    run = tmp_path / "run"
    answer = CliRunner().invoke(
        train,
        [str(demo_pictures), "--out", str(run), "--steps", "6", "--tile", "64", "--head", head, "--batch-size", "4"],
    )
    assert answer.exit_code == 0, answer.output
    frame = read_picture(list_pictures(demo_pictures)[0])
    size_hw = native_size(list_pictures(demo_pictures))
    assert TrainConfig.load(run).input_hw == size_hw
    report = export_run(run, tmp_path / "export")
    assert all(difference.passed for difference in report.differences)
    detection = Detector.load(report.folder / "detector.onnx", provider="cpu")(frame)
    assert detection.reconstruction_bgr.shape == (size_hw[0] // 2, size_hw[1] // 2, 3)
    assert np.isfinite(detection.score)

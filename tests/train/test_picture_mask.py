"""A mask in training: what lies outside is painted over, nothing is drawn there, and nothing counts there."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from aae_detect.errors import ConfigError
from aae_detect.scoring import SILENT
from aae_train.augment import AugmentConfig
from aae_train.config import TrainConfig
from aae_train.loader import BatchLoader
from aae_train.picture_mask import PAINT, cells_of, decode_inside, encode_inside, inside_of, paint
from aae_train.pictures import PictureStore, check_pictures
from aae_train.run_folder import read_trained
from aae_train.smallest_spot import draw_spot
from aae_train.synthetic import make_defect

HW = (32, 64)


def left_half() -> np.ndarray:
    inside = np.zeros(HW, np.bool_)
    inside[:, :32] = True
    return inside


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "good" / f"{number}.png" for number in range(6)]
    paths[0].parent.mkdir()
    for path in paths:
        cv2.imwrite(str(path), rng.integers(0, 256, (64, 128, 3), np.uint8))
    return paths


def test_a_mask_survives_its_way_into_the_settings() -> None:
    inside = np.random.default_rng(0).random(HW) > 0.5
    config = TrainConfig(data="-", input_hw=HW, mask=encode_inside(inside))
    again = TrainConfig.from_json(config.to_json())
    assert again.inside is not None
    assert (again.inside == inside).all()
    assert TrainConfig(data="-", input_hw=HW).inside is None
    assert cells_of(left_half(), 4).sum() == 64


DAMAGED = ["", "?", "AAAA", encode_inside(np.ones((32, 32), np.bool_)), encode_inside(np.zeros(HW, np.bool_))]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_mask_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no picture of 32x64"):
        decode_inside(text, HW)


def test_tiles_have_no_mask() -> None:
    with pytest.raises(ConfigError, match="leave one out"):
        TrainConfig(data="-", input_hw=HW, mask=encode_inside(left_half()), tile=32)


def test_pictures_are_painted_wherever_they_come_from(pictures: list[Path]) -> None:
    inside = left_half()
    report = check_pictures(pictures, HW, inside=inside)
    small = PictureStore(pictures, HW, budget_bytes=0, inside=inside)
    for number in range(len(pictures)):
        for picture in (report.store[number], small[number]):
            assert (picture[:, 32:] == PAINT).all()
            assert picture[:, :32].std() > 10
    assert inside_of(report.store) is inside
    assert inside_of(np.zeros((2, *HW, 3), np.uint8)) is None


def test_pictures_of_several_shapes_need_stretching(pictures: list[Path]) -> None:
    cv2.imwrite(str(pictures[0]), np.zeros((64, 64, 3), np.uint8))
    check_pictures(pictures, HW, inside=left_half())
    with pytest.raises(ConfigError, match="--mask with --fit crop needs pictures of one shape"):
        check_pictures(pictures, HW, fit="crop", inside=left_half())


def test_batches_show_paint_outside_and_defects_inside(pictures: list[Path]) -> None:
    store = check_pictures(pictures, HW, inside=left_half()).store
    changes = AugmentConfig(shift=0.1, rotation_deg=20.0)
    with BatchLoader(store, range(6), 16, seed=0, augment_config=changes, defect_rate=1.0, ahead=1) as loader:
        batch = next(loader)
    for outside in (batch.clean[:, :, 32:], batch.input[:, :, 32:]):
        assert (outside == PAINT).all()
    assert not batch.mask[:, :, 32:].any()
    assert batch.mask.any(axis=(1, 2)).all()


def test_defects_lie_where_the_model_looks() -> None:
    rng = np.random.default_rng(0)
    picture = paint(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), None)
    narrow = np.zeros((64, 64), np.bool_)
    narrow[30:33, 40:44] = True
    for inside in (np.roll(np.tri(64, dtype=np.bool_), 5, axis=1), narrow):
        painted = paint(picture, inside)
        for seed in range(20):
            defective, mask, kind = make_defect(painted, np.random.default_rng(seed), picture, inside)
            assert mask[inside].any()
            assert not mask[~inside].any()
            assert (defective[~inside] == PAINT).all()
            assert kind
        for seed in range(20):
            spotted = draw_spot(painted, 4, np.random.default_rng(seed), inside)
            assert (spotted != painted).any(axis=2)[inside].any()


@pytest.fixture(scope="module")
def masked_run(demo_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps that looks at the middle of the pictures, which are 160x120."""
    folder = tmp_path_factory.mktemp("masked")
    mask = folder / "mask.json"
    polygon = [[40, 30], [120, 30], [120, 90], [40, 90]]
    mask.write_text(json.dumps({"frame": [160, 120], "look": [polygon]}))
    command = [
        sys.executable,
        "-m",
        "aae_train.cli",
        str(demo_pictures),
        "--out",
        str(folder / "run"),
        "--mask",
        str(mask),
    ]
    done = subprocess.run(
        [*command, "--size", "64x96", "--steps", "10", "--batch-size", "4"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "looking at 25% of the picture" in done.stdout
    return folder / "run"


def test_what_lies_outside_cannot_count_and_what_lies_inside_does(masked_run: Path) -> None:
    """Not even beside the border: whatever is there, answers are the same to the last bit."""
    trained = read_trained(masked_run)
    inside = trained.config.inside
    assert inside is not None and inside[16:48, 24:72].all() and inside.sum() == 32 * 48
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 200, (64, 96, 3), np.uint8)
    other = picture.copy()
    other[~inside] = rng.integers(0, 256, (int((~inside).sum()), 3), np.uint8)
    changed = picture.copy()
    changed[17:20, 25:28] = 255 - changed[17:20, 25:28]
    with torch.no_grad():
        maps, scores, _ = trained.detector(torch.from_numpy(np.stack([picture, other, changed])))
    assert (maps[0] == maps[1]).all() and scores[0] == scores[1]
    assert (maps[0] != maps[2]).any()
    cells = cells_of(inside, 4)
    assert (maps[0].numpy()[~cells] == SILENT).all()
    assert (maps[0].numpy()[cells] > SILENT / 2).all()
    assert trained.threshold.value > SILENT / 2


def test_the_run_says_the_same_when_it_is_resumed_with_its_mask(masked_run: Path, demo_pictures: Path) -> None:
    command = [sys.executable, "-m", "aae_train.cli", str(demo_pictures), "--out", str(masked_run), "--resume"]
    other = masked_run.parent / "other.json"
    other.write_text(json.dumps({"frame": [160, 120], "look": [[[0, 0], [9, 0], [9, 9]]]}))
    done = subprocess.run([*command, "--mask", str(masked_run.parent / "mask.json")], capture_output=True, text=True)
    assert done.returncode == 0 and "is finished" in done.stdout, done.stderr
    done = subprocess.run([*command, "--mask", str(other)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "other.json is not where the run looks" in done.stderr

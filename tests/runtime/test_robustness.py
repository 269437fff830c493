"""`aae-bench accuracy --robustness`: what each disturbance does, and that it reaches the detector."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from aae_detect import Detector
from aae_detect._opencv import cv2
from aae_detect.bench.cli import main
from aae_detect.bench.dataset import find_labelled_set
from aae_detect.bench.robustness import DISTURBANCES, measure_robustness


def disturbed(name: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return DISTURBANCES[name](picture, np.random.default_rng(0))


def textured() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(60, 190, (64, 80, 3), np.uint8)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbance_keeps_size_and_original(name: str) -> None:
    picture = textured()
    before = picture.copy()
    after = disturbed(name, picture)
    assert after.shape == picture.shape and after.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)
    assert np.array_equal(after, before) == (name == "none")


def test_each_does_what_it_says() -> None:
    flat = np.full((32, 32, 3), 100, np.uint8)
    assert (disturbed("brightness +15 %", flat) == 115).all()
    assert (disturbed("brightness -15 %", flat) == 85).all()
    assert disturbed("noise, sigma 5", flat).std() == pytest.approx(5.0, rel=0.05)
    picture = textured()
    np.testing.assert_array_equal(disturbed("shift by 2 px", picture)[2:, 2:], picture[:-2, :-2])
    point = np.zeros((21, 21, 3), np.uint8)
    point[10, 10] = 255
    blurred = disturbed("blur, sigma 1 px", point)[:, :, 0].astype(float)
    assert blurred[10, 10] / 255 == pytest.approx(1 / (2 * np.pi), abs=0.01)  # the peak of a Gaussian of sigma 1
    coded = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(disturbed("JPEG, quality 60", picture), coded)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Good pictures in gray, and bright ones as defects."""
    for kind, value in (("good", 128), ("bright", 250)):
        (tmp_path / "test" / kind).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(tmp_path / "test" / kind / f"{number}.png"), np.full((48, 64, 3), value + number, np.uint8))
    return tmp_path


def test_rows_are_the_detectors_verdicts_on_disturbed_pictures(tiny_model: Path, root: Path) -> None:
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    rows = {row["disturbance"]: row for row in measure_robustness(detector, find_labelled_set(root))}
    assert list(rows) == list(DISTURBANCES)
    for name, row in rows.items():
        good = [disturbed(name, cv2.imread(str(path))) for path in sorted((root / "test/good").iterdir())]
        rejected = np.mean([detector(picture).score > detector.threshold for picture in good])
        assert row["false_reject_rate"] == pytest.approx(rejected), name


def test_the_command_adds_rows_and_a_table(tiny_model: Path, root: Path, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    arguments = ["accuracy", str(tiny_model), str(root), "--json", str(target), "--threads", "1"]
    plain = CliRunner().invoke(main, arguments)
    assert plain.exit_code == 0 and "robustness" not in json.loads(target.read_text())
    found = CliRunner().invoke(main, [*arguments, "--robustness"])
    assert found.exit_code == 0, found.output
    document = json.loads(target.read_text())
    assert [row["disturbance"] for row in document["robustness"]] == list(DISTURBANCES)
    assert document["robustness"][0]["image_auroc"] == document["image_auroc"]
    assert "brightness +15 %" in found.output and "good rejected" in found.output

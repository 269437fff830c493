"""What another precision costs is judged on the test folder as training sees it: its depth, and whether it serves."""

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from aae_detect import Detector
from aae_detect.demo import DemoCamera
from aae_detect.preprocess import prepare
from aae_export.cli import main
from aae_export.export import _material, export_run
from aae_export.separation import labelled_scores, measure_scores
from aae_train.run_folder import read_trained

BITS = 12


@pytest.fixture(scope="module")
def run_of_12_bits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of a few steps, and its set: 16-bit files that carry 12 bits."""
    folder = tmp_path_factory.mktemp("deep")
    data = folder / "set"
    for name, count, rate in (("train/good", 12, 0.0), ("test/good", 4, 0.0), ("test/scratch", 4, 1.0)):
        (data / name).mkdir(parents=True)
        camera = DemoCamera(count + int(rate), size_hw=(120, 160), defect_rate=rate)
        for number in range(count):
            deep = camera.render(number * 14)[0].astype(np.uint16) << (BITS - 8)
            cv2.imwrite(str(data / name / f"{number}.png"), deep)
    command = [sys.executable, "-m", "aae_train.cli", str(data), "--out", str(folder / "run"), "--bits", str(BITS)]
    command += ["--size", "64x96", "--steps", "3", "--batch-size", "4"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "run", data


@pytest.fixture(autouse=True)
def _only_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave encoder, decoder and the like unwritten: nothing here looks at them, and they take most of the time."""
    monkeypatch.setattr("aae_export.export.write_parts", lambda *_: [])


def test_labelled_pictures_have_the_depth_of_the_training_and_bad_ones_are_left_out(
    run_of_12_bits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, data = run_of_12_bits
    shutil.copytree(data, tmp_path / "set")
    good, scratch = tmp_path / "set" / "test" / "good", tmp_path / "set" / "test" / "scratch"
    masks = tmp_path / "set" / "ground_truth" / "scratch"
    masks.mkdir(parents=True)
    cv2.imwrite(str(masks / "2.png"), np.zeros((3, 3), np.uint8))  # of another size
    (scratch / "1.png").write_bytes(b"no picture")
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def watched(*given: object) -> tuple[np.ndarray, np.ndarray]:
        found.append(labelled_scores(*given))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr("aae_export.precision.labelled_scores", watched)
    report = export_run(run, tmp_path / "export", data=tmp_path / "set", precision="fp16", force=True)
    assert report.cost is not None and report.cost.judged_on == "labelled pictures"
    for name in ("detector.onnx", "detector.fp16.onnx"):
        assert Detector.load(tmp_path / "export" / name, provider="cpu").bits == BITS
    (left_out,) = report.left_out
    assert str(Path("scratch", "1.png")) in left_out
    (scratch / "1.png").unlink()
    shallow = [
        [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) * (255 / (2**BITS - 1)) for path in sorted(folder.iterdir())]
        for folder in (good, scratch)
    ]
    model = (tmp_path / "export" / "detector.onnx").read_bytes()
    for deep, pictures in zip(found[0], shallow, strict=True):
        inputs = [prepare(picture.round().astype(np.uint8), (64, 96), "stretch")[0] for picture in pictures]
        assert deep == pytest.approx(measure_scores(model, inputs), abs=0.05)


@pytest.mark.parametrize("folder", ["good", "scratch"])
def test_a_test_folder_with_one_kind_that_can_be_read_is_none(
    run_of_12_bits: tuple[Path, Path], tmp_path: Path, folder: str
) -> None:
    run, data = run_of_12_bits
    shutil.copytree(data, tmp_path / "set")
    trained = read_trained(run)
    for path in (tmp_path / "set" / "test" / folder).iterdir():
        path.write_bytes(b"no picture")
    material = _material(run, trained, tmp_path / "set")
    assert material.labelled is None and len(material.left_out) == 4
    shutil.rmtree(tmp_path / "set" / "test" / folder)
    material = _material(run, trained, tmp_path / "set")
    assert material.labelled is None and material.left_out == ()


def test_a_precision_that_is_refused_leaves_the_fp32_detector(
    run_of_12_bits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_export.precision.TOLERANCE", {"fp16": -1.0})
    out = tmp_path / "export"
    arguments = [str(run_of_12_bits[0]), "--out", str(out), "--precision", "fp16"]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 5
    said = " ".join(answer.output.split())
    assert "Keep fp32" in said and "exported without it" in said
    Detector.load(out / "detector.onnx", provider="cpu")
    assert not (out / "detector.fp16.onnx").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["export"]

"""Fixtures for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The tests' networks are tiny: a second thread gains nothing, and where cores are shared the two wait for each other,
# spinning, for minutes. Set before torch is imported, and handed on to every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The committed model whose answers can be worked out by hand; see tests/data/make_tiny.py."""
    return Path(__file__).parent / "data" / "tiny.onnx"


@pytest.fixture(scope="session")
def real_sets() -> Path:
    """The folder of real sets that AAE_DATA names; tests that want it skip without it."""
    folder = os.environ.get("AAE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AAE_DATA names no folder of real sets")
    return Path(folder)


@pytest.fixture(scope="session")
def demo_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 good pictures of the demo camera at 160x120: wider than high, and larger than a small model's input."""
    import cv2

    from aae_detect.demo import DemoCamera

    folder = tmp_path_factory.mktemp("demo") / "pictures"
    folder.mkdir()
    camera = DemoCamera(3, size_hw=(120, 160), defect_rate=0.0)
    for number in range(64):
        cv2.imwrite(str(folder / f"{number}.png"), camera.render(number * 7)[0])
    return folder


@pytest.fixture(scope="session")
def small_run(demo_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training run of a few steps at 64x96; finds nothing, but is whole. Do not change it."""
    pytest.importorskip("torch", reason="needs the train extra")
    run = tmp_path_factory.mktemp("small") / "run"
    command = [sys.executable, "-m", "aae_train.cli", str(demo_pictures), "--out", str(run)]
    subprocess.run([*command, "--size", "64x96", "--steps", "10", "--batch-size", "4"], check=True, capture_output=True)
    return run


@pytest.fixture(scope="session")
def small_export(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of `small_run`."""
    pytest.importorskip("onnxscript", reason="needs the export extra")
    out = tmp_path_factory.mktemp("small") / "export"
    command = [sys.executable, "-m", "aae_export.cli", str(small_run), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out

"""`aae-detect --doctor` on sound and on broken machines: it tells, and it never falls over."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

import aae_detect
from aae_detect.doctor import Finding, _cameras, _guarded, _rendered, report
from aae_detect.errors import InstallError

PACKAGE = Path(aae_detect.__file__).parent
BASE = ("numpy", "click")
DEMO_MODEL = PACKAGE / "data" / "demo.onnx"


def report_elsewhere(site: Path, *options: str) -> str:
    """Make the report in a process that finds the packages of `site` first."""
    script = "from aae_detect.doctor import report\ntext, healthy = report()\nprint(text)\nassert not healthy"
    path = os.pathsep.join([str(site), str(PACKAGE.parent)])
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sound_machine() -> None:
    text, healthy = report()
    assert healthy
    assert text.endswith("All that aae-detect needs is there.")
    assert [line for line in text.splitlines() if line and line[0].isalpha()][1:-1] == [
        "System",
        "Packages",
        "Display",
        "Cameras",
    ]
    for found in (platform.python_version(), np.__version__, *onnxruntime.get_available_providers()):
        assert found in text
    assert f"windows: {cv2.currentUIFramework() or 'none'}" in text
    assert not [line for line in text.splitlines() if line.startswith("!")]


def test_extras_are_told_and_none_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"paho-mqtt": "2.1.0"}
    monkeypatch.setattr(
        "aae_detect.doctor._version_of", lambda name: installed.get(name, "1.0" if name in BASE else None)
    )
    text, healthy = report()
    assert healthy
    assert "\n  mqtt           paho-mqtt 2.1.0\n" in text
    for extra in ("metrics", "sign", "gpio"):
        assert f"\n  {extra:<14} not installed; pip install 'aae-detect[{extra}]'\n" in text


def test_a_sound_model() -> None:
    text, healthy = report(DEMO_MODEL)
    spec = aae_detect.Detector.load(DEMO_MODEL).spec
    assert healthy
    model = text[text.index("\nModel\n") :]
    assert f"{spec.input_hw[0]}x{spec.input_hw[1]} (height x width), {spec.fit}" in model
    assert f"threshold      {spec.threshold:.6g} rejects at most 1.0% of good parts" in model
    assert "provider       " in model and "golden sample  reproduced" in model


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_a_refused_model_is_a_problem(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    if damage == "truncated":
        path.write_bytes(DEMO_MODEL.read_bytes()[:-1000])
    elif damage == "foreign":
        path.write_bytes(b"GIF89a, and certainly no model")
    text, healthy = report(path)
    assert not healthy
    assert "\n! model          " in text
    assert text.endswith("1 problem, marked with !")


def test_opencv_that_lacks_a_system_library(tmp_path: Path) -> None:
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"
    )
    text = report_elsewhere(tmp_path)
    assert "\n! OpenCV " in text and "libGL.so.1 is missing" in " ".join(text.split())
    assert f"ONNX Runtime   onnxruntime {onnxruntime.__version__}" in text or "onnxruntime-gpu" in text
    assert text.endswith("1 problem, marked with !\n")  # told once, though the display needs OpenCV as well


def test_rival_wheels(tmp_path: Path) -> None:
    for name in ("onnxruntime", "onnxruntime-gpu"):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    text = report_elsewhere(tmp_path)
    assert "\n! ONNX Runtime " in text
    assert "\n      pip uninstall -y onnxruntime onnxruntime-gpu\n" in text


def test_nothing_installed_at_all(tmp_path: Path) -> None:
    text = report_elsewhere(tmp_path, "-S")
    for package in ("numpy          not installed", "OpenCV         OpenCV is not installed."):
        assert f"\n! {package}" in text
    assert "\n! ONNX Runtime   ONNX Runtime is not installed." in text
    assert "      pip install opencv-python-headless" in text


def test_whatever_a_section_raises_becomes_a_line() -> None:
    def broken() -> Iterator[Finding]:
        yield Finding("first", "seen")
        raise ZeroDivisionError("by design")

    def refused() -> Iterator[Finding]:
        raise InstallError("take it off\n    pip uninstall it")
        yield

    assert list(_guarded("title", broken)) == [
        Finding("first", "seen"),
        Finding("title", "ZeroDivisionError: by design", is_problem=True),
    ]
    (finding,) = _guarded("title", refused)
    assert list(_rendered(finding)) == ["! title          take it off", "      pip uninstall it"]


def test_lines_wrap_at_80_columns_and_commands_do_not() -> None:
    command = "    pip install " + "x" * 90
    lines = list(_rendered(Finding("label", "word " * 40 + "\n" + command)))
    assert lines[-1] == f"  {command}"
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[0].startswith("  label          word") and lines[1].startswith(" " * 17 + "word")
    assert " ".join(lines[:-1]).split()[1:] == ["word"] * 40


def make_camera(root: Path, node: str, name: str | None, device: bool = True) -> None:
    (root / "kernel" / node).mkdir(parents=True)
    (root / "dev").mkdir(exist_ok=True)
    if name is not None:
        (root / "kernel" / node / "name").write_text(f"{name}\n")
    if device:
        (root / "dev" / node).touch()


def test_cameras_are_listed_in_order_with_their_names(tmp_path: Path) -> None:
    for node, name in (("video10", "Third"), ("video2", "Second: USB"), ("video0", "First")):
        make_camera(tmp_path, node, name)
    make_camera(tmp_path, "video-codec", "no camera")
    make_camera(tmp_path, "video11", None)
    found = list(_cameras(tmp_path / "dev", tmp_path / "kernel"))
    assert [(finding.label, finding.text) for finding in found] == [
        ("video0", "First"),
        ("video2", "Second: USB"),
        ("video10", "Third"),
        ("video11", "no name"),
    ]
    assert not any(finding.is_problem for finding in found)


def test_a_camera_that_a_container_was_not_given(tmp_path: Path) -> None:
    make_camera(tmp_path, "video0", "Line 1", device=False)
    (finding,) = _cameras(tmp_path / "dev", tmp_path / "kernel")
    assert finding.text.startswith("Line 1; but ") and "--device" in finding.text


def test_a_camera_that_the_user_may_not_open() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: that one is closed to the user made here
        root = Path(folder)
        make_camera(root, "video0", "Line 1")
        (root / "dev" / "video0").chmod(0)
        root.chmod(0o755)
        is_root = os.geteuid() == 0
        try:
            if is_root:
                os.seteuid(65534)
            (finding,) = _cameras(root / "dev", root / "kernel")
        finally:
            if is_root:
                os.seteuid(0)
    assert finding.text.startswith("Line 1; this user may not open it")
    assert '    sudo usermod -aG video "$USER"' in finding.text.splitlines()


def test_no_camera_is_no_problem(tmp_path: Path) -> None:
    (finding,) = _cameras(tmp_path / "dev", tmp_path / "kernel")
    assert "--source" in finding.text and not finding.is_problem

"""Rival, missing and broken wheels: real metadata folders, and real imports in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aae_detect.errors import InstallError
from aae_detect.wheels import (
    DISPLAY_PACKAGES,
    ONNXRUNTIME,
    OPENCV,
    explain_onnxruntime,
    explain_opencv,
    refuse_rivals,
)

PACKAGE_ROOT = Path(__file__).parents[2] / "runtime"
NO_LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"


def put_wheel(site: Path, name: str, number: str = "5.0.0") -> None:
    """Leave what pip leaves when it installs a distribution: its metadata folder."""
    folder = site / f"{name.replace('-', '_')}-{number}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for wheels that takes the place of every other one."""
    kept = [path for path in sys.path if not path.endswith("-packages")]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *kept])
    return tmp_path


def import_alone(module: str, site: Path) -> str:
    """Import a module of aae_detect in a process that sees the standard library and `site` only; return its error."""
    script = (
        "from aae_detect.errors import InstallError\n"
        f"try:\n    import {module}\nexcept InstallError as error:\n    print(error)\n"
        "else:\n    print('loaded')"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}{os.pathsep}{PACKAGE_ROOT}"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "names", [[], ["opencv-python"], ["opencv-python-headless"], ["opencv-contrib-python"], ["onnxruntime"]]
)
def test_none_or_one_of_a_family_is_accepted(site: Path, names: list[str]) -> None:
    for name in names:
        put_wheel(site, name)
    refuse_rivals("opencv-python", "opencv-python-headless")
    refuse_rivals("onnxruntime", "onnxruntime-gpu")
    assert [*OPENCV.installed(), *ONNXRUNTIME.installed()] == names


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (("opencv-python", "opencv-python-headless"), ["opencv-python", "opencv-python-headless"]),
        (("opencv-python", "opencv-python-headless"), ["opencv-python-headless", "opencv-contrib-python"]),
        (("onnxruntime", "onnxruntime-gpu"), ["onnxruntime", "onnxruntime-gpu"]),
        (("onnxruntime", "onnxruntime-gpu"), ["onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"]),
    ],
)
def test_rivals_are_refused_with_the_lines_to_type(site: Path, asked: tuple[str, str], names: list[str]) -> None:
    for name in names:
        put_wheel(site, name, "4.2")
    with pytest.raises(InstallError) as refused:
        refuse_rivals(*asked)
    lines = str(refused.value).splitlines()
    assert all(f"{name} 4.2" in lines[0] for name in names)
    assert f"    pip uninstall -y {' '.join(names)}" in lines
    assert [line.split("#")[0].split()[-1] for line in lines[2:]] == names  # one `pip install` line for each


def test_missing_wheels_offer_both_choices(site: Path) -> None:
    opencv = str(explain_opencv(ModuleNotFoundError("No module named 'cv2'", name="cv2")))
    assert opencv.startswith("OpenCV is not installed.")
    assert "    pip install opencv-python " in opencv and "    pip install opencv-python-headless " in opencv
    runtime = str(explain_onnxruntime(ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")))
    assert runtime.startswith("ONNX Runtime is not installed.")
    assert "    pip install onnxruntime " in runtime and "    pip install onnxruntime-gpu " in runtime


def test_a_wheel_whose_folder_is_gone_is_installed_again(site: Path) -> None:
    put_wheel(site, "onnxruntime-gpu", "1.30")
    said = str(explain_onnxruntime(ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")))
    assert "onnxruntime-gpu 1.30 is installed, but its folder onnxruntime is gone or empty" in said
    assert said.endswith("    pip install --force-reinstall --no-deps onnxruntime-gpu")


@pytest.mark.parametrize(
    ("wheel", "rest", "home"),
    [
        ("opencv-python", "cv2/qt", "aae_detect._opencv"),
        ("onnxruntime", "onnxruntime/tools", "aae_detect._onnxruntime"),
    ],
)
def test_the_emptied_folder_that_a_rival_leaves_is_not_taken_for_the_package(
    tmp_path: Path, wheel: str, rest: str, home: str
) -> None:
    (tmp_path / rest).mkdir(parents=True)
    assert "is not installed. Install one of:" in import_alone(home, tmp_path)
    put_wheel(tmp_path, wheel)
    assert import_alone(home, tmp_path).endswith(f"    pip install --force-reinstall --no-deps {wheel}\n")


@pytest.mark.parametrize("wheel", ["opencv-python", "opencv-contrib-python"])
@pytest.mark.parametrize("library", ["libGL.so.1", "libX11.so.6", "libxcb.so.1", "libgthread-2.0.so.0"])
def test_a_missing_display_library_has_two_ways_out(site: Path, wheel: str, library: str) -> None:
    put_wheel(site, wheel)
    message = f"{library}: cannot open shared object file: No such file or directory"
    lines = str(explain_opencv(ImportError(message))).splitlines()
    assert f"{wheel} 5.0.0 does not load: the system library {library} is missing" in lines[0]
    assert f"    sudo apt-get install {' '.join(DISPLAY_PACKAGES)}" in lines
    assert lines[-2:] == [f"    pip uninstall -y {wheel}", f"    pip install {wheel}-headless"]


def test_other_failures_name_their_cause(site: Path) -> None:
    put_wheel(site, "opencv-python-headless")
    put_wheel(site, "onnxruntime")
    no_openblas = "libopenblas.so.0: cannot open shared object file: No such file or directory"
    headless = str(explain_opencv(ImportError(no_openblas)))
    assert "system library libopenblas.so.0 is missing" in headless and "headless-headless" not in headless
    assert "system library libopenblas.so.0 is missing" in str(explain_onnxruntime(ImportError(no_openblas)))
    compiled = "numpy.core.multiarray failed to import"
    for said in (str(explain_opencv(ImportError(compiled))), str(explain_onnxruntime(ImportError(compiled)))):
        assert f"does not load: {compiled}." in said and "--force-reinstall" in said
    # A dependency that is missing is not the wheel itself missing.
    numpy_gone = str(explain_opencv(ModuleNotFoundError("No module named 'numpy'", name="numpy")))
    assert "No module named 'numpy'" in numpy_gone and "--force-reinstall opencv-python-headless" in numpy_gone


def test_imports_without_any_wheel(tmp_path: Path) -> None:
    assert import_alone("aae_detect._opencv", tmp_path).startswith("OpenCV is not installed.")
    assert import_alone("aae_detect._onnxruntime", tmp_path).startswith("ONNX Runtime is not installed.")


def test_import_of_a_wheel_that_lacks_a_system_library(tmp_path: Path) -> None:
    put_wheel(tmp_path, "opencv-python")
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(f"raise ImportError({NO_LIBGL!r})\n")
    assert "opencv-python 5.0.0 does not load: the system library libGL.so.1" in import_alone(
        "aae_detect._opencv", tmp_path
    )


def test_import_beside_a_rival(tmp_path: Path) -> None:
    put_wheel(tmp_path, "opencv-python")
    put_wheel(tmp_path, "opencv-python-headless")
    (tmp_path / "cv2.py").write_text("")
    said = import_alone("aae_detect._opencv", tmp_path)
    assert "    pip uninstall -y opencv-python opencv-python-headless\n" in said


def test_import_of_a_sound_wheel(tmp_path: Path) -> None:
    put_wheel(tmp_path, "opencv-python")
    put_wheel(tmp_path, "onnxruntime")
    (tmp_path / "cv2.py").write_text("")
    (tmp_path / "onnxruntime.py").write_text("class InferenceSession: ...\n")
    assert import_alone("aae_detect._opencv", tmp_path) == "loaded\n"
    assert import_alone("aae_detect._onnxruntime", tmp_path) == "loaded\n"

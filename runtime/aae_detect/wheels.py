"""Which wheels are installed where only one of a family may be, and what to type when that is wrong.

Rival wheels write the same folder: installed together they overwrite each other's files, and which one loads is chance.
No extra of a package can exchange one for the other, so the errors made here carry the exact lines to type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from aae_detect.errors import InstallError

DISPLAY_PACKAGES = ("libgl1", "libglib2.0-0", "libsm6", "libxext6")
"""Debian and Ubuntu packages that OpenCV's wheels with windows load when they are imported."""

_MISSING_LIBRARY = re.compile(r"(?P<library>lib[\w.+-]+\.so[.\d]*): cannot open shared object file")


@dataclass(frozen=True)
class WheelFamily:
    """Wheels that all write one import package."""

    title: str
    """For people, `OpenCV`."""

    module: str
    """The folder that they share, `cv2`."""

    wheels: dict[str, str]
    """Distribution name to what it is good for; the usual choices first."""

    usual: tuple[str, ...]
    """The wheels to offer where none is installed."""

    def installed(self) -> dict[str, str]:
        """Return the distributions of this family that are installed, name to version."""
        found = {}
        for name in self.wheels:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found


OPENCV = WheelFamily(
    title="OpenCV",
    module="cv2",
    wheels={
        "opencv-python": "shows windows",
        "opencv-python-headless": "no windows, needs no display libraries",
        "opencv-contrib-python": "shows windows, has the contrib modules",
        "opencv-contrib-python-headless": "no windows, has the contrib modules",
    },
    usual=("opencv-python", "opencv-python-headless"),
)

ONNXRUNTIME = WheelFamily(
    title="ONNX Runtime",
    module="onnxruntime",
    wheels={
        "onnxruntime": "CPU",
        "onnxruntime-gpu": "NVIDIA GPU and CPU",
        "onnxruntime-openvino": "Intel OpenVINO and CPU",
        "onnxruntime-directml": "DirectML and CPU",
        "onnxruntime-migraphx": "AMD GPU and CPU",
        "onnxruntime-rocm": "AMD GPU and CPU",
        "onnxruntime-qnn": "Qualcomm NPU and CPU",
        "onnxruntime-training": "CPU, with training",
    },
    usual=("onnxruntime", "onnxruntime-gpu"),
)

FAMILIES = (OPENCV, ONNXRUNTIME)


def refuse_rivals(first: str, second: str) -> None:
    """Refuse an environment in which rival wheels are installed together, or have left an emptied folder behind.

    Taking off one of two rivals deletes the files of both; what is left of the folder still imports, as a namespace
    package without anything in it.

    Args:
        first: distribution name, `opencv-python`.
        second: its usual rival. Less usual wheels of the same family (contrib, OpenVINO, ...) count as well.

    Raises:
        InstallError: names what is installed and the lines that put it right.
    """
    family = next(family for family in FAMILIES if {first, second} <= family.wheels.keys())
    installed = family.installed()
    if len(installed) > 1:
        raise InstallError(
            f"{_named(installed)} are installed together. They overwrite each other's files, so only one may stay. "
            "Take all of them off, then put back the one you want:\n"
            f"    pip uninstall -y {' '.join(installed)}\n{_choices(family, tuple(installed))}"
        )
    spec = find_spec(family.module)
    if spec is not None and spec.origin is None:
        raise _explain(family, ModuleNotFoundError(name=family.module))


def explain_opencv(error: ImportError) -> InstallError:
    """Make of a failing `import cv2` an error that says what to do.

    Args:
        error: what the import raised.

    Returns:
        An error for: no wheel, a wheel whose files are gone, a system library that is missing, or anything else.
    """
    installed = OPENCV.installed()
    library = _MISSING_LIBRARY.search(str(error))
    wheel = next(iter(installed), "opencv-python")
    if library is None or wheel.endswith("-headless"):
        return _explain(OPENCV, error)
    return InstallError(
        f"{_named(installed) or OPENCV.title} does not load: the system library {library['library']} is missing, as is "
        "usual on a machine without a desktop. Either install the libraries (Debian, Ubuntu):\n"
        f"    sudo apt-get install {' '.join(DISPLAY_PACKAGES)}\n"
        "or take the wheel that has no windows and needs none of them:\n"
        f"    pip uninstall -y {wheel}\n    pip install {wheel}-headless"
    )


def explain_onnxruntime(error: ImportError) -> InstallError:
    """Make of a failing `import onnxruntime` an error that says what to do.

    Args:
        error: what the import raised.

    Returns:
        An error for: no wheel, a wheel whose files are gone, a system library that is missing, or anything else.
    """
    return _explain(ONNXRUNTIME, error)


def _explain(family: WheelFamily, error: ImportError) -> InstallError:
    """Say what is wrong with a family of wheels whose import failed."""
    installed = family.installed()
    gone = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == family.module
    if gone and not installed:
        return InstallError(f"{family.title} is not installed. Install one of:\n{_choices(family, family.usual)}")
    have = _named(installed) or family.title
    wheel = next(iter(installed), family.usual[0])
    if gone:
        return InstallError(
            f"{have} is installed, but its folder {family.module} is gone or empty, as happens when a rival wheel is "
            f"taken off. Install it again:\n    pip install --force-reinstall --no-deps {wheel}"
        )
    again = f"    pip install --upgrade --force-reinstall {wheel}"
    library = _MISSING_LIBRARY.search(str(error))
    if library:
        return InstallError(
            f"{have} does not load: the system library {library['library']} is missing. Install the system package "
            f"that holds it, or install another build of {family.title}:\n{again}"
        )
    return InstallError(f"{have} does not load: {error}. Install it again:\n{again}")


def _named(installed: dict[str, str]) -> str:
    """Name distributions with their versions, `a 1.0 and b 2.0`."""
    return " and ".join(f"{name} {number}" for name, number in installed.items())


def _choices(family: WheelFamily, names: tuple[str, ...]) -> str:
    """One line to type for each wheel, with what it is good for."""
    width = max(len(name) for name in names)
    return "\n".join(f"    pip install {name:<{width}}  # {family.wheels[name]}" for name in names)

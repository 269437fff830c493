"""`aae-detect --doctor`: what is there on this machine, what is wrong with it, and what to do about that."""

from __future__ import annotations

import os
import platform
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aae_detect import __version__
from aae_detect.bench.machine import describe_machine
from aae_detect.errors import AaeDetectError, InstallError
from aae_detect.wheels import ONNXRUNTIME, OPENCV, WheelFamily

_WIDTH = 80
_LABEL_WIDTH = 14

_EXTRAS = {"mqtt": "paho-mqtt", "metrics": "prometheus-client", "sign": "cryptography", "gpio": "gpiod"}
"""What a device may want besides, and what it needs for it."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    label: str
    text: str
    """Prose, wrapped when shown; lines that begin with four spaces are commands and stay whole."""

    is_problem: bool = False
    """True where something that aae-detect needs is missing or broken."""


def report(model: Path | None = None) -> tuple[str, bool]:
    """Look at this machine, and at a model if one is given.

    Nothing here raises: what is broken becomes a line of the report, with its remedy.

    Args:
        model: a `detector.onnx` to load and check, or None.

    Returns:
        The report, in 80 columns, and whether aae-detect can work here. A missing display or camera is told, but is no
        problem: a device may have neither.
    """
    sections: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("System", _system),
        ("Packages", _packages),
        ("Display", _display),
        ("Cameras", _cameras),
    ]
    if model is not None:
        sections.append(("Model", lambda: _model(model)))
    lines = [f"aae-detect {__version__}"]
    problems = 0
    for title, look in sections:
        findings = list(_guarded(title.lower(), look))
        problems += sum(finding.is_problem for finding in findings)
        lines += ["", title, *(line for finding in findings for line in _rendered(finding))]
    found = "1 problem" if problems == 1 else f"{problems} problems"
    lines += ["", f"{found}, marked with !" if problems else "All that aae-detect needs is there."]
    return "\n".join(lines), problems == 0


def _guarded(label: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield a section's findings; what it raises becomes its last one."""
    try:
        yield from look()
    except AaeDetectError as error:
        yield Finding(label, str(error), is_problem=True)
    except Exception as error:  # a doctor that dies of the illness is of no use: anything broken must end as a line
        yield Finding(label, f"{type(error).__name__}: {error}", is_problem=True)


def _rendered(finding: Finding) -> Iterator[str]:
    """Lay a finding out in two columns."""
    mark = "!" if finding.is_problem else " "
    head = f"{mark} {finding.label:<{_LABEL_WIDTH}} "
    indent = " " * len(head)
    for line in finding.text.splitlines() or [""]:
        if line.startswith("    "):
            yield f"  {line}"
        else:
            yield from textwrap.wrap(
                line,
                _WIDTH,
                initial_indent=head,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [head.rstrip()]
        head = indent


def _system() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.system()
    machine = describe_machine()
    yield Finding("system", f"{system}; {machine['system']}, {machine['architecture']}")
    yield Finding("cpu", f"{machine['cpu'] or 'unknown'}; {machine['cores_usable']} usable cores")
    yield Finding("memory", f"{machine['memory_gib']} GiB" if machine["memory_gib"] else "unknown")
    for gpu in machine["gpus"]:
        yield Finding("gpu", gpu)


def _packages() -> Iterator[Finding]:
    for name in ("numpy", "click"):
        yield Finding(name, _version_of(name) or "not installed", is_problem=_version_of(name) is None)
    yield from _guarded(OPENCV.title, _opencv)
    yield from _guarded(ONNXRUNTIME.title, _onnxruntime)
    for extra, name in _EXTRAS.items():
        missing = f"not installed; pip install 'aae-detect[{extra}]'"
        yield Finding(extra, f"{name} {found}" if (found := _version_of(name)) else missing)
    documents = Path(__file__).parent / "docs"
    if documents.is_dir():  # not where the source tree itself is installed, which has them beside
        yield Finding("documents", str(documents))
    torch = _version_of("torch")
    yield Finding("torch", f"{torch}; never loaded by aae-detect" if torch else "not installed, and not needed here")


def _opencv() -> Iterator[Finding]:
    from aae_detect._opencv import cv2

    built = cv2.getBuildInformation()
    yield Finding(OPENCV.title, _wheel(OPENCV) or f"{cv2.__version__}, not from a wheel")
    yield Finding("", f"windows: {cv2.currentUIFramework() or 'none, this build has no windows'}")
    backends = (f"{name} {'yes' if _is_built(built, name) else 'no'}" for name in ("FFMPEG", "GStreamer", "v4l/v4l2"))
    yield Finding("", f"video: {', '.join(backends)}")


def _is_built(build_information: str, name: str) -> bool:
    return re.search(rf"^\s*{re.escape(name)}:\s*YES", build_information, re.MULTILINE) is not None


def _onnxruntime() -> Iterator[Finding]:
    from aae_detect._onnxruntime import onnxruntime

    yield Finding(ONNXRUNTIME.title, _wheel(ONNXRUNTIME) or f"{onnxruntime.__version__}, not from a wheel")
    yield Finding("", f"providers: {', '.join(onnxruntime.get_available_providers())}")


def _wheel(family: WheelFamily) -> str:
    """Name the one wheel of a family that is installed; empty where the system brought its own build."""
    return " ".join(next(iter(family.installed().items()), ()))


def _version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _display() -> Iterator[Finding]:
    try:
        from aae_detect.display import window_problem

        problem = window_problem()
    except InstallError:
        yield Finding("window", "unknown, as OpenCV does not load")
        return
    yield Finding("window", f"none: {problem}" if problem else "can be shown")


def _cameras(devices: Path = Path("/dev"), kernel: Path = Path("/sys/class/video4linux")) -> Iterator[Finding]:
    """List the cameras that the kernel names or that have a device file."""
    nodes = {path.name for path in [*devices.glob("video*"), *kernel.glob("video*")] if path.name[5:].isdigit()}
    if not nodes:
        yield Finding("none", f"no {devices}/video* here; files and streams (--source) work without one")
    for node in sorted(nodes, key=lambda name: int(name[5:])):
        device, name_file = devices / node, kernel / node / "name"
        name = name_file.read_text(encoding="utf-8", errors="replace").strip() if name_file.is_file() else "no name"
        yield Finding(node, f"{name}{_access_problem(device)}")


def _access_problem(device: Path) -> str:
    """Say why a device cannot be opened, with the remedy; empty where it can."""
    if not os.path.lexists(device):
        return f"; but {device} is not there: a container needs it passed in (--device {device})"
    if os.access(device, os.R_OK | os.W_OK, effective_ids=True):
        return ""
    return '; this user may not open it. Join the group video, then log in again:\n    sudo usermod -aG video "$USER"'


def _model(path: Path) -> Iterator[Finding]:
    """Load a model, which checks its description, its graph and its golden sample."""
    yield Finding("file", str(path))
    try:
        from aae_detect.detector import Detector
        from aae_detect.threshold import tell_rate

        detector = Detector.load(path)
    except InstallError:
        yield Finding("model", "not checked, as a package above does not load")
        return
    spec, calibration = detector.spec, detector.spec.calibration
    (height, width), (map_h, map_w) = spec.input_hw, spec.map_hw
    yield Finding("size", f"{path.stat().st_size / 1e6:.2f} MB, SHA-256 {detector.model_sha256[:16]}...")
    yield Finding("family", f"{spec.family}, {spec.precision}")
    yield Finding("input", f"{height}x{width} (height x width), {spec.fit}; map {map_h}x{map_w}")
    yield Finding(
        "threshold",
        f"{spec.threshold:.6g} {tell_rate(calibration)}; {calibration.target_frr:.1%} was asked for; from "
        f"{calibration.count} good pictures ({calibration.method})",
    )
    yield Finding("provider", detector.provider)
    yield Finding("golden sample", f"reproduced, score {spec.golden.score:.6g}")
    for warning in detector.warnings:
        yield Finding("warning", warning)

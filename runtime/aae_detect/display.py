"""Whether a window can be opened here.

It must be known before OpenCV is asked: with the Qt that is inside OpenCV's wheels, `cv2.imshow` without a display
raises nothing, it ends the whole process (`abort`). So a short-lived process of its own opens a window for trial.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError
from aae_detect.wheels import OPENCV

_TRIAL = """
import os, cv2
cv2.namedWindow("aae-detect")
os._exit(0)  # before the window is painted, so that nothing flashes up
"""

_TRIAL_SECONDS = 20.0
"""A display that takes longer than this for one window is of no use."""

_REMEDY = "start from a desktop session, or run without a window (--no-window)"


def window_problem() -> str | None:
    """Say why no window can be opened here, or None where one can.

    Opens a window in another process for trial where a display is named, which takes about 0.3 s; a display that has
    answered once is not tried again.
    """
    if not hasattr(cv2, "imshow") or re.search(r"^\s*GUI:\s*NONE", cv2.getBuildInformation(), re.MULTILINE):
        wheel = next(iter(OPENCV.installed()), "opencv-python-headless")
        return (
            f"this OpenCV ({wheel}) has no windows; run without one (--no-window), or change the wheel:\n"
            f"    pip uninstall -y {wheel}\n    pip install {wheel.removesuffix('-headless')}"
        )
    if not sys.platform.startswith("linux"):
        return None
    display, wayland = os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", "")
    if not display and not wayland:
        return f"there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set); {_REMEDY}"
    try:
        _try_window(display, wayland)
    except ConfigError as error:
        return str(error)
    return None


def silence_qt() -> None:
    """Keep Qt from printing warnings that say nothing to a user, such as on the fonts that the wheels do not bring.

    Works until the first window of the process; leaves rules that the user has set alone.
    """
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false;qt.qpa.fonts.warning=false")


@lru_cache(maxsize=4)  # holds what returns, so displays that have answered; failures are tried again
def _try_window(display: str, wayland: str) -> None:
    """Open a window in another process.

    Raises:
        ConfigError: it could not; says what that process said.
    """
    where = f"DISPLAY={display}" if display else f"WAYLAND_DISPLAY={wayland}"
    # That process must find the very OpenCV that is loaded here, and nothing of that name in the current folder.
    packages = str(Path(cv2.__file__).absolute().parents[1])
    search = os.pathsep.join(filter(None, [packages, os.environ.get("PYTHONPATH", "")]))
    try:
        trial = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL],
            env={**os.environ, "PYTHONPATH": search},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"the display {where} did not open a window in {_TRIAL_SECONDS:.0f} s; {_REMEDY}") from error
    except OSError as error:
        raise ConfigError(f"whether a window can be opened could not be tried ({error}); {_REMEDY}") from error
    if trial.returncode == 0:
        return
    said = _telling_line(trial.stderr.decode(errors="replace"))
    raise ConfigError(f"the display {where} does not open a window ({said or 'no reason given'}); {_REMEDY}")


def _telling_line(stderr: str) -> str:
    """The line that names the cause, out of what a failed trial printed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and "QFontDatabase" not in line]
    telling = [line for line in lines if re.search(r"could not|cannot|error|not found", line, re.IGNORECASE)]
    return (telling or lines or [""])[0][:200]

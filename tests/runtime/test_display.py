import os
import subprocess
import sys

import pytest

from aae_detect import display
from aae_detect._opencv import cv2
from aae_detect.display import silence_qt, window_problem

HAS_GUI = bool(cv2.currentUIFramework())
needs_gui = pytest.mark.skipif(not HAS_GUI, reason="this OpenCV has no windows (headless wheel)")
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named by DISPLAY on Linux")


def in_child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_gui
@linux_only
def test_without_a_display_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    problem = window_problem()
    assert problem is not None
    assert "neither DISPLAY nor WAYLAND_DISPLAY is set" in problem
    assert "--no-window" in problem


@needs_gui
@linux_only
@pytest.mark.parametrize(("name", "value"), [("DISPLAY", ":97"), ("WAYLAND_DISPLAY", "wayland-97")])
def test_display_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv(name, value)
    problem = window_problem()
    assert problem is not None
    assert f"{name}={value}" in problem
    assert "\n" not in problem
    assert "--no-window" in problem


@needs_gui
@linux_only
def test_real_display_has_no_problem(monkeypatch: pytest.MonkeyPatch, xvfb_display: str) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", xvfb_display)
    assert window_problem() is None


@needs_gui
@linux_only
def test_display_that_came_up_later_is_tried_again(monkeypatch: pytest.MonkeyPatch, xvfb_display: str) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":97")
    assert window_problem() is not None
    tried_before = display._try_window.cache_info().misses
    assert window_problem() is not None
    assert display._try_window.cache_info().misses == tried_before + 1
    monkeypatch.setenv("DISPLAY", xvfb_display)
    assert window_problem() is None


@needs_gui
@linux_only
def test_display_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":96")
    monkeypatch.setattr(display, "_TRIAL", "import time; time.sleep(60)")
    monkeypatch.setattr(display, "_TRIAL_SECONDS", 0.3)
    problem = window_problem()
    assert problem is not None
    assert "did not open a window" in problem


@needs_gui
@linux_only
def test_imshow_without_a_display_would_end_the_process_and_the_window_does_not() -> None:
    # The trap itself: should OpenCV one day raise instead, this says that the trial process may go.
    if not cv2.currentUIFramework().startswith("QT"):
        pytest.skip("only the wheels' Qt aborts")
    bare = in_child("import cv2; cv2.namedWindow('x')")
    assert bare.returncode < 0
    ours = in_child(
        "from aae_detect.window import Window\n"
        "from aae_detect.errors import ConfigError\n"
        "try: Window('x')\n"
        "except ConfigError as error: print('refused:', error)"
    )
    assert ours.returncode == 0, ours.stderr
    assert ours.stdout.startswith("refused: there is no display")


def test_opencv_without_windows_names_the_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:                           NONE\n")
    problem = window_problem()
    assert problem is not None
    assert "pip uninstall -y opencv-" in problem
    assert "--no-window" in problem


def test_silence_leaves_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_LOGGING_RULES", "*=true")
    silence_qt()
    assert os.environ["QT_LOGGING_RULES"] == "*=true"

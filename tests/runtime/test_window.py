import ctypes
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from aae_detect._opencv import cv2
from aae_detect.window import KEYS, Action, _within

TITLE = "aae-detect window test"

# Opens the window three times, and says on each line what it was asked for; in a process of its own, as Qt's state
# would stay in pytest's.
SCRIPT = f"""
import numpy as np
from aae_detect.window import Action, Window
picture = np.full((2160, 3840, 3), (30, 60, 200), np.uint8)
for _ in range(3):
    window = Window({TITLE!r})
    while True:
        action = window.show(picture, wait_ms=5)
        if action is not None:
            print(action.name, flush=True)
        if action is Action.QUIT:
            break
    window.close()
    window.close()
    print("closed", flush=True)
"""


class Desk:
    """A process that shows the window, with somebody at the keyboard."""

    def __init__(self, display: str) -> None:
        self.environment = {**os.environ, "DISPLAY": display, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.environment.pop("WAYLAND_DISPLAY", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def xdotool(self, *arguments: str) -> str:
        return subprocess.run(
            ["xdotool", *arguments], env=self.environment, capture_output=True, text=True, timeout=20, check=True
        ).stdout

    def window(self) -> str:
        return self.xdotool("search", "--sync", "--onlyvisible", "--name", TITLE).split()[0]

    def press(self, key: str) -> str:
        self.xdotool("windowfocus", "--sync", self.window(), "key", key)
        return self.lines.get(timeout=10)

    def click_close_button(self) -> None:
        """Send what a window manager sends when its close button is clicked: xdotool of Debian 12 cannot."""
        x11 = ctypes.CDLL("libX11.so.6")  # xdotool itself needs it
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.environment["DISPLAY"].encode()))
        protocols, delete = (x11.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
        window = int(self.window())
        client_message = 33
        # XClientMessageEvent: type, serial, send_event, display, window, message_type, format, data; padded to 24 longs
        event = (ctypes.c_long * 24)(client_message, 0, 1, 0, window, protocols, 32, delete, 0)
        x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), event)
        x11.XCloseDisplay(display)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)
        self.reader.join(timeout=10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def desk(xvfb_display: str) -> Iterator[Desk]:
    if not cv2.currentUIFramework():
        pytest.skip("this OpenCV has no windows (headless wheel)")
    if shutil.which("xdotool") is None:
        pytest.skip("needs xdotool (Debian: apt-get install xdotool)")
    desk = Desk(xvfb_display)
    yield desk
    desk.close()


def test_keys_and_close_button(desk: Desk) -> None:
    window = desk.window()
    geometry = dict(line.split("=") for line in desk.xdotool("getwindowgeometry", "--shell", window).split())
    assert (geometry["WIDTH"], geometry["HEIGHT"]) == ("1280", "720")
    assert desk.press("space") == "PAUSE"
    assert desk.press("s") == "SNAPSHOT"
    assert desk.press("h") == "HEAT_MAP"
    assert desk.press("shift+h") == "HEAT_MAP"
    assert desk.press("q") == "QUIT"
    assert desk.lines.get(timeout=10) == "closed"
    assert desk.press("Escape") == "QUIT"
    assert desk.lines.get(timeout=10) == "closed"
    desk.click_close_button()
    assert desk.lines.get(timeout=10) == "QUIT"
    assert desk.lines.get(timeout=10) == "closed"
    assert desk.process.wait(timeout=10) == 0
    assert desk.process.stderr is not None
    assert desk.process.stderr.read() == ""  # Qt's warnings on fonts are silenced


def test_every_action_has_a_key() -> None:
    assert set(KEYS.values()) == set(Action)


@pytest.mark.parametrize(
    ("size_hw", "expected_hw"),
    [((480, 640), (480, 640)), ((2160, 3840), (720, 1280)), ((1600, 900), (800, 450)), ((1, 9000), (1, 1280))],
)
def test_size_on_the_screen_keeps_the_aspect(size_hw: tuple[int, int], expected_hw: tuple[int, int]) -> None:
    assert _within(size_hw, (800, 1280)) == expected_hw
    assert np.all(np.array(_within(size_hw, (800, 1280))) >= 1)

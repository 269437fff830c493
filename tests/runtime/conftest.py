"""What several runtime tests need: a display of their own, and a camera that can be unplugged."""

import gc
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aae_detect.bench.memory import children_of
from aae_detect.camera.watched import WatchedCamera
from aae_detect.source_settings import SourceSettings


@pytest.fixture(scope="session")
def xvfb_display() -> Iterator[str]:
    """A real X display, `:N`, of 1600x1000 pixels that nobody sees."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb (Debian: apt-get install xvfb)")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        number = server.stdout.readline().strip()  # written once the server answers
        if not number:
            pytest.skip("Xvfb does not start here")
        try:
            yield f":{number}"
        finally:
            server.terminate()
            server.wait(timeout=10)


class Plug:
    """The fake camera's control file, and what must be as it was when a test ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "plug"
        self.source = f"fake:{self._path}"

    def say(self, words: str) -> None:
        partial = self._path.with_suffix(".new")
        partial.write_text(words)
        os.replace(partial, self._path)

    def watch(self, **settings) -> WatchedCamera:
        return WatchedCamera(SourceSettings(self.source, **settings))

    @staticmethod
    def descriptors() -> int:
        gc.collect()  # what other tests have left
        return len(os.listdir("/proc/self/fd"))

    @staticmethod
    def children() -> set[int]:
        return set(children_of(os.getpid()))

    @staticmethod
    def until(camera: WatchedCamera, kind: type, timeout: float = 15.0):
        """Read until something of a kind comes."""
        until = time.monotonic() + timeout
        while not isinstance(item := camera.read(), kind):
            assert time.monotonic() < until
        return item

    @staticmethod
    def assert_in_time(seconds: Callable[[], list[float]], most: list[float]) -> None:
        """Hold the best of three to what is promised; another one only where the last was late.

        The machine may have had something else to do, while a product that is late is so each time.
        """
        for _ in range(3):
            took_s = seconds()
            if all(took < at_most for took, at_most in zip(took_s, most, strict=True)):
                return
        raise AssertionError(f"took {took_s} s, expected less than {most}, in the last of three times")


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    threads, descriptors, children = threading.active_count(), Plug.descriptors(), Plug.children()
    plug = Plug(tmp_path)
    plug.say("here 320x240 @60")
    yield plug
    assert (threading.active_count(), Plug.descriptors(), Plug.children()) == (threads, descriptors, children)

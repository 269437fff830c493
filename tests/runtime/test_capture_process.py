"""What a capture process leaves behind: nothing, however it ends, and whatever this machine lacks."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from aae_detect.camera.process import CaptureProcess
from aae_detect.camera.watched import WatchedCamera
from aae_detect.errors import SourceError
from aae_detect.frames import Frame, Signal
from aae_detect.source_settings import SourceSettings


@contextmanager
def _limited(what: int, most: int) -> Iterator[None]:
    limits = resource.getrlimit(what)
    resource.setrlimit(what, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, limits)


class Undying(subprocess.Popen):
    """A process that a driver holds in the kernel: a signal reaches it when the driver lets go."""

    def kill(self):
        pass


def test_a_process_that_cannot_be_killed_holds_up_neither_the_loss_nor_the_return_nor_the_end(plug, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", Undying)
    plug.assert_in_time(lambda: _lose_undying(plug), [2.5])


def _lose_undying(plug) -> list[float]:
    """Return how long it took until the loss was told, seconds."""
    before = plug.children()
    camera = plug.watch()
    plug.until(camera, Frame)
    (pid,) = plug.children() - before
    os.kill(pid, signal.SIGSTOP)
    stopped = time.monotonic()
    assert plug.until(camera, Signal).lost
    took_s = time.monotonic() - stopped
    assert not plug.until(camera, Signal).lost
    plug.until(camera, Frame)
    assert pid in plug.children(), "it is still there"
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < until
    camera.close()
    assert pid not in plug.children(), "no zombie stays"
    return [took_s]


def test_processes_that_cannot_be_killed_do_not_pile_up(plug, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", Undying)
    before = plug.children()
    for _ in range(3):
        process = CaptureProcess(SourceSettings(plug.source))
        os.kill(process.pid, signal.SIGSTOP)
        process.end(0.0)
    with pytest.raises(SourceError, match="3 capture processes hang in its driver"):
        CaptureProcess(SourceSettings(plug.source))
    CaptureProcess(SourceSettings("fake:another")).end()
    for pid in plug.children() - before:
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while plug.children() - before:
        assert time.monotonic() < until
        CaptureProcess(SourceSettings("fake:another")).end()


def test_descriptors_may_have_any_number(plug):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1200:
        pytest.skip("needs a hard limit of 1200 descriptors")
    with ExitStack() as taken, _limited(resource.RLIMIT_NOFILE, 1200):
        while (fd := os.dup(0)) < 1024:
            taken.callback(os.close, fd)
        os.close(fd)
        camera = plug.watch()
        assert isinstance(camera.read(), Frame)
        camera.close()


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_where_there_is_no_room_for_a_capture_process_nothing_stays_open(plug, room):
    fds = [os.dup(0) for _ in range(room + 1)]
    for fd in fds:
        os.close(fd)
    with _limited(resource.RLIMIT_NOFILE, max(fds)), pytest.raises(SourceError, match="no capture process"):
        plug.watch()


def test_where_there_is_no_memory_for_frames_nothing_stays_open(plug):
    with _limited(resource.RLIMIT_FSIZE, 4096), pytest.raises(SourceError, match="no capture process"):
        plug.watch()


def test_what_a_capture_process_says_holds_no_secret(plug, monkeypatch):
    plug.say("nonsense")
    monkeypatch.setenv("PLUG", plug.source.removeprefix("fake:"))
    camera = WatchedCamera(SourceSettings("fake:${PLUG}"))
    with pytest.raises(SourceError, match=r"fake:\*\*\* says 'nonsense'"):
        camera.connect()
    camera.close()


def test_the_capture_process_ends_when_the_one_that_asked_is_killed(plug, tmp_path):
    script = (
        "import sys\n"
        "from aae_detect.camera.watched import WatchedCamera\n"
        "from aae_detect.source_settings import SourceSettings\n"
        f"camera = WatchedCamera(SourceSettings({plug.source!r}))\n"
        "camera.read()\n"
        "print(camera._process._process.pid, flush=True)\n"
        "camera.read()\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        plug.say("silent")
        process.kill()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < until, "the capture process lives on"
        time.sleep(0.02)

"""Real servers on the loopback: RTSP by GStreamer, MJPEG over HTTP; killed, frozen, and brought back.

They play the demo camera at 1920x1080 and 30 frames per second, every frame with its number stamped in.
"""

import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from aae_detect import Detector
from aae_detect.bench.memory import children_of
from aae_detect.camera.watched import WatchedCamera
from aae_detect.camera_source import CameraOptions
from aae_detect.demo import read_counter
from aae_detect.frames import Frame, Signal
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.source_settings import SourceSettings

SERVERS = Path(__file__).parents[1] / "servers"
SYSTEM_PYTHON = "/usr/bin/python3"
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 5.0)
STEADY_S = 2.5
"""A camera that is lost sooner after its return waits as if it had never come back."""


class Server:
    """A camera in the network that can be treated badly."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.port = _free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"{self._kind}://viewer:secret@127.0.0.1:{self.port}/camera"

    def start(self) -> None:
        """Return once it answers."""
        if self._kind == "http":
            command = [sys.executable, str(SERVERS / "mjpeg_server.py"), str(self.port)]
            server = subprocess.Popen(command, stdout=subprocess.PIPE)
            self._processes = [server]
        else:
            feed = subprocess.Popen([sys.executable, str(SERVERS / "camera_feed.py")], stdout=subprocess.PIPE)
            command = [SYSTEM_PYTHON, str(SERVERS / "rtsp_server.py"), str(self.port)]
            server = subprocess.Popen(command, stdin=feed.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert feed.stdout is not None
            feed.stdout.close()  # the server has its own end
            self._processes = [server, feed]
        assert server.stdout is not None
        if not server.stdout.readline():
            self.kill()
            pytest.skip(
                "needs an RTSP server (Debian: gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base "
                "gstreamer1.0-plugins-good)"
            )

    def send(self, number: signal.Signals) -> None:
        for process in self._processes:
            process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._processes = []


class Log(Output):
    """Numbers of judged frames, and signals, with the time of each."""

    def __init__(self) -> None:
        self.counters: list[int | None] = []
        self.ages_ms: list[float] = []
        self.signals: list[tuple[float, Signal]] = []
        self.changed = threading.Condition()

    def take(self, judged: Judged) -> bool:
        assert judged.image_bgr is not None
        with self.changed:
            self.counters.append(read_counter(judged.image_bgr))
            self.ages_ms.append(judged.age_ms)
            self.changed.notify()
        return True

    def signal(self, signal: Signal) -> None:
        with self.changed:
            self.signals.append((time.monotonic(), signal))
            self.changed.notify()

    def close(self) -> None:
        pass

    def wait_for_frames(self, count: int) -> None:
        with self.changed:
            wanted = len(self.counters) + count
            assert self.changed.wait_for(lambda: len(self.counters) >= wanted, 20), "no frames"

    def wait_for_signal(self, lost: bool) -> float:
        """Return when it came."""
        with self.changed:
            came = self.changed.wait_for(lambda: self.signals and self.signals[-1][1].lost is lost, 60)
            assert came, f"lost {lost} was never told"
            return self.signals[-1][0]


@pytest.fixture(params=["rtsp", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "rtsp" and not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"no {SYSTEM_PYTHON} to run the server with")
    server = Server(request.param)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("cycles", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_every_judged_frame_is_new_and_whole_however_often_the_camera_goes(
    server: Server, tiny_model: Path, cycles: int
) -> None:
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    before = _held()
    log, stop, luck, losses = Log(), threading.Event(), random.Random(cycles), 0
    stream = Stream(WatchedCamera(SourceSettings(server.address)), detector, [log])
    judging = threading.Thread(target=run_loop, args=([stream], stop))
    judging.start()
    try:
        for cycle in range(cycles):
            # Another loss only where the last was told late: the machine may have had something else to do, while a
            # product that is late is so each time.
            for again in range(3):
                if cycles > 3 or again:  # few losses in a row lengthen no pause by much
                    time.sleep(STEADY_S)
                log.wait_for_frames(15)
                late_s = _lose(server, log, freeze=bool(cycle % 2), away_s=luck.uniform(2.2, 3.5))
                losses += 1
                if max(late_s) < 0:
                    break
            assert max(late_s) < 0, "the loss or the return was told too late, three times"
        log.wait_for_frames(15)
    finally:
        stop.set()
        judging.join()
    assert None not in log.counters, "a frame arrived damaged"
    assert log.counters == sorted(set(log.counters))
    assert len(log.signals) == 2 * losses
    for _, told in log.signals:
        assert "secret" not in told.reason + told.source
    assert _held() == before


def _lose(server: Server, log: Log, freeze: bool, away_s: float) -> tuple[float, float]:
    """Take the camera away for so long at least; return how much later than promised the loss and the return were told,
    seconds, below 0 where they were in time.
    """
    went = time.monotonic()
    if freeze:
        server.send(signal.SIGSTOP)
    else:
        server.kill()
    time.sleep(away_s)
    lost_at = log.wait_for_signal(lost=True)  # or it might be back before anybody misses it
    if freeze:
        server.send(signal.SIGCONT)
    else:
        server.start()
    came = time.monotonic()
    back_at = log.wait_for_signal(lost=False)
    return lost_at - went - 2.0, back_at - came - 2.0 - _pause_after(came - went)


@pytest.mark.parametrize("server", ["http"], indirect=True)
@pytest.mark.parametrize("lost_after_s", [0, 20])
def test_a_stream_may_be_silent_for_as_long_as_was_asked(server: Server, lost_after_s: float) -> None:
    """Also for longer than OpenCV would wait by itself: ten seconds, here one."""
    impatient = CameraOptions(read_timeout_ms=1000)
    camera = WatchedCamera(SourceSettings(server.address, camera=impatient, lost_after_s=lost_after_s))
    camera.connect()
    assert isinstance(camera.read(), Frame)
    server.send(signal.SIGSTOP)
    silent = threading.Timer(3.0, server.send, [signal.SIGCONT])
    silent.start()
    until = time.monotonic() + 4.0
    try:
        while time.monotonic() < until:
            item = camera.read()
            assert isinstance(item, Frame), item
    finally:
        silent.join()
        camera.close()


def test_detect_on_a_stream(server: Server, tiny_model: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    address = server.address.replace("secret", "${CAMERA_PASSWORD}")
    command = [sys.executable, "-m", "aae_detect", "--source", address, "--model", str(tiny_model)]
    command += ["--no-window", "--max-frames", "20", "--jsonl", str(events)]
    environment = {**os.environ, "DISPLAY": "", "CAMERA_PASSWORD": "secret"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert result.returncode == 3, result.stderr
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(lines) == 20
    assert all(line["age_ms"] >= line["latency_ms"]["inference"] for line in lines)
    assert "secret" not in events.read_text() + result.stderr


def _pause_after(away_s: float) -> float:
    """The pause that is running when a camera was away for so long, at the longest."""
    ends = accumulate(PAUSES_S)
    return next((pause for pause, end in zip(PAUSES_S, ends, strict=True) if end > away_s), PAUSES_S[-1])


def _held() -> tuple[int, int, int]:
    """Threads, descriptors and children of this process, less what other tests have left to the garbage collector."""
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(children_of(os.getpid()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A real RTSP server on the loopback, played by GStreamer; the demo camera's frames with their numbers stamped in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from aae_detect import DemoCamera, SourceError, open_source
from aae_detect.capture import LatestFrame
from aae_detect.demo import read_counter

SERVER = Path(__file__).parents[1] / "servers" / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"
FRAMES = 240


@pytest.fixture(scope="module")
def rtsp_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    video = tmp_path_factory.mktemp("rtsp") / "camera.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    camera = DemoCamera(2, size_hw=(240, 320), counter=True)
    for index in range(FRAMES):
        writer.write(camera.render(index)[0])
    writer.release()
    command = [SYSTEM_PYTHON, str(SERVER), str(video)]
    try:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except FileNotFoundError:
        pytest.skip(f"no {SYSTEM_PYTHON} to run the server with")
    with server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        if not port:
            pytest.skip(
                "needs an RTSP server (Debian: gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good)"
            )
        try:
            yield f"rtsp://viewer:secret@127.0.0.1:{port}/camera"
        finally:
            server.kill()


def test_frames_arrive_whole_in_order_and_the_end_is_an_error(rtsp_address: str) -> None:
    source = LatestFrame(open_source(rtsp_address))
    assert source.live
    assert "secret" not in source.name
    counters = []
    with pytest.raises(SourceError) as ended:
        while True:
            frame = source.read()
            assert frame is not None
            assert frame.image is not None
            counters.append(read_counter(frame.image))
    source.close()
    assert "secret" not in str(ended.value)
    assert None not in counters, "a frame arrived damaged"
    assert counters == sorted(set(counters))
    assert len(counters) > FRAMES / 2


def test_detect_on_a_stream(rtsp_address: str, tiny_model: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "aae_detect", "--source", rtsp_address, "--model", str(tiny_model)]
    command += ["--no-window", "--max-frames", "20", "--jsonl", str(events)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "DISPLAY": ""})
    assert result.returncode == 3, result.stderr
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(lines) == 20
    assert "secret" not in events.read_text() + result.stderr

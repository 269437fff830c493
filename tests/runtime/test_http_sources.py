"""Cameras and videos behind `http://`, by a real server."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aae_detect._opencv import cv2
from aae_detect.camera_source import CameraOptions, CameraSource
from aae_detect.demo import DemoCamera, read_counter
from aae_detect.errors import SourceError
from aae_detect.source_settings import SourceSettings, open_with
from aae_detect.sources import open_source
from aae_detect.video_writer import VideoFile


@pytest.fixture(scope="module")
def frames():
    camera = DemoCamera(seed=1, size_hw=(240, 320), counter=True)
    return [camera.render(index)[0] for index in range(24)]


def count_frames(source):
    count = 0
    while source.read() is not None:
        count += 1
    source.close()
    return count


@pytest.fixture(scope="module")
def camera_server(frames):
    """Serves an endless MJPEG stream, one that stops after five frames, one that hangs, and a video file."""
    packed = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/film"):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.server.film)
                return
            if not self.path.startswith("/live"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            count = 5 if "stops" in self.path else 1000
            try:
                for number in range(count):
                    data = packed[number % len(packed)]
                    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                    self.wfile.write(head + data + b"\r\n")
                    if "hangs" in self.path and number == 10:
                        stopping.wait(10)
                    if stopping.wait(0.01):
                        return
            except OSError:
                return

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.film = b""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    stopping.set()
    server.shutdown()
    server.server_close()
    thread.join()


def address(server, path):
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


def test_a_stream_over_http_is_read_as_it_comes(camera_server):
    source = open_source(address(camera_server, "/live?token=secret"))
    assert isinstance(source, CameraSource)
    assert source.live
    assert source.name == address(camera_server, "/live?token=***")
    found = [source.read() for _ in range(20)]
    assert [frame.index for frame in found] == list(range(20))
    assert [read_counter(frame.image) for frame in found] == list(range(20))
    assert {frame.source for frame in found} == {source.name}
    source.close()
    assert source.read() is None


def test_a_stream_that_ends_is_a_failure_and_says_so(camera_server):
    source = open_source(address(camera_server, "/live/stops"))
    with pytest.raises(SourceError, match=r"stream http.* stopped after \d frames"):
        count_frames(source)
    assert source.read() is None


def test_a_stream_that_hangs_is_given_up_after_its_timeout(camera_server):
    source = CameraSource(address(camera_server, "/live/hangs"), CameraOptions(read_timeout_ms=500))
    started = time.monotonic()
    with pytest.raises(SourceError, match="stopped after"):
        count_frames(source)
    assert time.monotonic() - started < 4


def test_a_stream_that_is_not_there_is_told_at_once_and_without_its_password(camera_server, capfd):
    host = f"127.0.0.1:{camera_server.server_address[1]}"
    for password in ("secret", "[secret"):
        with pytest.raises(SourceError, match="does not answer or is no video") as failure:
            open_source(f"http://me:{password}@{host}/nothing")
        assert f"http://me:***@{host}/nothing" in str(failure.value)
        out, err = capfd.readouterr()
        assert "secret" not in str(failure.value) + out + err


def test_secrets_from_elsewhere_are_shown_wherever_they_stand_as_what_they_are_called(camera_server, monkeypatch):
    monkeypatch.setenv("TOK", "top secret/")
    for path in ("/${TOK}/stream?pin=${TOK}", "/${TOK}/film.avi?pin=${TOK}"):
        for name in ("", "line 1"):
            with pytest.raises(SourceError) as failure:
                open_with(SourceSettings(address(camera_server, path), name))
            assert address(camera_server, path) in str(failure.value)
            assert "secret" not in str(failure.value)


def test_a_video_file_on_a_server_is_a_video_file(camera_server, frames, tmp_path):
    video = VideoFile(tmp_path / "film.avi", 25.0)
    for frame in frames[:6]:
        video.write(frame)
    video.close()
    camera_server.film = video.path.read_bytes()
    source = open_source(address(camera_server, "/film.avi"))
    assert not source.live
    assert count_frames(source) == 6

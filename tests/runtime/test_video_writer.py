import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.demo import DemoCamera
from aae_detect.drawer import Drawer
from aae_detect.errors import AaeDetectError, ConfigError, FrameError
from aae_detect.judged import Judged
from aae_detect.outputs import VideoOutput
from aae_detect.video_writer import CODECS, DEFAULT_FPS, VideoFile


def read_all(path: Path) -> tuple[list[NDArray[np.uint8]], float]:
    reader = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = reader.read()
        if not good:
            break
        frames.append(frame.astype(np.uint8, copy=False))
    fps = reader.get(cv2.CAP_PROP_FPS)
    reader.release()
    return frames, fps


def plain(height: int, width: int, value: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("suffix", [*CODECS, ".MP4"])
def test_reads_back_as_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "made" / f"line{suffix}"
    with VideoFile(path, 29.97) as video:
        for number in range(12):
            video.write(plain(120, 160, 20 * number))
        assert not path.exists()
        assert video.partial_path.exists()
    frames, fps = read_all(path)
    assert video.frame_count == len(frames) == 12
    assert fps == pytest.approx(29.97, abs=0.01)
    assert [path.name] == [entry.name for entry in path.parent.iterdir()]
    for number, frame in enumerate(frames):
        assert frame.shape == (120, 160, 3)
        assert frame.mean() == pytest.approx(20 * number, abs=4)


def test_a_camera_may_tell_its_rate_with_its_first_frame(tmp_path: Path) -> None:
    source = DemoCamera(size_hw=(120, 160))
    source.fps = 0.0
    output = VideoOutput(tmp_path / "late.avi", source, Drawer())
    frame = source.read()
    source.fps = 12.5
    assert frame is not None and output.take(Judged(frame, None, None, "torn", None, 1.0, {}))
    output.close()
    assert read_all(tmp_path / "late.avi")[1] == pytest.approx(12.5)


def test_odd_sizes_lose_nothing(tmp_path: Path) -> None:
    picture = plain(121, 161, 20)
    picture[:, -9:] = 230
    with VideoFile(tmp_path / "odd.mp4", 25) as video:
        video.write(picture)
    frame = read_all(video.path)[0][0]
    assert frame.shape == (122, 162, 3)
    assert frame[:, -7:].mean() == pytest.approx(230, abs=12)
    assert frame[:, :140].mean() == pytest.approx(20, abs=6)


def test_another_size_gets_bars(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "sizes.avi", 25) as video:
        video.write(plain(120, 160, 200))
        video.write(plain(240, 160, 200))  # half as wide as high, so 60 of 160 columns are picture
    first, second = read_all(video.path)[0]
    assert first.mean() == pytest.approx(200, abs=4)
    assert second[:, 60:100].mean() == pytest.approx(200, abs=6)
    assert second[:, :40].mean() < 8
    assert second[:, 120:].mean() < 8


def test_a_view_into_a_larger_picture_is_written(tmp_path: Path) -> None:
    wide = plain(120, 320, 10)
    wide[:, ::2] = 180
    with VideoFile(tmp_path / "view.avi", 25) as video:
        video.write(wide[:, ::2])
    assert read_all(video.path)[0][0].mean() == pytest.approx(180, abs=4)


@pytest.mark.parametrize(
    ("asked", "written"),
    [(0.0, DEFAULT_FPS), (float("nan"), DEFAULT_FPS), (123.4567, 123.46), (1e6, 600.0), (0.5, 0.5)],
)
def test_rates(tmp_path: Path, asked: float, written: float) -> None:
    with VideoFile(tmp_path / "rate.mp4", asked) as video:
        video.write(plain(64, 64, 5))
        video.write(plain(64, 64, 5))
    assert video.fps == written
    assert read_all(video.path)[1] == pytest.approx(written, rel=1e-3)


def test_without_frames_there_is_no_file_and_the_last_video_stays(tmp_path: Path) -> None:
    path = tmp_path / "line.mp4"
    path.write_bytes(b"the last good video")
    video = VideoFile(path, 25)
    video.close()
    video.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["line.mp4"]
    assert path.read_bytes() == b"the last good video"


def test_a_path_that_opencv_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line_\\udce4.mp4: the path is no UTF-8"):
        VideoFile(tmp_path / "line_\udce4.mp4", 25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["line.gif", "line", "line.mp3"])
def test_unknown_extensions_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected one of \.mp4, \.mov, \.mkv, \.avi"):
        VideoFile(tmp_path / name, 25)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    for path in (tmp_path / "file" / "line.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(ConfigError, match="cannot be written"):
            VideoFile(path, 25)


def test_wrong_frames_and_late_frames_are_refused(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "line.avi", 25)
    with pytest.raises(FrameError, match="expected HxWx3 uint8 BGR"):
        video.write(np.zeros((64, 64), np.uint8))
    video.close()
    with pytest.raises(AaeDetectError, match="has been closed"):
        video.write(plain(64, 64, 0))


def test_size_that_the_codec_cannot_write(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    video = VideoFile(tmp_path / "line.mp4", 25)
    with pytest.raises(ConfigError, match="cannot write a 9000x2 video"):
        video.write(plain(2, 9000, 0))
    video.close()
    capfd.readouterr()  # the codec's own words
    assert list(tmp_path.iterdir()) == []


def test_video_that_does_not_play_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "line.mp4"
    video = VideoFile(path, 25)
    video.write(plain(64, 64, 0))
    assert video._writer is not None
    video._writer.release()
    video.partial_path.write_bytes(b"cut off by a full disk")
    with pytest.raises(AaeDetectError, match="does not play"):
        video.close()
    capfd.readouterr()
    assert not path.exists()


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_what_a_killed_process_leaves_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"line{suffix}"
    code = (
        "import os, signal, numpy as np\n"
        "from aae_detect.video_writer import VideoFile\n"
        f"video = VideoFile({str(path)!r}, 25)\n"
        "rng = np.random.default_rng(0)\n"
        "for _ in range(80): video.write(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    reader_code = f"import cv2; r = cv2.VideoCapture({str(path.with_name('line.partial' + suffix))!r})\n"
    reader_code += "count = 0\nwhile r.read()[0]: count += 1\nprint(count)"
    # In a process of its own: the decoder prints what it thinks of the cut-off end.
    read = subprocess.run([sys.executable, "-c", reader_code], capture_output=True, text=True, timeout=60, check=True)
    assert 50 <= int(read.stdout) <= 80

"""How long OpenCV is told to wait for a frame: for longer than whoever watches the camera."""

import os
from pathlib import Path

import pytest

from aae_detect.camera.patience import FOR_EVER_S, V4L_VARIABLE, have_opencv_wait, patience_s
from aae_detect.camera.worker import _capture
from aae_detect.camera_source import CameraOptions
from aae_detect.network_stream import READ_TIMEOUT_MS
from aae_detect.source_settings import SourceSettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was, when a test ends."""
    monkeypatch.setenv(V4L_VARIABLE, "1")


@pytest.mark.parametrize(
    ("lost_after_s", "fps", "expected"),
    [(None, 30, 1.5), (None, 0, 1.5), (None, 0.5, 6.0), (4.0, 0.5, 4.0), (0, 30, None)],
)
def test_a_slow_camera_may_be_silent_for_longer(lost_after_s: float | None, fps: float, expected: float | None) -> None:
    assert patience_s(SourceSettings("0", lost_after_s=lost_after_s), fps) == expected


@pytest.mark.parametrize(
    ("lost_after_s", "fps", "seconds"),
    [
        (None, None, READ_TIMEOUT_MS // 1000),
        (2.0, None, READ_TIMEOUT_MS // 1000),
        (10.0, None, 15),
        (59.5, None, 65),
        (None, 0.1, 35),
        (0, None, FOR_EVER_S),
        (1e12, None, FOR_EVER_S),
    ],
)
def test_opencv_waits_for_longer_than_whoever_watches(
    lost_after_s: float | None, fps: float | None, seconds: int
) -> None:
    settings = SourceSettings("0", camera=CameraOptions(fps=fps, gain=3), lost_after_s=lost_after_s)
    waiting = have_opencv_wait(settings)
    assert os.environ[V4L_VARIABLE] == str(seconds)
    assert waiting.camera.read_timeout_ms == 1000 * seconds < 2**31
    assert (waiting.camera.gain, waiting.lost_after_s) == (3, lost_after_s), "the rest stays"


def test_a_longer_wait_that_was_asked_for_stays() -> None:
    settings = SourceSettings("0", camera=CameraOptions(read_timeout_ms=60_500), lost_after_s=2)
    assert have_opencv_wait(settings).camera.read_timeout_ms == 60_500
    assert os.environ[V4L_VARIABLE] == "61"


def test_the_capture_process_has_it_wait_before_it_opens_the_camera(tmp_path: Path) -> None:
    class Deaf:
        def tell(self, **answer: object) -> None:
            self.waits_s = os.environ[V4L_VARIABLE]
            raise BrokenPipeError  # nobody listens any more

    (tmp_path / "plug").write_text("here 160x120")
    told = Deaf()
    with pytest.raises(BrokenPipeError):
        _capture(SourceSettings(f"fake:{tmp_path}/plug", lost_after_s=0), told, None)  # type: ignore[arg-type]
    assert told.waits_s == str(FOR_EVER_S)

import errno
import os
import shutil
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from aae_detect._opencv import cv2
from aae_detect.detection import Detection, Latency, Verdict
from aae_detect.drawer import Drawer
from aae_detect.errors import ConfigError
from aae_detect.frames import Frame
from aae_detect.geometry import place
from aae_detect.ng_folder import NgFolder
from aae_detect.outputs import NgOutput

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
DETECTION = Detection(
    0.53125,
    0.25,
    Verdict.NG,
    np.zeros((8, 8), np.float32),
    np.zeros((32, 32, 3), np.uint8),
    np.zeros((32, 32, 3), np.uint8),
    place((48, 64), (32, 32), "stretch"),
    Latency(1, 2, 3),
)


def frame(index: int, captured_at: datetime = NOON) -> Frame:
    return Frame(IMAGE, index, captured_at, "test")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_picture_is_saved_as_it_was_and_the_overlay_beside_it(tmp_path: Path) -> None:
    folder = NgFolder(tmp_path / "some" / "ng")
    overlay = np.full((48, 64, 3), (10, 20, 200), np.uint8)
    path = folder.save(frame(123), IMAGE, DETECTION, overlay)
    assert path is not None
    assert names(folder.folder) == [
        "20261123T120000.123Z_000123_NG_0.5312.png",
        "20261123T120000.123Z_000123_NG_0.5312_overlay.jpg",
    ]
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_COLOR), IMAGE)
    saved_overlay = cv2.imread(str(path.with_name(f"{path.stem}_overlay.jpg")), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(saved_overlay, overlay, atol=6)
    assert (folder.saved, folder.failed, folder.problem) == (1, 0, "")


def test_without_an_overlay_only_the_picture(tmp_path: Path) -> None:
    NgFolder(tmp_path).save(frame(1), IMAGE, DETECTION, None)
    assert names(tmp_path) == ["20261123T120000.123Z_000001_NG_0.5312.png"]


def test_a_side_too_long_for_jpeg_costs_the_overlay_some_pixels_and_one_too_long_for_png_the_frame(
    tmp_path: Path,
) -> None:
    folder, wide = NgFolder(tmp_path), np.tile(IMAGE[:1], (1, 1100, 1))  # 70400 pixels
    path = folder.save(frame(1), wide, DETECTION, wide)
    assert path is not None and np.array_equal(cv2.imread(str(path), cv2.IMREAD_COLOR), wide)
    overlay = cv2.imread(str(path.with_name(f"{path.stem}_overlay.jpg")), cv2.IMREAD_COLOR)
    assert overlay is not None and overlay.shape == (1, 65500, 3)
    assert folder.save(frame(2), np.zeros((1, 1_100_000, 3), np.uint8), DETECTION, None) is None
    assert (folder.saved, folder.failed) == (1, 1)
    assert "a picture of 1100000x1 cannot be written as .png; crop or shrink it" in folder.problem


def test_names_sort_by_time_and_frame_whatever_the_zone(tmp_path: Path) -> None:
    folder = NgFolder(tmp_path)
    tokyo = timezone(timedelta(hours=9))
    moments = [NOON, NOON, NOON + timedelta(milliseconds=40), (NOON + timedelta(hours=1)).astimezone(tokyo)]
    saved = [folder.save(frame(index, moment), IMAGE, DETECTION, None) for index, moment in enumerate(moments, start=9)]
    assert [path.name for path in saved if path] == names(tmp_path)
    assert len(names(tmp_path)) == 4


def test_nothing_is_overwritten_by_a_later_run(tmp_path: Path) -> None:
    first = NgFolder(tmp_path).save(frame(1), IMAGE, DETECTION, IMAGE)
    second = NgFolder(tmp_path).save(frame(1), 255 - IMAGE, DETECTION, IMAGE)
    third = NgFolder(tmp_path).save(frame(1), IMAGE, DETECTION, IMAGE)
    assert first is not None and second is not None and third is not None
    assert len({first, second, third}) == 3
    assert len(names(tmp_path)) == 6
    assert np.array_equal(cv2.imread(str(first), cv2.IMREAD_COLOR), IMAGE)
    assert np.array_equal(cv2.imread(str(second), cv2.IMREAD_COLOR), 255 - IMAGE)


def test_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place_to_be in (tmp_path / "file", tmp_path / "file" / "ng"):
        with pytest.raises(ConfigError, match="pictures cannot be saved there"):
            NgFolder(place_to_be)


def test_full_disk_is_refused_at_the_start_and_counted_later(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = NgFolder(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))  # real write errors, as on a full disk
    try:
        with pytest.raises(ConfigError, match="make room"):
            NgFolder(tmp_path)
        assert folder.save(frame(1), IMAGE, DETECTION, IMAGE) is None
        assert folder.save(frame(2), IMAGE, DETECTION, IMAGE) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (folder.saved, folder.failed) == (0, 2)
    assert "2 frames could not be saved" in folder.problem
    assert "File too large" in folder.problem
    assert names(tmp_path) == []
    assert folder.save(frame(3), IMAGE, DETECTION, IMAGE) is not None


@pytest.mark.parametrize("trouble", [errno.ENOSPC, errno.EROFS])
def test_a_disk_in_trouble_is_said_at_the_start_and_the_line_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(trouble, os.strerror(trouble))

    said: list[str] = []
    with monkeypatch.context() as patched:  # a test that is not root can fill no disk
        patched.setattr(Path, "mkdir", fail)
        output = NgOutput(tmp_path / "ng", Drawer(), said.append)
    words = f"{tmp_path / 'ng'}: pictures cannot be saved there ({os.strerror(trouble)}); make room"
    assert said == [f"warning: {words}; verdicts go on"]
    assert output._folder.save(frame(1), IMAGE, DETECTION, None) is not None, "there is room again"
    output.close()
    assert len(said) == 1


def test_folder_that_vanishes_is_counted(tmp_path: Path) -> None:
    folder = NgFolder(tmp_path / "ng")
    shutil.rmtree(folder.folder)
    assert folder.save(frame(1), IMAGE, DETECTION, None) is None
    assert folder.problem.endswith("1 frame could not be saved; the first failed with: No such file or directory")

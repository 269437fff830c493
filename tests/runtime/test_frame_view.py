import datetime

import numpy as np
import pytest

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError, SourceError
from aae_detect.frame_view import FrameView, ViewedSource
from aae_detect.frames import Frame, Signal
from aae_detect.source_settings import SourceSettings, open_with

# 0 1 2
# 3 4 5
PICTURE = np.arange(6, dtype=np.uint8).reshape(2, 3)


def seen(view, picture=PICTURE):
    return view(Frame(picture, 0, datetime.datetime.now(datetime.UTC), "camera")).image.tolist()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (FrameView(), [[0, 1, 2], [3, 4, 5]]),
        (FrameView(rotate_deg=90), [[3, 0], [4, 1], [5, 2]]),
        (FrameView(rotate_deg=180), [[5, 4, 3], [2, 1, 0]]),
        (FrameView(rotate_deg=270), [[2, 5], [1, 4], [0, 3]]),
        (FrameView(flip="horizontal"), [[2, 1, 0], [5, 4, 3]]),
        (FrameView(flip="vertical"), [[3, 4, 5], [0, 1, 2]]),
        (FrameView(flip="both"), [[5, 4, 3], [2, 1, 0]]),
        (FrameView(crop_xywh=(1, 0, 2, 1)), [[1, 2]]),
        (FrameView(90, "horizontal", (0, 1, 1, 2)), [[1], [2]]),
    ],
)
def test_turned_mirrored_and_cut_in_this_order(view, expected):
    assert seen(view) == expected
    assert seen(view, PICTURE.astype(np.uint16)) == expected


def test_a_crop_that_reaches_out_of_the_picture_says_how_large_it_is():
    with pytest.raises(SourceError, match=r"crop 1,0,3,1 reaches out of its pictures of 3x2"):
        seen(FrameView(crop_xywh=(1, 0, 3, 1)))


def test_a_small_picture_among_files_is_a_frame_with_a_problem(tmp_path):
    for name, side in (("1", 8), ("2", 4), ("3", 8)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((side, side), 9, np.uint8))
    source = open_with(SourceSettings(str(tmp_path), view=FrameView(crop_xywh=(1, 1, 6, 6))))
    assert source.read().image.shape == (6, 6)
    second = source.read()
    assert second.image is None
    assert (second.index, second.source) == (1, str(tmp_path / "2.png"))
    assert second.problem.startswith("wrong size: ") and "of 4x4" in second.problem
    assert source.read().image.shape == (6, 6)
    assert source.read() is None


def test_a_camera_whose_pictures_are_too_small_fails(tmp_path):
    plug = tmp_path / "plug"
    plug.write_text("here 320x240")
    camera = open_with(SourceSettings(f"fake:{plug}", view=FrameView(crop_xywh=(0, 0, 321, 1))))
    with pytest.raises(SourceError, match="of 320x240"):
        camera.read()
    camera.close()


@pytest.mark.parametrize("wrong", [{"rotate_deg": 45}, {"flip": "sideways"}, {"crop_xywh": (0, 0, 0, 1)}])
def test_what_is_no_view(wrong):
    with pytest.raises(ConfigError):
        FrameView(**wrong)


def test_a_viewed_source_leaves_the_rest_as_it_is():
    now = datetime.datetime.now(datetime.UTC)
    items = [Frame(PICTURE, 3, now, "list"), Frame(None, 4, now, "list", "torn"), Signal(True, "", now, "list"), None]

    class Listed:
        name, live, fps = "list", True, 5.0
        closed = False

        def read(self):
            return items.pop(0)

        def close(self):
            self.closed = True

    inner = Listed()
    source = ViewedSource(inner, FrameView(rotate_deg=180))
    assert (source.name, source.live, source.fps) == ("list", True, 5.0)
    assert source.read().image.tolist() == [[5, 4, 3], [2, 1, 0]]
    assert source.read().problem == "torn"
    assert isinstance(source.read(), Signal)
    assert source.read() is None
    source.close()
    assert inner.closed

import datetime

import numpy as np
import pytest

from aae_detect.errors import ConfigError, SourceError
from aae_detect.frame_view import FrameView, ViewedSource
from aae_detect.frames import Frame, Signal

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

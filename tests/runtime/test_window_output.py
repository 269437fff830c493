"""What a window over several cameras shows, without a screen."""

from copy import copy
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from aae_detect import Detector
from aae_detect.drawer import Drawer
from aae_detect.frame_mask import FrameMask, Polygons
from aae_detect.frames import Frame, Signal
from aae_detect.judged import Judged
from aae_detect.mosaic import mosaic
from aae_detect.window_output import Newest


def flat(value, height=90, width=160):
    return np.full((height, width, 3), value, np.uint8)


def test_one_picture_is_shown_as_it_is():
    picture = flat(7)
    assert mosaic([picture]) is picture
    assert mosaic([None]) is None
    assert mosaic([None, None, None]) is None


def test_pictures_lie_in_a_grid_whole_and_in_order():
    whole = mosaic([flat(40), flat(80), None, flat(160, 160, 90)], most_hw=(540, 960))
    assert whole.shape == (540, 960, 3)
    assert [whole[y, x, 0] for y, x in ((135, 240), (135, 720), (405, 240), (405, 720))] == [40, 80, 25, 160]
    # The upright one keeps its shape: empty at both sides.
    assert whole[405, 490, 0] == whole[405, 950, 0] == 25


def test_five_sources_take_three_columns():
    whole = mosaic([flat(value) for value in (40, 80, 120, 160, 200)], most_hw=(600, 900))
    assert [whole[y, x, 0] for y in (150, 450) for x in (150, 450, 750)] == [40, 80, 120, 160, 200, 25]


def test_a_lost_camera_shows_that_it_is_lost_until_its_next_frame():
    now = datetime.now(UTC)
    newest = Newest(Drawer())
    assert newest.draw(newest.newest()) is None
    frame = Frame(flat(90, 480, 640), 0, now, "line 1")
    judged = Judged(frame, frame.image, None, "torn", None, 1.0, {})
    newest.take(judged)
    before, count = newest.draw(newest.newest()), newest.count
    newest.signal(Signal(True, "line 1 is silent", now, "line 1"))
    assert newest.count > count
    lost = newest.draw(newest.newest())
    assert lost.shape == before.shape
    assert (lost != before).any()
    newest.signal(Signal(False, "", now, "line 1", 3.0))
    assert (newest.draw(newest.newest()) == lost).all()  # nothing is shown as if it were new
    newest.take(judged)
    assert (newest.draw(newest.newest()) == before).all()


def test_a_camera_that_was_never_there_says_so_too():
    newest = Newest(Drawer())
    newest.signal(Signal(True, "not there", datetime.now(UTC), "line 1"))
    assert newest.draw(newest.newest()).shape == (480, 640, 3)


def test_colours_and_borders_are_those_of_who_judged(tiny_model: Path) -> None:
    """A window outlives the model that it began with."""
    drawer, detector = Drawer(), Detector.load(tiny_model, provider="cpu", threads=1)
    image = np.full((64, 96, 3), 127, np.uint8)
    image[30:40, 50:60] = 255
    frame = Frame(image, 0, datetime.now(UTC), "list")
    other = detector.with_mask(
        FrameMask(Polygons((96, 64), look=(((0.0, 0.0), (70.0, 0.0), (70.0, 50.0), (0.0, 50.0)),)))
    )
    warmer = copy(detector)
    warmer.colour_scale = (detector.colour_scale[0], detector.colour_scale[0] + 0.1)

    def drawn(by: Detector) -> np.ndarray:
        detection = by(image)
        return drawer.draw(Judged(frame, image, detection, "", None, 1.0, {}, by))

    first = drawn(detector)
    assert not np.array_equal(drawn(other), first), "no border"
    assert not np.array_equal(drawn(warmer), first), "no other colours"
    assert np.array_equal(drawn(detector), first)

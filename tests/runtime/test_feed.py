"""What waits between a source and whoever judges: deterministic sources, real threads."""

import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from aae_detect.demo import DemoCamera
from aae_detect.errors import SourceError
from aae_detect.feed import FileFeed, LiveFeed
from aae_detect.frames import Frame, FrameSource, Signal


def frame(index):
    return Frame(np.zeros((2, 2), np.uint8), index, datetime.now(UTC), "step")


LOST, BACK = (Signal(lost, "gone", datetime.now(UTC), "step") for lost in (True, False))


class StepSource(FrameSource):
    """Gives the next of its items whenever the test says so."""

    name, live, fps = "step", True, 0.0

    def __init__(self, *items):
        self.items = list(items)
        self.steps = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)
        self.closed_by = []

    def read(self):
        self.waiting.release()
        self.steps.acquire()
        item = self.items.pop(0) if self.items else None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed_by.append(threading.current_thread().name)

    def give(self, count):
        """Return once the thread has taken so many items and asks for the next."""
        for _ in range(count):
            self.steps.release()
            self.waiting.acquire()


def start(source):
    feed = LiveFeed(source, threading.Condition())
    assert not feed.ready
    source.waiting.acquire()
    return feed


def wait_for(feed, timeout=5.0):
    until = time.monotonic() + timeout
    while not feed.ready and not feed.ended:
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.001)


def test_the_newest_frame_wins_and_the_others_are_counted():
    source = StepSource(*map(frame, range(7)))
    feed = start(source)
    source.give(1)
    assert feed.take().index == 0
    source.give(5)
    assert feed.take().index == 5
    assert feed.dropped == 4
    assert feed.take() is None
    source.give(1)
    assert (feed.take().index, feed.dropped) == (6, 4)
    source.steps.release()
    feed.close()


def test_what_is_said_of_the_camera_is_never_dropped_and_keeps_its_place():
    source = StepSource(frame(0), frame(1), LOST, BACK, frame(2), frame(3))
    feed = start(source)
    source.give(6)
    taken = [feed.take() for _ in range(4)]
    assert [getattr(item, "index", item) for item in taken] == [1, LOST, BACK, 3]
    source.steps.release()
    feed.close()


def test_frames_that_the_source_itself_left_out_are_counted_too():
    source = StepSource(frame(0), frame(5))
    feed = start(source)
    source.give(1)
    feed.take()
    source.give(1)
    assert (feed.take().index, feed.dropped) == (5, 4)
    source.steps.release()
    feed.close()


def test_a_slow_reader_sees_fresh_frames_of_a_live_camera():
    feed = LiveFeed(DemoCamera(size_hw=(120, 160), fps=100, live=True), threading.Condition())
    indexes, ages_s = [], []
    for _ in range(6):
        wait_for(feed)
        taken = feed.take()
        indexes.append(taken.index)
        ages_s.append((time.monotonic_ns() - taken.read_ns) / 1e9)
        time.sleep(0.08)
    feed.close()
    assert min(ages_s[3:]) < 0.2, "a feed that queued would give them at 0.21, 0.28 and 0.35 s"
    assert indexes == sorted(set(indexes))
    assert feed.dropped == indexes[-1] - indexes[0] - 5
    assert feed.dropped >= 20


def test_whoever_waits_is_told():
    changed = threading.Condition()
    feed = LiveFeed(DemoCamera(size_hw=(120, 160), fps=20, live=True), changed)
    busy = time.thread_time()
    indexes = []
    while len(indexes) < 6:
        with changed:
            assert changed.wait_for(lambda: feed.ready, 5)
        indexes.append(feed.take().index)
    assert time.thread_time() - busy < 0.1
    assert len(set(indexes)) == 6
    feed.close()


@pytest.mark.parametrize("end", [None, SourceError("unplugged")])
def test_the_last_frame_arrives_before_the_end(end):
    source = StepSource(frame(0), end)
    feed = start(source)
    source.give(1)
    source.steps.release()
    while not source.closed_by:
        time.sleep(0.001)
    assert not feed.ended
    assert feed.take().index == 0
    if end is not None:
        wait_for(feed)
        with pytest.raises(SourceError, match="unplugged"):
            feed.take()
    assert feed.take() is None
    wait_for(feed)
    assert feed.ended
    assert source.closed_by == ["feed step"]
    feed.close()


def test_close_ends_though_the_camera_hangs_and_the_device_is_not_released_under_a_read():
    source = StepSource()
    feed = start(source)
    started = time.monotonic()
    feed.close()
    assert time.monotonic() - started < 10
    assert (feed.ready, feed.ended) == (False, True)
    assert source.closed_by == []
    source.steps.release()
    while not source.closed_by:
        time.sleep(0.001)
    assert source.closed_by == ["feed step"]


def test_close_ends_the_thread_and_closes_the_source():
    def running():
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("feed demo")]

    camera = DemoCamera(size_hw=(120, 160), fps=0.1, live=True)
    feed = LiveFeed(camera, threading.Condition())
    wait_for(feed)
    assert len(running()) == 1
    started = time.monotonic()
    feed.close()
    feed.close()
    assert time.monotonic() - started < 5  # the camera waits for its next frame, but lets itself be woken
    assert running() == []
    assert camera.read() is None


def test_a_feed_that_was_never_read_still_closes_its_source():
    source = StepSource()
    feed = LiveFeed(source, threading.Condition())
    feed.close()
    assert source.closed_by == ["MainThread"]
    assert not feed.ready


def test_a_file_is_read_when_it_is_asked_for_and_every_frame_counts():
    camera = DemoCamera(size_hw=(120, 160), frame_count=3)
    feed = FileFeed(camera)
    assert feed.ready
    assert [feed.take().index for _ in range(3)] == [0, 1, 2]
    assert feed.take() is None
    assert (feed.ready, feed.ended, feed.dropped) == (False, True, 0)


def test_a_file_that_fails_has_ended():
    source = StepSource(SourceError("cut off"))
    source.steps.release()
    feed = FileFeed(source)
    with pytest.raises(SourceError, match="cut off"):
        feed.take()
    assert feed.ended
    feed.close()
    assert source.closed_by == ["MainThread"]

import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from aae_detect.capture import LatestFrame
from aae_detect.demo import DemoCamera
from aae_detect.errors import SourceError
from aae_detect.frames import Frame, FrameSource


class StepSource(FrameSource):
    """Gives a frame whenever the test says so."""

    name = "step"
    live = True
    fps = 0.0

    def __init__(self, end=None):
        self.steps = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)
        self.given = 0
        self.end = end
        self.closed_by = []

    def read(self):
        self.waiting.release()
        self.steps.acquire()
        if self.given == self.end:
            raise SourceError("step: unplugged")
        if self.end is not None and self.given > self.end:
            return None
        self.given += 1
        return Frame(np.zeros((2, 2), np.uint8), self.given - 1, datetime.now(UTC), self.name)

    def close(self):
        self.closed_by.append(threading.current_thread().name)

    def give(self, count):
        """Return once the thread has taken so many frames and asks for the next."""
        for _ in range(count):
            self.steps.release()
            self.waiting.acquire()


def start(inner):
    """Return a capture whose thread waits inside the source, and its first frame already fetched."""
    latest = LatestFrame(inner)
    inner.steps.release()
    first = latest.read()
    assert first.index == 0
    inner.waiting.acquire()
    inner.waiting.acquire()
    return latest


def test_the_newest_frame_wins_and_the_others_are_counted():
    inner = StepSource()
    latest = start(inner)
    assert isinstance(latest, FrameSource)
    inner.give(5)
    assert latest.read().index == 5
    assert latest.dropped == 4
    inner.give(1)
    assert latest.read().index == 6
    assert latest.dropped == 4
    inner.steps.release()
    latest.close()


def test_frames_that_the_source_itself_left_out_are_counted_too():
    class Gaps(DemoCamera):
        def read(self):
            self._next += 2
            return super().read()

    latest = LatestFrame(Gaps(frame_count=4, size_hw=(120, 160)))
    frame = latest.read()
    assert frame.index == 2
    assert latest.read() is None
    assert latest.dropped == 0


def test_a_slow_reader_sees_fresh_frames_of_a_live_camera():
    latest = LatestFrame(DemoCamera(size_hw=(120, 160), fps=100, live=True))
    indexes = []
    for _ in range(6):
        frame = latest.read()
        indexes.append(frame.index)
        assert (datetime.now(UTC) - frame.captured_at).total_seconds() < 0.2
        time.sleep(0.08)
    latest.close()
    assert indexes == sorted(set(indexes))
    assert latest.dropped == indexes[-1] - indexes[0] - 5
    assert latest.dropped >= 20


def test_no_frame_is_given_twice_and_the_reader_sleeps_meanwhile():
    latest = LatestFrame(DemoCamera(size_hw=(120, 160), fps=20, live=True))
    latest.read()
    started, busy = time.monotonic(), time.thread_time()
    indexes = [latest.read().index for _ in range(6)]
    assert time.monotonic() - started > 0.2
    assert time.thread_time() - busy < 0.05
    assert len(set(indexes)) == 6
    latest.close()


def test_the_last_frame_arrives_before_the_end():
    latest = LatestFrame(DemoCamera(size_hw=(120, 160), frame_count=30))
    indexes = []
    while (frame := latest.read()) is not None:
        indexes.append(frame.index)
    assert indexes[-1] == 29
    assert len(indexes) + latest.dropped + indexes[0] == 30
    assert latest.read() is None
    latest.close()


def test_the_last_frame_arrives_before_the_failure():
    inner = StepSource(end=2)
    latest = start(inner)
    inner.give(1)
    inner.steps.release()
    while not inner.closed_by:
        time.sleep(0.001)
    assert latest.read().index == 1
    for _ in range(2):
        with pytest.raises(SourceError, match="unplugged"):
            latest.read()
    latest.close()
    assert latest.read() is None
    assert inner.closed_by == ["capture step"]


def test_close_wakes_a_waiting_reader_and_ends_within_a_second_though_the_camera_hangs():
    inner = StepSource()
    latest = start(inner)
    answers = []
    reader = threading.Thread(target=lambda: answers.append(latest.read()))
    reader.start()
    time.sleep(0.05)
    started = time.monotonic()
    latest.close()
    assert time.monotonic() - started < 1.0
    reader.join(1)
    assert answers == [None]
    assert inner.closed_by == []  # the device is never released under a read
    inner.steps.release()
    while not inner.closed_by:
        time.sleep(0.001)
    assert inner.closed_by == ["capture step"]


def test_close_ends_the_thread_and_closes_the_source():
    def running():
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("capture demo")]

    camera = DemoCamera(size_hw=(120, 160), fps=100, live=True)
    latest = LatestFrame(camera)
    latest.read()
    assert len(running()) == 1
    latest.close()
    latest.close()
    assert running() == []
    assert camera.read() is None
    assert latest.read() is None


def test_a_capture_that_was_never_read_still_closes_its_source():
    inner = StepSource()
    latest = LatestFrame(inner)
    latest.close()
    assert inner.closed_by == ["MainThread"]
    assert latest.read() is None

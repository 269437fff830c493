"""Frames of several streams at once: as many as there are cores for, in order, and told by one thread."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from aae_detect import Detection, Detector, Frame
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.side_by_side import SideBySide, share_cores

GRAY = np.full((64, 64, 3), 127, np.uint8)


class Film:
    """So many gray frames."""

    live, fps = False, 0.0

    def __init__(self, name: str, frames: int) -> None:
        self.name, self._left, self._index = name, frames, -1

    def read(self) -> Frame | None:
        self._index += 1
        return Frame(GRAY, self._index, datetime.now(UTC), self.name) if self._index < self._left else None

    def close(self) -> None:
        """Nothing is held open."""


class Watched:
    """A detector that takes its time, and sees how many ask it at once."""

    def __init__(self, detector: Detector, fails: bool = False) -> None:
        self._detector, self._fails, self._lock = detector, fails, threading.Lock()
        self.threshold, self.bits = detector.threshold, detector.bits
        self.now = self.most = 0

    def __call__(self, image: np.ndarray) -> Detection:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self._lock:
            self.now -= 1
        if self._fails:
            raise ValueError("a layer is broken")
        return self._detector(image)


class Keep(Output):
    """Keeps where frames come from, and which thread told of them."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, int]] = []
        self.threads: set[threading.Thread] = set()

    def take(self, judged: Judged) -> bool:
        self.frames.append((judged.frame.source, judged.frame.index))
        self.threads.add(threading.current_thread())
        return True

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, provider="cpu", threads=1)


@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
def test_frames_of_several_streams_are_judged_side_by_side_and_told_in_turn(detector: Detector, at_once: int) -> None:
    watched, keep = Watched(detector), Keep()
    streams = [Stream(Film(f"film {n}", 6), cast(Detector, watched), [keep]) for n in range(3)]
    summaries = run_loop(streams, threading.Event(), at_once=at_once)
    assert watched.most == min(at_once, 3)
    assert [summary.frames for summary in summaries] == [6, 6, 6]
    assert keep.frames == [(f"film {n}", index) for index in range(6) for n in range(3)]
    assert keep.threads == {threading.current_thread()}


def test_so_many_frames_and_no_more(detector: Detector) -> None:
    streams = [Stream(Film(f"film {n}", 6), detector) for n in range(3)]
    summaries = run_loop(streams, threading.Event(), max_frames=4, at_once=3)
    assert [summary.frames for summary in summaries] == [2, 1, 1]


def test_a_detector_that_breaks_ends_the_run_wherever_it_was_asked(detector: Detector) -> None:
    for broken in (0, 1):
        judges = [Watched(detector, fails=n == broken) for n in range(2)]
        streams = [Stream(Film(f"film {n}", 6), cast(Detector, judge)) for n, judge in enumerate(judges)]
        with pytest.raises(ValueError, match="a layer is broken"):
            run_loop(streams, threading.Event(), at_once=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("judge")]


def test_cores_are_shared_out() -> None:
    assert share_cores(1, 0, 2) == (0, 1) and share_cores(1, "auto", 2) == ("auto", 1), "one has them all"
    assert share_cores(4, 0, 2) == share_cores(2, "auto", 2) == (1, 2)
    assert share_cores(3, 0, 8) == (2, 3)
    assert share_cores(8, 0, 4) == (1, 4)
    assert share_cores(4, 2, 2) == (2, 1), "what is typed holds"
    assert share_cores(4, 2, 8) == (2, 4) and share_cores(4, 16, 8) == (16, 1) and share_cores(9, 1, 4) == (1, 4)


def test_one_alone_needs_no_thread() -> None:
    with SideBySide(1) as side_by_side:
        assert (
            side_by_side.call([threading.current_thread, threading.current_thread]) == [threading.current_thread()] * 2
        )
    with SideBySide(3) as side_by_side:
        assert side_by_side.call([]) == []
        assert side_by_side.call([threading.current_thread]) == [threading.current_thread()]
        assert len(set(side_by_side.call([lambda: time.sleep(0.05) or threading.get_ident()] * 3))) == 3

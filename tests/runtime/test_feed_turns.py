"""Whose turn it is, where one camera is judged more seldom than it gives frames."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import cast

import numpy as np
import pytest

from aae_detect import Detector, Frame
from aae_detect.errors import FrameError
from aae_detect.feed_turns import FeedTurn
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.summary import Summary

PIXELS = np.zeros((2, 2, 3), np.uint8)


class ScriptedCamera:
    """A live source whose items a generator makes; it takes as long for the next one as it likes."""

    fps = 0.0

    def __init__(self, name: str, items: Iterator[Frame | Signal], live: bool = True) -> None:
        self.live = live
        self.name, self._items = name, items

    def read(self) -> Frame | Signal | None:
        return next(self._items, None)

    def close(self) -> None:
        pass


class Free:
    """A detector that costs nothing: no frame says anything to it."""

    threshold = 2.0
    bits = 16

    def __call__(self, image_bgr: np.ndarray) -> None:
        raise FrameError("nothing to see")


class Hear(Output):
    """Calls somebody with each frame and each signal."""

    def __init__(self, frame: Callable[[], None] = lambda: None, signal: Callable[[], None] = lambda: None) -> None:
        self._frame, self._signal = frame, signal

    def take(self, judged: Judged) -> bool:
        self._frame()
        return True

    def signal(self, signal: Signal) -> None:
        self._signal()

    def close(self) -> None:
        pass


def stream(name: str, items: Iterator[Frame | Signal], output: Output, most_fps: float | None = None) -> Stream:
    return Stream(ScriptedCamera(name, items), cast(Detector, Free()), [output], most_fps=most_fps)


def frame(name: str, number: int) -> Frame:
    return Frame(PIXELS, number, datetime.now(UTC), name)


def judge_beside(most_fps: float, count: int) -> list[Summary]:
    """Run a camera that always has a frame, judged so often at most, beside one that gives so many frames, each once
    its last one was judged: what holds that one up shows in how long it takes.
    """
    steady_judged, eager_judged, ended = threading.Semaphore(0), threading.Semaphore(1), threading.Event()

    def steady() -> Iterator[Frame]:
        for number in itertools.count():
            yield frame("steady", number)
            if ended.is_set():
                return
            steady_judged.acquire(timeout=0.01)  # 100 per second, and one at once where none waits any more

    def eager() -> Iterator[Frame]:
        for number in range(count):
            assert eager_judged.acquire(timeout=10), "a frame was never judged"
            yield frame("eager", number)
        ended.set()

    outputs = Hear(steady_judged.release), Hear(eager_judged.release)
    streams = [stream("steady", steady(), outputs[0], most_fps), stream("eager", eager(), outputs[1])]
    return run_loop(streams, threading.Event())


def test_a_camera_that_is_judged_seldom_holds_up_no_other() -> None:
    start = time.monotonic()
    seldom, eager = judge_beside(2.0, count=100)
    took_s = time.monotonic() - start
    assert took_s < 5, "kept waiting while the other is not due, each would take 0.1 s"
    assert (eager.frames, eager.dropped) == (100, 0)
    assert 1 <= seldom.frames <= 2 * took_s + 2


def test_at_most_so_many_a_second_from_the_first_frame_on_and_after_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    moments_s = [100.0, 100.3, 100.5, 107.0, 107.25]
    monkeypatch.setattr("aae_detect.feed_turns.perf_counter", lambda: moments_s[0])
    camera = ScriptedCamera("line", (frame("line", number) for number in itertools.count()), live=False)
    turn = FeedTurn(camera, threading.Condition(), most_fps=4.0)
    due_s = []
    while moments_s:
        assert turn.take() is not None
        due_s.append(turn.due_s)
        moments_s.pop(0)
    assert due_s == [100.25, 100.5, 100.75, 107.25, 107.5], "a little late keeps the rate, a gap begins anew"


def test_nothing_is_done_while_what_waits_is_not_due() -> None:
    rounds, was_judged = [], threading.Semaphore(0)

    def three() -> Iterator[Frame]:
        for number in range(2):
            yield frame("three", number)
            assert was_judged.acquire(timeout=10)
        yield frame("three", 2)
        time.sleep(2.0)  # with the third one not yet due for much of it

    streams = [stream("three", three(), Hear(was_judged.release), 1.0)]
    (summary,) = run_loop(streams, threading.Event(), alive=lambda: rounds.append(1))
    assert summary.frames == 3
    assert 5 <= len(rounds) < 60, "about ten looks a second, and no more"


@pytest.mark.parametrize("waiting", [False, True])
def test_the_loss_of_a_camera_that_is_judged_seldom_is_told_at_once(waiting: bool) -> None:
    lost = threading.Event()

    def camera() -> Iterator[Frame | Signal]:
        yield frame("rare", 0)
        time.sleep(0.1)
        if waiting:
            yield frame("rare", 1)  # not due for minutes
        yield Signal(True, "cable", datetime.now(UTC), "rare")
        assert lost.wait(10), "the loss was not told before the next frame was due"

    (summary,) = run_loop([stream("rare", camera(), Hear(signal=lost.set), 0.01)], threading.Event())
    assert summary.outages == 1
    assert summary.failure is None

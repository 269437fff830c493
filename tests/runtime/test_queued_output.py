import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from aae_detect.frames import Frame, Signal
from aae_detect.judged import Judged, Output
from aae_detect.queued_output import QueuedOutput


def judged(index):
    picture = np.zeros((4, 4, 3), np.uint8)
    return Judged(Frame(picture, index, datetime.now(UTC), "list"), picture, None, "", None, 1.0, {"frame": index})


SIGNAL = Signal(True, "gone", datetime.now(UTC), "list")


class Slow(Output):
    """Takes a frame only when the test lets it."""

    def __init__(self):
        self.let = threading.Semaphore(0)
        self.taken, self.threads = [], set()
        self.closed = False
        self.goes_on = True

    def take(self, judged):
        self.let.acquire()
        self.threads.add(threading.current_thread().name)
        self.taken.append(judged)
        return self.goes_on

    def signal(self, signal):
        self.taken.append(signal)

    def close(self):
        self.closed = True


def settle(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_slow_output_holds_nobody_up_and_its_misses_are_counted():
    slow = Slow()
    queued = QueuedOutput(slow, room=2)
    queued.take(judged(0))
    settle(lambda: not queued._waiting)  # it is in the output's hands
    started = time.monotonic()
    for index in range(1, 100):
        assert queued.take(judged(index))
    queued.signal(SIGNAL)
    assert time.monotonic() - started < 5
    assert queued.dropped == 97
    slow.let.release(100)
    queued.close()
    assert [getattr(item, "event", item) for item in slow.taken] == [{"frame": 0}, {"frame": 1}, {"frame": 2}, SIGNAL]
    assert slow.closed
    assert slow.threads == {"Slow"}


def test_signals_have_a_room_of_their_own_and_the_oldest_go(monkeypatch):
    monkeypatch.setattr("aae_detect.queued_output._NEWS_ROOM", 3)
    slow, said = Slow(), []
    queued = QueuedOutput(slow, room=2, say=said.append)
    queued.take(judged(0))
    settle(lambda: not queued._waiting)  # it is in the output's hands
    signals = [replace(SIGNAL, reason=str(number)) for number in range(6)]
    for number, signal in enumerate(signals):
        queued.take(judged(number + 1))
        queued.signal(signal)
    assert queued.dropped == 4 + 3
    slow.let.release(100)
    queued.close()
    frames = [item.event["frame"] for item in slow.taken if isinstance(item, Judged)]
    assert frames == [0, 1, 2], "signals take no room of theirs"
    assert [item for item in slow.taken if not isinstance(item, Judged)] == signals[3:]
    assert said == ["warning: Slow takes nothing; of 3 decisions and signals the oldest are lost"]


def test_what_nobody_wants_takes_no_room_and_is_not_missed():
    class Odd(Slow):
        def wants(self, judged):
            return judged.event["frame"] % 2 == 1

    odd = Odd()
    queued = QueuedOutput(odd, room=2)
    for index in range(6):
        assert queued.take(judged(index))
        if index == 1:
            settle(lambda: not queued._waiting)  # it is in the output's hands
    assert queued.dropped == 0
    odd.let.release(100)
    queued.close()
    assert [item.event["frame"] for item in odd.taken] == [1, 3, 5]
    assert all(item.image_bgr is not None for item in odd.taken)


def test_a_long_queue_keeps_no_pictures():
    slow = Slow()
    queued = QueuedOutput(slow, room=100, pictures=False)
    for index in range(50):
        queued.take(judged(index))
    slow.let.release(100)
    queued.close()
    assert [item.event["frame"] for item in slow.taken] == list(range(50))
    assert all(item.image_bgr is None and item.frame.image is None for item in slow.taken)


def test_an_output_that_wants_to_end_the_loop_is_heard():
    slow = Slow()
    slow.goes_on = False
    queued = QueuedOutput(slow, room=2)
    slow.let.release(100)
    assert queued.take(judged(0))  # nobody knows yet
    settle(lambda: slow.taken)
    settle(lambda: not queued.take(judged(1)))
    assert not queued.take(judged(2)), "it was heard once, and then no more"
    queued.close()


@pytest.mark.parametrize("late", [False, True])
def test_what_goes_wrong_in_the_thread_is_told_to_whoever_gives_frames(late):
    class Full(Slow):
        def take(self, judged):
            raise OSError("disk full")

    full = Full()
    queued = QueuedOutput(full, room=2)
    queued.take(judged(0))
    settle(lambda: full.closed)
    if not late:
        with pytest.raises(OSError, match="disk full"):
            queued.take(judged(1))
    with pytest.raises(OSError, match="disk full"):
        queued.close()
    queued.close()

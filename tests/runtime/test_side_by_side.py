"""Frames of several streams at once: as many as there are cores for, in order, and told by one thread."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pytest

from aae_detect import Detection, Detector, Frame
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.session import CPU, CUDA, runs_on_processor
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

    def __init__(self, detector: Detector, fails: bool = False, until: threading.Event | None = None) -> None:
        self._detector, self._fails, self._until, self._lock = detector, fails, until, threading.Lock()
        self.threshold, self.bits = detector.threshold, detector.bits
        self.now = self.most = 0
        self.began_s = self.ended_s = 0.0

    def __call__(self, image: np.ndarray) -> Detection:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.began_s = time.monotonic()
        if self._until is None:
            time.sleep(0.02)
        else:
            assert self._until.wait(30)
        self.ended_s = time.monotonic()
        with self._lock:
            self.now -= 1
        if self._fails:
            raise ValueError("a layer is broken")
        return self._detector(image)


class Keep(Output):
    """Keeps where frames come from, and which thread told of them."""

    def __init__(self, enough: int = 1_000_000) -> None:
        self.frames: list[tuple[str, int]] = []
        self.threads: set[threading.Thread] = set()
        self.has_enough = threading.Event()
        self._enough = enough

    def take(self, judged: Judged) -> bool:
        self.frames.append((judged.frame.source, judged.frame.index))
        self.threads.add(threading.current_thread())
        if len(self.frames) >= self._enough:
            self.has_enough.set()
        return True

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, provider="cpu", threads=1)


@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
def test_frames_of_several_streams_are_judged_side_by_side_and_told_in_order(detector: Detector, at_once: int) -> None:
    watched, keep = Watched(detector), Keep()
    streams = [Stream(Film(f"film {n}", 6), cast(Detector, watched), [keep]) for n in range(3)]
    summaries = run_loop(streams, threading.Event(), at_once=at_once)
    assert watched.most == min(at_once, 3)
    assert [summary.frames for summary in summaries] == [6, 6, 6]
    for name in ("film 0", "film 1", "film 2"):
        assert [index for source, index in keep.frames if source == name] == list(range(6))
    assert keep.threads == {threading.current_thread()}, "outputs and decisions know of no threads"


def test_nobody_waits_for_a_slow_one(detector: Detector) -> None:
    """Frames are told as they are judged, not round by round."""
    keep = Keep(enough=11)
    slow = Watched(detector, until=keep.has_enough)
    streams = [Stream(Film("slow", 30), cast(Detector, slow), [keep]), Stream(Film("quick", 30), detector, [keep])]
    run_loop(streams, threading.Event(), max_frames=12, at_once=2)
    assert keep.frames[:11] == [("quick", index) for index in range(11)]
    assert keep.frames[11:] == [("slow", 0)], "it is in hand when the run ends, and is waited for"


def test_so_many_frames_and_no_more(detector: Detector) -> None:
    for most in (2, 4, 7):
        streams = [Stream(Film(f"film {n}", 6), detector) for n in range(3)]
        summaries = run_loop(streams, threading.Event(), max_frames=most, at_once=3)
        assert sum(summary.frames for summary in summaries) == most


def test_whoever_has_seen_enough_loses_nothing_of_the_others(detector: Detector) -> None:
    class Enough(Keep):
        def take(self, judged: Judged) -> bool:
            return not super().take(judged)

    keep, watched = Keep(), Watched(detector)
    streams = [
        Stream(Film("enough", 6), detector, [Enough()]),
        *(Stream(Film(f"film {n}", 6), cast(Detector, watched), [keep]) for n in range(2)),
    ]
    summaries = run_loop(streams, threading.Event(), at_once=3)
    assert sum(summary.frames for summary in summaries[1:]) == len(keep.frames) > 0


@pytest.mark.parametrize("broken", [0, 1])
def test_a_detector_that_breaks_ends_the_run_and_costs_nobody_else_a_verdict(detector: Detector, broken: int) -> None:
    keep = Keep(enough=1)
    breaks = cast(Detector, Watched(detector, fails=True, until=keep.has_enough))
    streams = [Stream(Film(f"film {n}", 6), breaks if n == broken else detector, [keep]) for n in range(2)]
    with pytest.raises(ValueError, match="a layer is broken"):
        run_loop(streams, threading.Event(), at_once=2)
    assert keep.frames[0] == (f"film {1 - broken}", 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("judge")]


def test_who_watches_the_process_hears_nothing_while_a_frame_is_stuck(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_detect.loop._STUCK_S", 0.2)
    heard, freed = list[float](), threading.Event()
    stuck = Watched(detector, until=freed)
    timer = threading.Timer(2.0, freed.set)
    timer.start()
    streams = [Stream(Film("stuck", 1), cast(Detector, stuck)), Stream(Film("other", 100), detector)]
    run_loop(streams, threading.Event(), alive=lambda: heard.append(time.monotonic()), at_once=2)
    timer.join()
    assert any(at_s <= stuck.began_s for at_s in heard)
    assert not any(stuck.began_s + 0.7 < at_s < stuck.ended_s for at_s in heard)


def test_cores_are_shared_out() -> None:
    def shared(sources: int, models: int, threads: int | Literal["auto"], cores: int) -> tuple[int | str, int]:
        return share_cores(sources, models, threads, "cpu", cores)

    assert shared(1, 1, 0, 2) == (0, 1) and shared(1, 1, "auto", 2) == ("auto", 1), "one has them all"
    assert shared(4, 1, 0, 2) == shared(2, 2, "auto", 2) == (1, 2)
    assert shared(2, 1, 0, 8) == (7, 2), "one pool serves both, beside the two that ask"
    assert shared(2, 2, 0, 8) == (4, 2), "two pools"
    assert shared(8, 1, 0, 4) == (1, 4)
    assert shared(4, 1, 2, 8) == (2, 1) and shared(4, 1, 1, 8) == (1, 1), "what is typed holds for all"


def test_the_processor_alone_is_asked_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_on_processor("cpu") and runs_on_processor("auto") and runs_on_processor("CPUExecutionProvider")
    monkeypatch.setattr("aae_detect.session.available_providers", lambda: [CUDA, CPU])
    assert runs_on_processor("cpu") and not runs_on_processor("auto") and not runs_on_processor("cuda")
    assert share_cores(4, 1, 0, "auto", 8) == (0, 1) and share_cores(4, 1, 0, "cpu", 8) == (5, 4)


def test_one_alone_is_called_by_who_asks_and_others_by_others() -> None:
    changed = threading.Condition()
    with SideBySide[int](1, changed) as alone:
        assert alone.room == 1 and alone.oldest_s == 0.0
        alone.begin(7, threading.get_ident)
        assert alone.room == 0 and list(alone.busy) == [7]
        ((number, called),) = alone.take_done()
        assert (number, called.result(), alone.room, alone.take_done()) == (7, threading.get_ident(), 1, [])
    with SideBySide[int](3, changed) as three:
        for number in range(3):
            three.begin(number, lambda: time.sleep(0.05) or threading.get_ident())
        assert three.room == 0
        found = []
        while three.busy:
            three.wait()
            found += three.take_done()
        assert sorted(number for number, _ in found) == [0, 1, 2]
        assert len({called.result() for _, called in found}) == 3 and not three.busy

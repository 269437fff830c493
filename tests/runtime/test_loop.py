"""The frame loop, driven by a public FrameSource of our own: no camera, no patching."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aae_detect import Detector, Frame, FrameSource, SourceError, Verdict
from aae_detect.loop import Judged, run_loop, stopping

GRAY = np.full((64, 64, 3), 127, np.uint8)
WHITE = np.full((64, 64, 3), 255, np.uint8)


class ListSource:
    """Gives what it was given; a None is an unreadable picture, an exception is raised."""

    name, live, fps = "list", False, 0.0

    def __init__(self, *items: np.ndarray | SourceError | None) -> None:
        self._items = list(items)
        self.index = -1
        self.closed = False

    def read(self) -> Frame | None:
        self.index += 1
        if self.index >= len(self._items):
            return None
        item = self._items[self.index]
        if isinstance(item, SourceError):
            raise item
        problem = "half of it is missing" if item is None else ""
        return Frame(item, self.index, datetime.now(UTC), self.name, problem)

    def close(self) -> None:
        self.closed = True


class Keep:
    def __init__(self, stop_after: int = 1_000_000) -> None:
        self.judged: list[Judged] = []
        self.closed = False
        self._stop_after = stop_after

    def take(self, judged: Judged) -> bool:
        self.judged.append(judged)
        return len(self.judged) < self._stop_after

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, provider="cpu", threads=1)


def test_the_fake_is_a_frame_source() -> None:
    assert isinstance(ListSource(), FrameSource)


def test_all_ok(detector: Detector) -> None:
    keep = Keep()
    summary = run_loop(detector, ListSource(GRAY, GRAY), [keep], threading.Event())
    assert summary.exit_code == 0
    assert [judged.verdict for judged in keep.judged] == [Verdict.OK, Verdict.OK]
    assert keep.closed


def test_one_ng_is_exit_code_3_and_every_output_gets_every_frame(detector: Detector) -> None:
    first, second = Keep(), Keep()
    summary = run_loop(detector, ListSource(GRAY, WHITE, GRAY), [first, second], threading.Event())
    assert summary.exit_code == 3
    assert [j.event["verdict"] for j in first.judged] == ["OK", "NG", "OK"]
    assert [j.frame.index for j in second.judged] == [0, 1, 2]


def test_an_unreadable_frame_is_unknown_and_the_run_goes_on(detector: Detector) -> None:
    keep = Keep()
    summary = run_loop(detector, ListSource(GRAY, None, GRAY), [keep], threading.Event())
    assert summary.exit_code == 4
    assert [j.verdict for j in keep.judged] == [Verdict.OK, Verdict.UNKNOWN, Verdict.OK]
    assert keep.judged[1].event["reason"] == "half of it is missing"
    assert keep.judged[1].event["score"] is None


def test_ng_outranks_unreadable(detector: Detector) -> None:
    assert run_loop(detector, ListSource(None, WHITE), [], threading.Event()).exit_code == 3


def test_a_frame_of_the_wrong_kind_is_unknown_not_a_crash(detector: Detector) -> None:
    keep = Keep()
    summary = run_loop(detector, ListSource(np.zeros((4, 4), np.float32)), [keep], threading.Event())
    assert "float32" in keep.judged[0].reason
    assert summary.exit_code == 4


def test_a_source_that_fails_ends_the_run_with_what_was_judged(detector: Detector) -> None:
    keep = Keep()
    summary = run_loop(detector, ListSource(WHITE, SourceError("cable gone"), GRAY), [keep], threading.Event())
    assert (summary.exit_code, summary.frames) == (4, 1)
    assert str(summary.failure) == "cable gone"
    assert keep.closed


def test_a_source_without_frames_has_failed(detector: Detector) -> None:
    summary = run_loop(detector, ListSource(), [], threading.Event())
    assert summary.exit_code == 4
    assert "no frame" in str(summary.failure)


def test_max_frames(detector: Detector) -> None:
    source = ListSource(*[GRAY] * 10)
    assert run_loop(detector, source, [], threading.Event(), max_frames=3).frames == 3
    assert source.index == 2  # the fourth was never asked for


def test_an_output_may_end_the_run(detector: Detector) -> None:
    assert run_loop(detector, ListSource(*[GRAY] * 10), [Keep(stop_after=2)], threading.Event()).frames == 2


def test_outputs_are_closed_when_one_of_them_fails(detector: Detector) -> None:
    class Full(Keep):
        def take(self, judged: Judged) -> bool:
            raise OSError("disk full")

    keep, full = Keep(), Full()
    with pytest.raises(OSError, match="disk full"):
        run_loop(detector, ListSource(GRAY), [keep, full], threading.Event())
    assert keep.closed
    assert full.closed


def test_stop_finishes_the_frame_in_hand(detector: Detector) -> None:
    stop = threading.Event()

    class Stopper(Keep):
        def take(self, judged: Judged) -> bool:
            stop.set()
            return super().take(judged)

    stopper = Stopper()
    summary = run_loop(detector, ListSource(*[GRAY] * 10), [stopper], stop)
    assert summary.frames == len(stopper.judged) == 1


def test_stop_wakes_a_read_that_waits_for_a_camera(detector: Detector) -> None:
    class Stalled(ListSource):
        live = True

        def __init__(self) -> None:
            super().__init__()
            self._ended = threading.Event()

        def read(self) -> Frame | None:
            assert self._ended.wait(10), "close was never called"
            return None

        def close(self) -> None:
            self._ended.set()

    source, stop = Stalled(), threading.Event()
    end = stopping(source, stop)
    threading.Timer(0.1, stop.set).start()
    summary = run_loop(detector, source, [], stop)
    end()
    assert (summary.frames, summary.exit_code) == (0, 0)


def test_the_event_holds_the_contract(detector: Detector) -> None:
    keep = Keep()
    frame = GRAY.copy()
    frame[20:24, 36:40] = 255
    run_loop(detector, ListSource(frame), [keep], threading.Event())
    event = keep.judged[0].event
    assert list(event) == ["type", "frame", "time", "source", "score", "threshold", "verdict", "regions", "latency_ms"]
    assert (event["type"], event["frame"], event["source"], event["threshold"]) == ("frame", 0, "list", 2.0)
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert list(event["regions"][0]) == ["x", "y", "width", "height", "area_px", "peak"]
    assert list(event["latency_ms"]) == ["preprocess", "inference", "postprocess", "total"]

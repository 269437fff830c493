"""The frame loop, driven by a public FrameSource of our own: no camera, no patching."""

import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from aae_detect import DemoCamera, Detection, Detector, Frame, FrameSource, SourceError, Verdict
from aae_detect.events import signal_event
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.last_words import exit_code, last_words
from aae_detect.loop import Stream
from aae_detect.loop import run_loop as run_streams
from aae_detect.summary import Summary

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


class Keep(Output):
    def __init__(self, stop_after: int = 1_000_000) -> None:
        self.judged: list[Judged] = []
        self.closed = False
        self._stop_after = stop_after

    def take(self, judged: Judged) -> bool:
        self.judged.append(judged)
        return len(self.judged) < self._stop_after

    def close(self) -> None:
        self.closed = True


def run_loop(
    detector: Detector,
    source: FrameSource,
    outputs: list[Output],
    stop: threading.Event,
    max_frames: int | None = None,
) -> Summary:
    (summary,) = run_streams([Stream(source, detector, outputs)], stop, max_frames)
    return summary


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


def test_all_streams_together_have_the_code_of_one_with_all_their_frames() -> None:
    ok, ng, unknown = (Summary(Counter({verdict: 1})) for verdict in (Verdict.OK, Verdict.NG, Verdict.UNKNOWN))
    unreadable = Summary(Counter({Verdict.UNKNOWN: 1}), unreadable=1)
    failed = Summary(failure=SourceError("cable gone"))
    codes = [exit_code([ok, *more]) for more in ([], [unknown], [unknown, unreadable], [unreadable, ng], [ng, failed])]
    assert codes == [0, 1, 4, 3, 4]


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


@pytest.mark.parametrize(("max_frames", "stop_after"), [(1, 9), (None, 1)])
def test_a_source_that_had_no_turn_before_the_end_has_not_failed(
    detector: Detector, max_frames: int | None, stop_after: int
) -> None:
    streams = [Stream(ListSource(GRAY, GRAY), detector, [Keep(stop_after)]) for _ in range(2)]
    summaries = run_streams(streams, threading.Event(), max_frames)
    assert [(summary.frames, summary.failure) for summary in summaries] == [(1, None), (0, None)]


def test_an_empty_source_has_failed_also_where_the_run_ends_early(detector: Detector) -> None:
    streams = [Stream(source, detector) for source in (ListSource(), ListSource(GRAY, GRAY))]
    empty, other = run_streams(streams, threading.Event(), max_frames=1)
    assert "no frame" in str(empty.failure)
    assert other.failure is None


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
        close_wakes_read = True

        def __init__(self) -> None:
            super().__init__()
            self._ended = threading.Event()

        def read(self) -> Frame | None:
            assert self._ended.wait(10), "close was never called"
            return None

        def close(self) -> None:
            self._ended.set()

    source, stop = Stalled(), threading.Event()
    threading.Timer(0.1, stop.set).start()
    summary = run_loop(detector, source, [], stop)
    assert (summary.frames, summary.exit_code) == (0, 0)


def test_the_event_holds_the_contract(detector: Detector) -> None:
    keep = Keep()
    frame = GRAY.copy()
    frame[20:24, 36:40] = 255
    run_loop(detector, ListSource(frame), [keep], threading.Event())
    event = keep.judged[0].event
    keys = ["type", "frame", "time", "source", "score", "p_value", "threshold", "verdict", "regions", "latency_ms"]
    assert list(event) == [*keys, "age_ms"]
    assert (event["type"], event["frame"], event["source"], event["threshold"]) == ("frame", 0, "list", 2.0)
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert list(event["regions"][0]) == ["x", "y", "width", "height", "area_px", "peak"]
    assert list(event["latency_ms"]) == ["preprocess", "inference", "postprocess", "total"]


class Camera(DemoCamera):
    """A live camera of its own thread, 160x120."""

    def __init__(self, name: str, fps: float = 100) -> None:
        super().__init__(size_hw=(120, 160), fps=fps, live=True)
        self.name = name


class Slow:
    """A detector that takes its time."""

    def __init__(self, detector: Detector, seconds: float) -> None:
        self._detector, self._seconds = detector, seconds
        self.threshold, self.bits = detector.threshold, detector.bits

    def __call__(self, image: np.ndarray) -> Detection:
        time.sleep(self._seconds)
        return self._detector(image)


def test_streams_that_are_too_many_share_the_time_fairly(detector: Detector) -> None:
    keep = Keep(stop_after=160)
    slow = cast(Detector, Slow(detector, 0.005))
    # One asks for ten times as much as the others.
    streams = [Stream(Camera(f"camera {n}", 200 if n == 0 else 20), slow, [keep]) for n in range(8)]
    summaries = run_streams(streams, threading.Event())
    judged = [summary.frames for summary in summaries]
    assert sum(judged) == 160
    assert min(judged) >= 160 / 8 / 2
    assert {j.frame.source for j in keep.judged} == {f"camera {n}" for n in range(8)}


def test_a_file_beside_a_camera_keeps_all_its_frames(detector: Detector) -> None:
    class Both(Keep):
        def take(self, judged: Judged) -> bool:
            super().take(judged)
            return len(file.judged) < 50 or len(camera.judged) < 10

    file, camera = Keep(), Both()
    source = ListSource(*[GRAY] * 50)
    slow = cast(Detector, Slow(detector, 0.002))
    run_streams([Stream(source, slow, [file]), Stream(Camera("camera"), slow, [camera])], threading.Event())
    assert [j.frame.index for j in file.judged] == list(range(50))
    assert len(camera.judged) >= 10


def test_every_so_many_th_frame(detector: Detector) -> None:
    keep = Keep()
    run_streams([Stream(ListSource(*[GRAY] * 10), detector, [keep], every=4)], threading.Event())
    assert [j.frame.index for j in keep.judged] == [0, 4, 8]


def test_at_most_so_many_frames_per_second(detector: Detector) -> None:
    start = time.monotonic()
    (summary,) = run_streams([Stream(ListSource(*[GRAY] * 11), detector, most_fps=20)], threading.Event())
    assert summary.frames == 11
    assert 0.5 <= time.monotonic() - start < 2.0


def test_last_words_on_drops_do_not_blame_the_judging_alone(detector: Detector) -> None:
    seldom = Stream(ListSource(), detector, most_fps=2)
    for stream, why in ((seldom, ", or faster than the 2 per second asked for"), (Stream(ListSource(), detector), "")):
        words = list(last_words([stream], [Summary(dropped=3)]))
        assert f"3 frames were dropped: they came while others were judged{why}" in words


def test_a_lost_camera_is_told_to_outputs_and_counted_and_the_run_goes_on(detector: Detector) -> None:
    class Lossy(ListSource):
        live = True

        def read(self) -> Frame | Signal | None:
            time.sleep(0.05)  # each is judged before the next comes
            frame = super().read()
            now = datetime.now(UTC)
            if self.index in (1, 2):
                return Signal(self.index == 1, "cable", now, self.name, 0.5)
            return frame

    class Told(Keep):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[Signal] = []

        def signal(self, signal: Signal) -> None:
            self.told.append(signal)

    told = Told()
    summary = run_loop(detector, Lossy(*[GRAY] * 4), [told], threading.Event())
    assert [signal.lost for signal in told.told] == [True, False]
    assert [j.frame.index for j in told.judged] == [0, 3]
    assert (summary.outages, summary.frames, summary.exit_code) == (1, 2, 0)
    event = signal_event(told.told[0])
    assert (event["type"], event["state"], event["reason"]) == ("signal", "lost", "cable")
    assert signal_event(told.told[1])["outage_s"] == 0.5


def test_the_age_of_a_frame_counts_from_its_read(detector: Detector) -> None:
    keep = Keep()
    slow = cast(Detector, Slow(detector, 0.05))
    began_s = time.perf_counter()
    run_loop(slow, ListSource(GRAY), [keep], threading.Event())
    assert 50 <= keep.judged[0].age_ms <= 1e3 * (time.perf_counter() - began_s)
    assert keep.judged[0].event["age_ms"] == round(keep.judged[0].age_ms, 3)

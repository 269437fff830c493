"""The frame loop: sources in, verdicts out to whoever wants them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from aae_detect.decision.decider import Decider
from aae_detect.detection import Verdict
from aae_detect.detector import Detector
from aae_detect.drift import DriftWatch
from aae_detect.errors import FrameError, SourceError
from aae_detect.events import frame_event, unknown_event
from aae_detect.feed import Feed, FileFeed, LiveFeed
from aae_detect.frame_checks import FrameChecks
from aae_detect.frames import Frame, FrameSource, Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import ModelChange, News
from aae_detect.preprocess import to_bgr8

_RATE_FRAMES = 30
"""Frames over which the frame rate is averaged: about a second of video."""

_KEPT_TIMES = 10_000
"""Times kept for the summary, so that a year of frames takes no more memory than an hour."""

_LOOK_S = 0.1
"""How long a wish to stop may go unnoticed while no camera gives anything."""


@dataclass(frozen=True)
class Successor:
    """Who judges a stream from the next frame on; nobody else where a new model was refused."""

    change: ModelChange
    detector: Detector | None = None
    checks: FrameChecks | None = None
    drift: DriftWatch | None = None


@dataclass(eq=False)
class Stream:
    """One source with who judges it and who wants to know."""

    source: FrameSource
    detector: Detector
    outputs: Sequence[Output] = ()
    """Take each judged frame, in order; one may stand in several streams."""

    checks: FrameChecks | None = None
    """Which frames say nothing; None judges all of them."""

    bits: int | None = None
    """Depth of uint16 frames, as the detector was loaded with."""

    every: int = 1
    """Judge each so-many-th frame."""

    most_fps: float | None = None
    """Judge at most so many frames per second."""

    decider: Decider | None = None
    """What the line is told; None where nobody asked."""

    drift: DriftWatch | None = None
    """Watches parts and light; None where nobody knows what is usual."""

    successor: Successor | None = None
    """Left by another thread, and taken between two frames."""


@dataclass
class Summary:
    """What happened to one stream, or to all, for the last words of a run."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    unreadable: int = 0
    dropped: int = 0
    """Frames that came while others were judged."""
    outages: int = 0
    """Times that the camera was lost."""
    failure: SourceError | None = None
    """Why the source ended before its time."""
    seconds: float = 0.0
    total_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))
    age_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))

    @property
    def frames(self) -> int:
        """Frames that were judged or could not be."""
        return self.verdicts.total()

    @property
    def exit_code(self) -> int:
        """0 every frame OK; 3 something was NG; 4 the source failed; 1 a frame could not be judged."""
        if self.failure is not None:
            return self.failure.exit_code
        if self.verdicts[Verdict.NG]:
            return 3
        if self.unreadable:
            return SourceError.exit_code
        return 1 if self.verdicts[Verdict.UNKNOWN] else 0


class _Turn:
    """One stream while the loop runs: its feed, when its next turn is due, and what happened."""

    def __init__(self, stream: Stream, changed: threading.Condition) -> None:
        self.stream = stream
        self.summary = Summary()
        self.feed: Feed = LiveFeed(stream.source, changed) if stream.source.live else FileFeed(stream.source)
        self.due = 0.0
        self._next_index = 0
        self._recent: deque[float] = deque(maxlen=_RATE_FRAMES)

    def take(self) -> Frame | Signal | None:
        """Take what is next, or None; a source that failed has ended."""
        try:
            item = self.feed.take()
        except SourceError as error:
            self.summary.failure = error
            return None
        if isinstance(item, Frame):
            if item.index < self._next_index:
                return None
            self._next_index = item.index + self.stream.every
            now = perf_counter()
            self._recent.append(now)
            if self.stream.most_fps is not None:
                self.due = max(self.due + 1 / self.stream.most_fps, now)
        return item

    @property
    def fps(self) -> float | None:
        """Frames per second, lately."""
        span = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / span if span > 0 else None


def run_loop(
    streams: Sequence[Stream],
    stop: threading.Event,
    max_frames: int | None = None,
    alive: Callable[[], None] = lambda: None,
) -> list[Summary]:
    """Judge frames until all sources end, an output says so, `stop` is set, or `max_frames` were judged in all.

    Streams take turns, a frame each, so that none starves where there is more to do than time. Sources and outputs are
    closed in any case.

    Args:
        streams: What to judge, with whom, and who wants to know.
        stop: Set from a signal handler or another thread; the frame in hand is finished first.
        max_frames: Ends after so many.
        alive: Called with every frame, and several times a second while none comes.

    Returns:
        What happened, stream by stream.
    """
    start = perf_counter()
    changed = threading.Condition()
    turns = [_Turn(stream, changed) for stream in streams]
    outputs = list({id(output): output for stream in streams for output in stream.outputs}.values())
    with ExitStack() as closing:  # closes every one, also where one of them fails
        for output in outputs:
            closing.callback(output.close)
        for turn in turns:
            closing.callback(turn.feed.close)
        _judge_in_turn(turns, changed, stop, max_frames, alive)
        for turn in turns:
            if turn.stream.decider is not None:
                _tell(turn.stream, turn.stream.decider.finish())
    for turn in turns:
        _sum_up(turn, perf_counter() - start, stop.is_set())
    return [turn.summary for turn in turns]


def _judge_in_turn(
    turns: Sequence[_Turn],
    changed: threading.Condition,
    stop: threading.Event,
    max_frames: int | None,
    alive: Callable[[], None],
) -> None:
    last, left = -1, max_frames
    while not stop.is_set() and left != 0:
        alive()
        number = _next_turn(turns, last, changed)
        if number is None:
            if all(turn.feed.ended for turn in turns):
                return
            continue
        last, turn = number, turns[number]
        item = turn.take()
        if isinstance(item, Signal):
            turn.summary.outages += item.lost
            for output in turn.stream.outputs:
                output.signal(item)
        elif item is not None:
            _take_successor(turn.stream)
            judged = _judge(turn.stream, item, turn.fps)
            _count(turn.summary, judged)
            left = None if left is None else left - 1
            goes_on = all([output.take(judged) for output in turn.stream.outputs])  # a list: each gets the frame
            _tell(turn.stream, _news_of(turn.stream, judged))
            if not goes_on:
                return


def _take_successor(stream: Stream) -> None:
    successor, stream.successor = stream.successor, None
    if successor is None:
        return
    if successor.detector is not None:
        stream.detector, stream.checks, stream.drift = successor.detector, successor.checks, successor.drift
    _tell(stream, [successor.change])


def _news_of(stream: Stream, judged: Judged) -> list[News]:
    """Return what a frame decides, and what drifts."""
    news: list[News] = []
    if stream.decider is not None:
        news += stream.decider.take(judged)
    detection, frame = judged.detection, judged.frame
    # Accepted frames only: many defective parts are no other parts.
    if detection is not None and detection.verdict is Verdict.OK and stream.drift is not None:
        seen = stream.checks.seen if stream.checks is not None else None
        drift = stream.drift.take(detection.score, seen, frame.source, frame.captured_at) if seen is not None else None
        news += [] if drift is None else [drift]
    return news


def _tell(stream: Stream, news: Sequence[News]) -> None:
    for item in news:
        for output in stream.outputs:
            output.tell(item)


def _next_turn(turns: Sequence[_Turn], last: int, changed: threading.Condition) -> int | None:
    """Choose the stream that has something and whose turn is longest ago, or wait a moment for one."""
    order = [(last + 1 + step) % len(turns) for step in range(len(turns))]
    with changed:
        ready = [number for number in order if turns[number].feed.ready]
        if not ready:
            if not all(turn.feed.ended for turn in turns):
                changed.wait(_LOOK_S)
            return None
    now = perf_counter()
    due = [number for number in ready if turns[number].due <= now]
    if not due:
        time.sleep(min(_LOOK_S, min(turns[number].due for number in ready) - now))
        return None
    return due[0]


def _judge(stream: Stream, frame: Frame, fps: float | None) -> Judged:
    """Judge one frame; one that says nothing is UNKNOWN, never an end to the run."""
    try:
        if frame.image is None:
            raise FrameError(frame.problem or "the source gave no picture")
        image_bgr = to_bgr8(frame.image, stream.bits)
        detection = stream.detector(image_bgr)
    except FrameError as error:
        return _unknown(stream, frame, None, str(error), fps)
    if stream.checks is not None and (
        problem := stream.checks.find_problem(frame.image, detection.input_bgr, frame.read_ns * 1e-9)
    ):
        return _unknown(stream, frame, image_bgr, problem, fps)
    age_ms = _age_ms(frame)
    event = frame_event(frame, detection, age_ms)
    return Judged(frame, image_bgr, detection, "", fps, age_ms, event, stream.detector)


def _unknown(
    stream: Stream, frame: Frame, image_bgr: NDArray[np.uint8] | None, reason: str, fps: float | None
) -> Judged:
    age_ms = _age_ms(frame)
    event = unknown_event(frame, stream.detector.threshold, reason, age_ms)
    return Judged(frame, image_bgr, None, reason, fps, age_ms, event, stream.detector)


def _age_ms(frame: Frame) -> float:
    return (time.monotonic_ns() - frame.read_ns) / 1e6


def _count(summary: Summary, judged: Judged) -> None:
    summary.verdicts[judged.verdict] += 1
    summary.unreadable += judged.image_bgr is None
    summary.age_ms.append(judged.age_ms)
    if judged.detection is not None:
        summary.total_ms.append(judged.detection.latency_ms.total)


def _sum_up(turn: _Turn, seconds: float, stopped: bool) -> None:
    summary = turn.summary
    summary.seconds, summary.dropped = seconds, turn.feed.dropped
    if summary.failure is None and summary.frames == 0 and not stopped:
        summary.failure = SourceError(f"{turn.stream.source.name} gave no frame at all")

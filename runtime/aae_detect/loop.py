"""The frame loop: sources in, verdicts out to whoever wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from aae_detect.decision.decider import Decider
from aae_detect.detection import Verdict
from aae_detect.detector import Detector
from aae_detect.drift import Drift, DriftWatch
from aae_detect.errors import SourceError
from aae_detect.feed_turns import FeedTurn, next_turns
from aae_detect.frame_checks import FrameChecks
from aae_detect.frames import Frame, FrameSource, Signal
from aae_detect.judged import Judged, Output
from aae_detect.judging import judge
from aae_detect.news import ModelChange, News
from aae_detect.side_by_side import SideBySide
from aae_detect.summary import Summary

_STUCK_S = 10.0
"""Whoever watches this process is not told that it lives while a frame takes longer than this."""


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

    every: int = 1
    """Judge each so-many-th frame."""

    most_fps: float | None = None
    """Judge at most so many frames per second."""

    decider: Decider | None = None
    """What the line is told; None where nobody asked."""

    drift: DriftWatch | None = None
    """Watches parts and light; None where nobody knows what is usual."""

    successor: Successor | None = None
    """Left by another thread, and taken between two frames, both under `changing`."""

    changing: threading.Lock = field(default_factory=threading.Lock)
    """Taking is reading and clearing: what comes between the two would be lost."""


@dataclass(eq=False)
class _Running:
    """A stream while the loop runs, and what happened to it."""

    stream: Stream
    turn: FeedTurn
    summary: Summary = field(default_factory=Summary)


def run_loop(
    streams: Sequence[Stream],
    stop: threading.Event,
    max_frames: int | None = None,
    alive: Callable[[], None] = lambda: None,
    at_once: int = 1,
) -> list[Summary]:
    """Judge frames until all sources end, an output says so, `stop` is set, or `max_frames` were judged in all.

    Streams take turns, a frame each, so that none starves where there is more to do than time. Frames of several
    streams may be judged side by side; everything else, outputs and decisions above all, happens in this thread, one
    frame after the other. Sources and outputs are closed in any case.

    Args:
        streams: What to judge, with whom, and who wants to know.
        stop: Set from a signal handler or another thread; the frame in hand is finished first.
        max_frames: Ends after so many.
        alive: Called with every frame, and several times a second while none comes.
        at_once: How many frames may be judged side by side, each of another stream.

    Returns:
        What happened, stream by stream.
    """
    start = perf_counter()
    changed = threading.Condition()
    running = [_Running(each, FeedTurn(each.source, changed, each.every, each.most_fps)) for each in streams]
    outputs = list({id(output): output for stream in streams for output in stream.outputs}.values())
    with ExitStack() as closing:  # closes every one, also where one of them fails
        for output in outputs:
            closing.callback(output.close)
        for each in running:
            closing.callback(each.turn.feed.close)
        side_by_side = closing.enter_context(SideBySide[Judged](min(at_once, len(streams)), changed))
        _judge_in_turn(running, changed, stop, max_frames, alive, side_by_side)
        ended = [each.turn.feed.ended for each in running]  # asked now, as closing ends them all
        for stream in streams:
            if stream.decider is not None:
                _tell(stream, stream.decider.finish())
    for each, by_itself in zip(running, ended, strict=True):
        _sum_up(each, perf_counter() - start, by_itself and not stop.is_set())
    return [each.summary for each in running]


def _judge_in_turn(
    running: Sequence[_Running],
    changed: threading.Condition,
    stop: threading.Event,
    max_frames: int | None,
    alive: Callable[[], None],
    side_by_side: SideBySide[Judged],
) -> None:
    turns = [each.turn for each in running]
    last, left, goes_on = -1, max_frames, True
    while goes_on and not stop.is_set() and left != 0:
        if side_by_side.oldest_s < _STUCK_S:
            alive()
        for number, each in enumerate(running):  # also for cameras that give nothing: the line waits for an answer
            if each.stream.decider is not None and number not in side_by_side.busy:
                _tell(each.stream, each.stream.decider.tick(time.monotonic()))
        room = side_by_side.room if left is None else min(side_by_side.room, left)
        numbers = next_turns(turns, last, changed, room, side_by_side.busy, lambda: side_by_side.some_done)
        for number in numbers:
            last, each = number, running[number]
            if (frame := _next_frame(each)) is not None:
                side_by_side.begin(number, partial(_judge, each, frame))
                left = None if left is None else left - 1
        goes_on = _tell_judged(running, side_by_side.take_done())
        if not numbers and not side_by_side.busy and all(turn.feed.ended for turn in turns):
            return
    while side_by_side.busy:  # what is in hand is finished
        side_by_side.wait()
        _tell_judged(running, side_by_side.take_done())


def _tell_judged(running: Sequence[_Running], done: Sequence[tuple[int, Future[Judged]]]) -> bool:
    """Tell what was judged; returns whether all who were told want more. One that broke holds back no other."""
    goes_on = True
    for each, called in ((running[number], called) for number, called in done):
        if called.exception() is not None:
            continue
        judged = called.result()
        each.summary.count(judged)
        goes_on &= all([output.take(judged) for output in each.stream.outputs])  # a list: each gets the frame
        _tell(each.stream, _news_of(each.stream, judged))
    for _, called in done:
        called.result()  # raises what a detector raised
    return goes_on


def _next_frame(running: _Running) -> Frame | None:
    """Take what a stream has; what is no frame is told at once."""
    stream, turn = running.stream, running.turn
    item = turn.take()
    if isinstance(item, Signal):
        running.summary.outages += item.lost
        for output in stream.outputs:
            output.signal(item)
        _tell_of_camera(stream, item.lost)
    elif item is not None:
        _take_successor(stream)
        return item
    elif turn.failure is not None:
        running.summary.failure = turn.failure
        _tell_of_camera(stream, lost=True)
    return None


def _judge(running: _Running, frame: Frame) -> Judged:
    return judge(frame, running.stream.detector, running.stream.checks, running.turn.fps)


def _tell_of_camera(stream: Stream, lost: bool) -> None:
    """Tell what is decided by the camera's loss or return."""
    if stream.decider is not None:
        hear = stream.decider.lose if lost else stream.decider.regain
        _tell(stream, hear(time.monotonic()))


def _take_successor(stream: Stream) -> None:
    """Judge by the successor from now on, and tell; advice that the former watch gave is over with it."""
    with stream.changing:
        successor, stream.successor = stream.successor, None
    if successor is None:
        return
    news: list[News] = [successor.change]
    if successor.detector is not None:
        if stream.drift is not None and stream.drift.advice != "none":  # the new watch will not tell: it begins there
            news.append(Drift(successor.change.source, "none", successor.change.at, 0.0, 0.0))
        stream.detector, stream.checks, stream.drift = successor.detector, successor.checks, successor.drift
    _tell(stream, news)


def _news_of(stream: Stream, judged: Judged) -> list[News]:
    """Return what a frame decides, and what drifts."""
    news: list[News] = []
    if stream.decider is not None:
        news += stream.decider.take(judged)
    detection, frame = judged.detection, judged.frame
    # Accepted frames only: many defective parts are no other parts.
    if detection is not None and detection.verdict is Verdict.OK and stream.drift is not None:
        seen = stream.checks.seen if stream.checks is not None else None
        if seen is not None:
            drift = stream.drift.take(detection.score, seen, frame.source, frame.captured_at, frame.read_ns)
            news += [] if drift is None else [drift]
    return news


def _tell(stream: Stream, news: Sequence[News]) -> None:
    for item in news:
        for output in stream.outputs:
            output.tell(item)


def _sum_up(running: _Running, seconds: float, ended: bool) -> None:
    """Note what is known at the end; a source that the run did not wait for may have had no turn, and is no failure."""
    summary = running.summary
    summary.seconds, summary.dropped = seconds, running.turn.feed.dropped
    if summary.failure is None and summary.frames == 0 and ended:
        summary.failure = SourceError(f"{running.stream.source.name} gave no frame at all")

"""The frame loop: a source in, verdicts out to whoever wants them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aae_detect.detection import Detection, Verdict
from aae_detect.detector import Detector
from aae_detect.errors import FrameError, SourceError
from aae_detect.events import frame_event, unknown_event
from aae_detect.frames import Frame, FrameSource
from aae_detect.preprocess import to_bgr8

_RATE_FRAMES = 30
"""Frames over which the frame rate is averaged: about a second of video."""

_KEPT_TIMES = 10_000
"""Times kept for the summary, so that a year of frames takes no more memory than an hour."""


@dataclass(frozen=True)
class Judged:
    """A frame with all that is known of it, as outputs get it."""

    frame: Frame
    image_bgr: NDArray[np.uint8] | None
    """The frame as HxWx3 uint8; None where it could not be read."""

    detection: Detection | None
    """None where the frame could not be judged."""

    reason: str
    """Why it could not be judged; empty otherwise."""

    fps: float | None
    """Frames judged per second, over the last second or so."""

    event: dict[str, Any]
    """The frame's JSON line."""

    @property
    def verdict(self) -> Verdict:
        """The detection's verdict; UNKNOWN without one."""
        return self.detection.verdict if self.detection else Verdict.UNKNOWN


class Output(Protocol):
    """Something that takes judged frames: a file, a window, a folder."""

    def take(self, judged: Judged) -> bool:
        """Use the frame; return False to end the loop, as a window does when its user quits."""

    def close(self) -> None:
        """Finish what was begun: a video plays only once it is closed."""


@dataclass
class Summary:
    """What happened, for the last words of a run."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    unreadable: int = 0
    failure: SourceError | None = None
    """Why the source ended before its time."""
    seconds: float = 0.0
    total_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))

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


def run_loop(
    detector: Detector,
    source: FrameSource,
    outputs: Sequence[Output],
    stop: threading.Event,
    max_frames: int | None = None,
    bits: int | None = None,
) -> Summary:
    """Judge frames until the source ends, an output says so, `stop` is set, or `max_frames` were judged.

    Outputs are closed in any case; the source is left to the caller.

    Args:
        detector: Judges.
        source: Gives frames.
        outputs: Take each judged frame, in order.
        stop: Set from a signal handler or another thread; the frame in hand is finished first.
        max_frames: Ends after so many.
        bits: Depth of uint16 frames, as the detector was loaded with.
    """
    summary = Summary()
    start = perf_counter()
    recent: deque[float] = deque(maxlen=_RATE_FRAMES)
    try:
        while not stop.is_set() and (max_frames is None or summary.frames < max_frames):
            try:
                frame = source.read()
            except SourceError as error:
                summary.failure = error
                break
            if frame is None:
                break
            recent.append(perf_counter())
            judged = _judge(detector, frame, _rate(recent), bits)
            _count(summary, judged)
            if not all([output.take(judged) for output in outputs]):  # a list: every output gets the frame
                break
    finally:
        with ExitStack() as closing:  # closes every one, also where one of them fails
            for output in reversed(outputs):
                closing.callback(output.close)
    if summary.failure is None and summary.frames == 0 and not stop.is_set():
        summary.failure = SourceError(f"{source.name} gave no frame at all")
    summary.seconds = perf_counter() - start
    return summary


def _judge(detector: Detector, frame: Frame, fps: float | None, bits: int | None) -> Judged:
    """Judge one frame; one that says nothing is UNKNOWN, never an end to the run."""
    try:
        if frame.image is None:
            raise FrameError(frame.problem or "the source gave no picture")
        image_bgr = to_bgr8(frame.image, bits)
        detection = detector(image_bgr)
    except FrameError as error:
        reason = str(error)
        return Judged(frame, None, None, reason, fps, unknown_event(frame, detector.threshold, reason))
    return Judged(frame, image_bgr, detection, "", fps, frame_event(frame, detection))


def _count(summary: Summary, judged: Judged) -> None:
    summary.verdicts[judged.verdict] += 1
    summary.unreadable += judged.image_bgr is None
    if judged.detection is not None:
        summary.total_ms.append(judged.detection.latency_ms.total)


def _rate(recent: deque[float]) -> float | None:
    span = recent[-1] - recent[0]
    return (len(recent) - 1) / span if span > 0 else None


def stopping(source: FrameSource, stop: threading.Event) -> Callable[[], None]:
    """Make `stop` end even a `read` that waits for a camera: a helper thread closes the source once it is set.

    Returns:
        Call it after the loop: ends the helper thread.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            if stop.is_set():
                source.close()
                return

    watcher = threading.Thread(target=watch, name="aae-stop", daemon=True)
    watcher.start()

    def end() -> None:
        done.set()
        watcher.join()

    return end

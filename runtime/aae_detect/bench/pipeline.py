"""How the whole loop does: frames in, verdicts out, overlays drawn; rates, ages and drops per source."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from aae_detect.bench.memory import own_and_children_mib
from aae_detect.camera.opening import connect, open_asked
from aae_detect.detector import Detector
from aae_detect.drawer import Drawer
from aae_detect.errors import SourceError
from aae_detect.frame_checks import FrameChecks
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.queued_output import QueuedOutput
from aae_detect.source_settings import SourceSettings

STAGES = ("preprocess", "inference", "postprocess", "total")


class Meter(Output):
    """Notes what happens to one source once its warm-up is over."""

    def __init__(self, warmup_s: float) -> None:
        self._warmup_s = warmup_s
        self._begin: float | None = None
        self.judged: list[tuple[float, int, float, tuple[float, ...]]] = []
        """Moment (seconds), frame number, age (ms), and milliseconds per stage."""
        self.outages = 0

    def take(self, judged: Judged) -> bool:
        """Note a frame."""
        now = time.monotonic()
        self._begin = self._begin or now
        if now - self._begin >= self._warmup_s:
            times = judged.event["latency_ms"]
            self.judged.append((now, judged.frame.index, judged.age_ms, tuple(times[stage] for stage in STAGES)))
        return True

    def signal(self, signal: Signal) -> None:
        """Note a loss."""
        self.outages += signal.lost

    def close(self) -> None:
        """Nothing is held open."""

    def describe(self) -> dict[str, Any]:
        """Say what was noted; rates per second, times in milliseconds."""
        if len(self.judged) < 2:
            raise SourceError("fewer than two frames were judged after the warm-up; measure for longer")
        moments, numbers, ages, stages = zip(*self.judged, strict=True)
        span_s = moments[-1] - moments[0]
        came = numbers[-1] - numbers[0]
        return {
            "frames_per_second_in": round(came / span_s, 2),
            "frames_per_second_judged": round((len(moments) - 1) / span_s, 2),
            "frames": len(moments),
            "dropped": came - (len(moments) - 1),
            "outages": self.outages,
            "age_ms": _percentiles(ages),
            **{
                f"{stage}_ms": _percentiles(of_stage)
                for stage, of_stage in zip(STAGES, zip(*stages, strict=True), strict=True)
            },
        }


class Painter(Output):
    """Draws each overlay for nobody, as a window or a video would have it."""

    def __init__(self, drawer: Drawer) -> None:
        self._drawer = drawer
        self.times_ms: list[float] = []

    def take(self, judged: Judged) -> bool:
        """Draw."""
        start = time.perf_counter()
        self._drawer.draw(judged)
        self.times_ms.append(1e3 * (time.perf_counter() - start))
        return True

    def close(self) -> None:
        """Nothing is held open."""


def measure_pipeline(
    detector: Detector,
    sources: Sequence[SourceSettings],
    seconds: float,
    warmup_s: float = 2.0,
    overlay: bool = True,
    at_once: int = 1,
) -> dict[str, Any]:
    """Run the loop over sources for a while.

    Args:
        detector: Judges all of them.
        sources: What to look at.
        seconds: How long, after the warm-up.
        warmup_s: Not measured.
        overlay: Whether overlays are drawn, each source's in a thread of its own.
        at_once: How many frames are judged side by side.

    Returns:
        `sources`, a row each; `memory_mib` with `own`, and `all` with capture processes, shared pages counted once;
        `cpu_seconds_per_second` of this process.

    Raises:
        SourceError: a source does not open, or gives too few frames.
    """
    meters = [Meter(warmup_s) for _ in sources]
    painters = [Painter(Drawer()) for _ in sources]
    queues = [QueuedOutput(painter, room=2) for painter in painters] if overlay else []
    opened = [open_asked(each, lambda text: None) for each in sources]
    streams = []
    for number, (source, wanted, meter) in enumerate(zip(opened, sources, meters, strict=True)):
        connect(source)
        outputs = [meter, *queues[number : number + 1]]
        streams.append(Stream(source, detector, outputs, FrameChecks(), wanted.every, wanted.most_fps))
    stop = threading.Event()
    memory: dict[str, float | None] = {"own": None, "all": None}

    def weigh() -> None:
        memory["own"], memory["all"] = own_and_children_mib()

    def end() -> None:
        weigh()
        stop.set()

    timer = threading.Timer(warmup_s + seconds, end)
    timer.daemon = True
    start, cpu = time.monotonic(), time.process_time()
    timer.start()
    try:
        run_loop(streams, stop, at_once=at_once)
    finally:
        timer.cancel()
    if not stop.is_set():  # the sources have ended by themselves
        weigh()
    rows = []
    for number, (source, meter) in enumerate(zip(opened, meters, strict=True)):
        row = {"source": source.name, **meter.describe()}
        if overlay and painters[number].times_ms:
            row["overlay_ms"] = _percentiles(painters[number].times_ms)
            row["overlays_dropped"] = queues[number].dropped
        rows.append(row)
    busy = (time.process_time() - cpu) / (time.monotonic() - start)
    return {"sources": rows, "memory_mib": memory, "cpu_seconds_per_second": round(busy, 2), "seconds": seconds}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, (50, 95, 99, 100))
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99", "max"), found, strict=True)}

"""What `aae-detect` does once its options are known: put the parts together, run the loop, say what happened."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import FrameType

import numpy as np

from aae_detect.capture import LatestFrame
from aae_detect.demo import DemoCamera
from aae_detect.demo_tally import DemoTally
from aae_detect.detection import Verdict
from aae_detect.detector import Detector
from aae_detect.display import window_problem
from aae_detect.errors import ConfigError
from aae_detect.frames import FrameSource
from aae_detect.loop import Output, Summary, run_loop, stopping
from aae_detect.outputs import Drawer, EventOutput, NgOutput, VideoOutput, WindowOutput
from aae_detect.session import ProviderChoice
from aae_detect.sources import open_source
from aae_detect.window import KEYS_HELP

_DEFAULT_FPS = 25.0
"""Of a saved video, where the source does not tell its own."""


@dataclass(frozen=True)
class Settings:
    """The options of `aae-detect`; see its help."""

    model: Path | None
    source: str
    demo: bool = False
    provider: ProviderChoice = "auto"
    threads: int = 0
    threshold: float | None = None
    bits: int | None = None
    window: bool = True
    save_video: Path | None = None
    jsonl: str | None = None
    save_ng: Path | None = None
    show_reconstruction: bool = True
    max_frames: int | None = None


def run(settings: Settings) -> int:
    """Run until the end; returns the exit code.

    Raises:
        AaeDetectError: before the first frame: a setting, the model or the source cannot be used.
    """
    detector = Detector.load(
        _model_path(settings), settings.provider, settings.threads, settings.threshold, settings.bits
    )
    for warning in detector.warnings:
        _say(f"warning: {warning}")
    window = settings.window and _can_open_window()
    source = _open(settings, watched=window)
    try:
        outputs, tally = _open_outputs(settings, detector, source, window)
        height, width = detector.spec.input_hw
        model = f"{detector.spec.family} {width}x{height} on {detector.provider}"
        _say(f"{source.name}: {model}, NG above {detector.threshold:.4g}")
        if window:
            _say(f"keys: {KEYS_HELP}")
        stop = threading.Event()
        with _stop_on_signals(stop):
            end_watch = stopping(source, stop) if source.live else None
            summary = run_loop(detector, source, outputs, stop, settings.max_frames, settings.bits)
            if end_watch is not None:
                end_watch()
    finally:
        source.close()
    _report(settings, source, summary, tally)
    return summary.exit_code


def demo_model_path() -> Path:
    """Return where the shipped demo model lies."""
    return Path(str(files("aae_detect") / "data" / "demo.onnx"))


def _model_path(settings: Settings) -> Path:
    if settings.model is not None:
        return settings.model
    if settings.demo:
        return demo_model_path()
    raise ConfigError(
        "no model; give --model detector.onnx or set AAE_DETECT_MODEL. Make one from a folder of good pictures with "
        "`aae-train PICTURES` and `aae-export RUN`, or see the shipped one at work with --demo"
    )


def _can_open_window() -> bool:
    problem = window_problem()
    if problem:
        _say(f"no window: {problem}")
    return problem is None


def _open(settings: Settings, watched: bool) -> FrameSource:
    """Open the source; a live one gets a thread of its own, so that the newest frame is judged and not the oldest."""
    if settings.demo:
        return DemoCamera(live=watched)  # paced for a person who watches, as fast as it goes for a file
    source = open_source(settings.source, bits=settings.bits)
    return LatestFrame(source) if source.live else source


def _open_outputs(
    settings: Settings, detector: Detector, source: FrameSource, window: bool
) -> tuple[list[Output], DemoTally | None]:
    drawer = Drawer(detector.spec.colour_scale, inset=settings.show_reconstruction)
    outputs: list[Output] = []
    tally = DemoTally(source) if isinstance(source, DemoCamera) else None
    if tally is not None:
        outputs.append(tally)
    if settings.jsonl is not None:
        outputs.append(EventOutput(settings.jsonl))
    if settings.save_video is not None:
        outputs.append(VideoOutput(settings.save_video, source.fps or _DEFAULT_FPS, drawer))
    if settings.save_ng is not None:
        outputs.append(NgOutput(settings.save_ng, drawer))
    if window:
        outputs.append(WindowOutput(f"aae-detect {source.name}", drawer, snapshots=Path.cwd()))
    return outputs, tally


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into a wish to stop after the frame in hand; a second Ctrl-C stops at once."""

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(settings: Settings, source: FrameSource, summary: Summary, tally: DemoTally | None) -> None:
    """Say what happened and where to look; on standard error, because standard output may carry events."""
    counts = ", ".join(f"{summary.verdicts[verdict]} {verdict}" for verdict in Verdict)
    rate = summary.frames / summary.seconds if summary.seconds else 0.0
    _say(f"{summary.frames} frames in {summary.seconds:.1f} s ({rate:.0f} per second): {counts}")
    if summary.total_ms:
        p50, p95 = np.percentile(summary.total_ms, (50, 95))
        _say(f"time per verdict: {p50:.1f} ms median, {p95:.1f} ms at the 95th percentile")
    if isinstance(source, LatestFrame) and source.dropped:
        _say(f"{source.dropped} frames were dropped: they came while others were judged")
    if tally is not None:
        _say(tally.sentence())
    for what, path in (
        ("overlay video", settings.save_video),
        ("events", settings.jsonl),
        ("NG frames", settings.save_ng),
    ):
        if path is not None and str(path) != "-":
            _say(f"{what}: {path}")
    if summary.failure is not None:
        _say(f"error: {summary.failure}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

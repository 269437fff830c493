"""Good frames of one source, judged by the model as it came."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_detect.calibrate.noise import estimate_noise
from aae_detect.detector import Detector
from aae_detect.frame_checks import FrameChecks, RepeatWatch
from aae_detect.frame_statistics import FrameStatistics, measure_frame
from aae_detect.frames import FrameSource, Signal
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.source_settings import SourceSettings


@dataclass(frozen=True, eq=False)
class Collected:
    """What was seen."""

    anomaly_maps: NDArray[np.float32]
    """(n, h, w), in the order in which the frames came."""

    noise_gray: float
    """Median over the frames, standard deviation in gray levels."""

    statistics: tuple[FrameStatistics, ...]
    """Of each frame."""

    sizes_hw: frozenset[tuple[int, int]]
    """Which sizes the frames had, pixels."""

    frame_interval_s: float
    """Median time from one frame to the next, seconds; 0 of a single one."""

    longest_repeat_s: float
    """Longest time for which frames were the very same, seconds."""

    above: int
    """Frames above the model's own threshold."""

    unjudged: int
    """Frames that could not be judged, and are not among the n."""


class _Collector(Output):
    """Keeps the maps of so many frames."""

    def __init__(self, count: int, progress: Callable[[], None], say: Callable[[str], None]) -> None:
        self.maps: list[NDArray[np.float32]] = []
        self.noises: list[float] = []
        self.statistics: list[FrameStatistics] = []
        self.read_ns: list[int] = []
        self.sizes_hw: set[tuple[int, int]] = set()
        self.repeats = RepeatWatch()
        self.above = self.unjudged = 0
        self._count, self._progress, self._say = count, progress, say

    def take(self, judged: Judged) -> bool:
        """Keep a frame; ends the loop with the last one."""
        detection, image_bgr = judged.detection, judged.image_bgr
        if detection is None or image_bgr is None or not np.isfinite(detection.score):
            self.unjudged += 1
            return True
        self.maps.append(detection.model_map)
        self.noises.append(estimate_noise(image_bgr))
        self.statistics.append(measure_frame(detection.input_bgr))
        self.read_ns.append(judged.frame.read_ns)
        self.sizes_hw.add((image_bgr.shape[0], image_bgr.shape[1]))
        self.repeats.look(image_bgr, judged.frame.read_ns * 1e-9)
        self.above += detection.score > detection.threshold
        self._progress()
        return len(self.maps) < self._count

    def signal(self, signal: Signal) -> None:
        """Say it; a camera that was lost is waited for."""
        self._say(f"{signal.source}: {f'no signal, {signal.reason}' if signal.lost else 'back'}")

    def close(self) -> None:
        """Nothing is held open."""


def collect(
    detector: Detector,
    source: FrameSource,
    settings: SourceSettings,
    count: int,
    stop: threading.Event,
    progress: Callable[[], None],
    say: Callable[[str], None],
) -> Collected:
    """Judge frames until there are enough of them, or the source ends.

    Args:
        detector: The model, without a site.
        source: Opened; it is closed in the end.
        settings: What was asked of it: how often to look.
        count: How many frames, at least 1.
        stop: Ends it early.
        progress: Called for every frame.
        say: Told when the camera is lost, and when it is back.

    Raises:
        SourceError: the source failed, or gave no frame.
    """
    collector = _Collector(count, progress, say)
    stream = Stream(
        source,
        detector,
        [collector],
        checks=FrameChecks(),
        every=settings.every,
        most_fps=settings.most_fps,
    )
    (summary,) = run_loop([stream], stop)
    if summary.failure is not None:
        raise summary.failure
    height, width = detector.spec.map_hw
    maps = np.stack(collector.maps) if collector.maps else np.empty((0, height, width), np.float32)
    noise = float(np.median(collector.noises)) if collector.noises else 0.0
    intervals_ns = np.diff(collector.read_ns)
    return Collected(
        anomaly_maps=maps,
        noise_gray=noise,
        statistics=tuple(collector.statistics),
        sizes_hw=frozenset(collector.sizes_hw),
        frame_interval_s=float(np.median(intervals_ns)) * 1e-9 if len(intervals_ns) else 0.0,
        longest_repeat_s=collector.repeats.longest_s,
        above=collector.above,
        unjudged=collector.unjudged,
    )

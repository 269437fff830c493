"""How long a detector takes, stage by stage, on frames of the demo camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect.demo import DemoCamera
from aae_detect.detector import Detector
from aae_detect.errors import ConfigError
from aae_detect.overlay import annotate

STAGES = ("preprocess", "inference", "postprocess", "overlay", "without_overlay", "total")
PERCENTILES = (50, 95, 99, 100)
ROUNDS = 5
"""Every setting is measured in so many turns, round and round, so that what else the machine does hits all alike."""

_FRAME_BYTES = 64 * 2**20
"""The frames that are shown in turn take at most so much memory."""


_BLOCK = 5
"""Runs whose median is compared with that of the runs before, to see whether it is still getting faster."""

_STEADY = 0.97
"""A block is no faster than the one before when its median is at least so much of it."""

_MOST_WARMUP = 100


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    model: Path
    """The `detector.onnx`."""

    provider: str
    threads: int
    """Threads inside an operator; 0 means one per core."""

    size_hw: tuple[int, int]
    """Of a frame, pixels."""

    batch: int


@dataclass(eq=False)
class Measured:
    """What was found for one setting."""

    setting: Setting
    precision: str = ""
    provider: str = ""
    warnings: tuple[str, ...] = ()
    warmup: list[int] = field(default_factory=list)
    """Untimed runs before each turn."""
    load_ms: list[float] = field(default_factory=list)
    times_ms: list[tuple[float, ...]] = field(default_factory=list)
    """Milliseconds per frame, in the order of `STAGES`."""
    turn_of: list[int] = field(default_factory=list)
    """The turn that each of them belongs to."""

    def stage_ms(self, stage: str) -> NDArray[np.float64]:
        """Return all times of a stage, milliseconds for one frame."""
        return np.array(self.times_ms)[:, STAGES.index(stage)]

    def turn_medians_ms(self, stage: str) -> NDArray[np.float64]:
        """Return the median of each turn."""
        times, turns = self.stage_ms(stage), np.array(self.turn_of)
        return np.array([np.median(times[turns == turn]) for turn in np.unique(turns)])

    def row(self) -> dict[str, Any]:
        """Describe it for the result."""
        setting = self.setting
        row: dict[str, Any] = {
            "model": setting.model.name,
            "precision": self.precision,
            "provider": self.provider,
            "threads": setting.threads,
            "size": f"{setting.size_hw[1]}x{setting.size_hw[0]}",
            "batch": setting.batch,
        }
        for stage in STAGES:
            values = np.percentile(self.stage_ms(stage), PERCENTILES)
            names = [f"p{p}" if p < 100 else "max" for p in PERCENTILES]
            row[f"{stage}_ms"] = {name: round(float(v), 4) for name, v in zip(names, values, strict=True)}
        row["frames_per_second"] = round(1000 / float(np.median(self.stage_ms("total"))), 2)
        row["load_ms"] = round(float(np.median(self.load_ms)), 2)
        row["warmup"] = max(self.warmup)
        row["repeats"] = len(self.times_ms)
        if self.warnings:
            row["warnings"] = list(self.warnings)
        return row


def list_settings(
    models: Sequence[Path],
    providers: Sequence[str],
    threads: Sequence[int],
    sizes_hw: Sequence[tuple[int, int]],
    batches: Sequence[int],
) -> list[Setting]:
    """Combine everything with everything, the last one turning fastest."""
    return [Setting(*values) for values in product(models, providers, threads, sizes_hw, batches)]


def turn_count(repeat: int) -> int:
    """Return in how many turns each setting is measured."""
    return min(ROUNDS, repeat)


def measure_latency(
    settings: Sequence[Setting],
    repeat: int = 200,
    warmup: int | None = None,
    seed: int = 0,
    done: Callable[[int], None] = lambda count: None,
) -> list[Measured]:
    """Measure every setting, each with detectors of its own and never two of them loaded at a time.

    Args:
        settings: What to measure.
        repeat: Batches timed for each setting, over all its turns.
        warmup: Batches run first in each turn, and not timed; None: until they get no faster.
        seed: Of the demo camera.
        done: Called after each turn of a setting with the number of turns done.

    Returns:
        What was measured, setting by setting. A `row` has `provider` as ONNX Runtime names the one that loaded, and
        `STAGE_ms` with p50, p95, p99 and max for every stage, milliseconds for one frame (a batch's time divided by its
        size). `postprocess` includes finding the regions, `without_overlay` is the sum of the first three stages, as
        `aae-detect` gives it for a frame, `total` is the wall clock over everything, and `frames_per_second` follows
        from its median.

    Raises:
        ModelError: the model is refused.
        ConfigError: a provider is not there, or an argument cannot be used.
    """
    if repeat < 1 or (warmup or 0) < 0:
        raise ConfigError(f"repeat is {repeat}, warmup {warmup}; expected at least 1 and 0")
    frames = {size_hw: _make_frames(size_hw, seed) for size_hw in {setting.size_hw for setting in settings}}
    measured = [Measured(setting) for setting in settings]
    turns = [len(part) for part in np.array_split(np.arange(repeat), turn_count(repeat))]
    for turn, count in enumerate(turns):
        for place, found in enumerate(measured):
            _measure_turn(found, frames[found.setting.size_hw], turn, count, warmup)
            done(turn * len(settings) + place + 1)
    return measured


def _measure_turn(found: Measured, frames: list[NDArray[np.uint8]], turn: int, count: int, warmup: int | None) -> None:
    setting = found.setting
    start = perf_counter_ns()
    detector = Detector.load(setting.model, provider=setting.provider, threads=setting.threads)
    found.load_ms.append((perf_counter_ns() - start) * 1e-6)
    found.provider, found.warnings, found.precision = detector.provider, detector.warnings, detector.spec.precision
    batches = cycle(
        [frames[(start + place) % len(frames)] for place in range(setting.batch)] for start in range(len(frames))
    )
    found.warmup.append(_warm_up(lambda: _time_batch(detector, next(batches))[-1], warmup))
    for _ in range(count):
        found.times_ms.append(_time_batch(detector, next(batches)))
        found.turn_of.append(turn)


def _warm_up(run: Callable[[], float], count: int | None) -> int:
    """Run so many times, or until runs get no faster; returns how many it were."""
    if count is not None:
        for _ in range(count):
            run()
        return count
    before, done = math.inf, 0
    while done < _MOST_WARMUP:
        median = float(np.median([run() for _ in range(_BLOCK)]))
        done += _BLOCK
        if median >= _STEADY * before:
            break
        before = median
    return done


def _time_batch(detector: Detector, frames: list[NDArray[np.uint8]]) -> tuple[float, ...]:
    """Judge and draw a batch; return milliseconds per frame in the order of `STAGES`."""
    per_frame = 1e-6 / len(frames)
    start = perf_counter_ns()
    detections = detector.batch(frames)
    judged = perf_counter_ns()
    for detection in detections:
        _ = detection.regions  # made when first asked for: this is where its time goes
    located = perf_counter_ns()
    for frame, detection in zip(frames, detections, strict=True):
        annotate(frame, detection, colour_scale=detector.colour_scale, fps=30.0)
    drawn = perf_counter_ns()
    stages = detections[0].latency_ms
    postprocess = stages.postprocess + (located - judged) * per_frame
    return (
        stages.preprocess,
        stages.inference,
        postprocess,
        (drawn - located) * per_frame,
        stages.preprocess + stages.inference + postprocess,
        (drawn - start) * per_frame,
    )


def _make_frames(size_hw: tuple[int, int], seed: int) -> list[NDArray[np.uint8]]:
    """Draw some frames beforehand: the camera's own time is none of the detector's."""
    count = max(2, min(16, _FRAME_BYTES // (size_hw[0] * size_hw[1] * 3)))
    camera = DemoCamera(seed, size_hw=size_hw)
    return [camera.render(number * 7)[0] for number in range(count)]

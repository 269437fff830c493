"""How long a detector takes, stage by stage, on frames of the demo camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
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
PERCENTILES = (50, 95, 99)
ROUNDS = 5
"""Every setting is measured in so many turns, round and round, so that what else the machine does hits all alike."""

_FRAME_BYTES = 64 * 2**20
"""The frames that are shown in turn take at most so much memory."""


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    provider: str
    threads: int
    """Threads inside an operator; 0 means one per core."""

    size_hw: tuple[int, int]
    """Of a frame, pixels."""

    batch: int


@dataclass(eq=False)
class _Measured:
    """What was found for one setting so far."""

    provider: str = ""
    warnings: tuple[str, ...] = ()
    load_ms: list[float] = field(default_factory=list)
    times_ms: list[tuple[float, ...]] = field(default_factory=list)
    """Milliseconds per frame, in the order of `STAGES`."""


def list_settings(
    providers: Sequence[str],
    threads: Sequence[int],
    sizes_hw: Sequence[tuple[int, int]],
    batches: Sequence[int],
) -> list[Setting]:
    """Combine everything with everything, the last one turning fastest."""
    return [Setting(*values) for values in product(providers, threads, sizes_hw, batches)]


def turn_count(repeat: int) -> int:
    """Return in how many turns each setting is measured."""
    return min(ROUNDS, repeat)


def measure_latency(
    model: Path,
    settings: Sequence[Setting],
    repeat: int = 200,
    warmup: int = 10,
    seed: int = 0,
    done: Callable[[int], None] = lambda count: None,
) -> list[dict[str, Any]]:
    """Measure every setting, each with detectors of its own and never two of them loaded at a time.

    Args:
        model: The `detector.onnx`.
        settings: What to measure.
        repeat: Batches timed for each setting, over all its turns.
        warmup: Batches run first in each turn, and not timed.
        seed: Of the demo camera.
        done: Called after each turn of a setting with the number of turns done.

    Returns:
        A row for each setting: what it was, `provider` as ONNX Runtime names the one that loaded, and `STAGE_ms` with
        p50, p95 and p99 for every stage, milliseconds for one frame (a batch's time divided by its size).
        `postprocess` includes finding the regions, `without_overlay` is the sum of the first three stages, as
        `aae-detect` gives it for a frame, `total` is the wall clock over everything, and `frames_per_second` follows
        from its median.

    Raises:
        ModelError: the model is refused.
        ConfigError: a provider is not there, or an argument cannot be used.
    """
    if repeat < 1 or warmup < 0:
        raise ConfigError(f"repeat is {repeat}, warmup {warmup}; expected at least 1 and 0")
    frames = {size_hw: _make_frames(size_hw, seed) for size_hw in {setting.size_hw for setting in settings}}
    measured = [_Measured() for _ in settings]
    turns = [len(part) for part in np.array_split(np.arange(repeat), turn_count(repeat))]
    for turn, count in enumerate(turns):
        for place, (setting, found) in enumerate(zip(settings, measured, strict=True)):
            _measure_turn(model, setting, found, frames[setting.size_hw], count, warmup)
            done(turn * len(settings) + place + 1)
    return [_describe(setting, found) for setting, found in zip(settings, measured, strict=True)]


def _measure_turn(
    model: Path, setting: Setting, found: _Measured, frames: list[NDArray[np.uint8]], count: int, warmup: int
) -> None:
    start = perf_counter_ns()
    detector = Detector.load(model, provider=setting.provider, threads=setting.threads)
    found.load_ms.append((perf_counter_ns() - start) * 1e-6)
    found.provider, found.warnings = detector.provider, detector.warnings
    for number in range(warmup + count):
        batch = [frames[(number * setting.batch + place) % len(frames)] for place in range(setting.batch)]
        times_ms = _time_batch(detector, batch)
        if number >= warmup:
            found.times_ms.append(times_ms)


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
        annotate(frame, detection, colour_scale=detector.spec.colour_scale, fps=30.0)
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


def _describe(setting: Setting, found: _Measured) -> dict[str, Any]:
    times_ms = np.array(found.times_ms)  # (repeat, stages)
    row: dict[str, Any] = {
        "provider": found.provider,
        "threads": setting.threads,
        "size": f"{setting.size_hw[1]}x{setting.size_hw[0]}",
        "batch": setting.batch,
    }
    for stage, column in zip(STAGES, times_ms.T, strict=True):
        values = np.percentile(column, PERCENTILES)
        row[f"{stage}_ms"] = {f"p{p}": round(float(v), 4) for p, v in zip(PERCENTILES, values, strict=True)}
    row["frames_per_second"] = round(1000 / float(np.median(times_ms[:, -1])), 2)
    row["load_ms"] = round(float(np.median(found.load_ms)), 2)
    row["repeats"] = len(times_ms)
    if found.warnings:
        row["warnings"] = list(found.warnings)
    return row

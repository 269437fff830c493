"""How long each model takes for a frame: all of them in turns, so that what else the machine does hits all alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aae_detect.bench.latency import Setting, measure_latency

FRAME_HW = (480, 640)
REPEATS = 100

_STAGES = {"latency_ms": "without_overlay_ms", "inference_ms": "inference_ms"}


def measure_latencies(detectors: Mapping[str, Path], provider: str, threads: int) -> dict[str, dict[str, Any]]:
    """Measure several models as `aae-bench latency` does, one after the other and round after round.

    Args:
        detectors: `detector.onnx` by name.
        provider: As `open_session` takes it.
        threads: As `open_session` takes it.

    Returns:
        By name: `latency_ms` from camera frame to verdict and `inference_ms` of it, each with p50, p95, p99 and max;
        and what they were measured with.
    """
    settings = [Setting(path, provider, threads, FRAME_HW, batch=1) for path in detectors.values()]
    measured = measure_latency(settings, REPEATS)
    return {name: _summarise(found.row()) for name, found in zip(detectors, measured, strict=True)}


def _summarise(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: row[stage] for name, stage in _STAGES.items()}
    shared = {"frame": row["size"], "provider": row["provider"], "threads": row["threads"]}
    return {**times, **shared, "repeats": row["repeats"]}

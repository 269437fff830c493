"""How long each model takes for a frame: all of them in turns, so that what else the machine does hits all alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aae_detect.bench.latency import Setting, measure_latency

FRAME_HW = (480, 640)
ROUNDS = 5
REPEATS = 20
WARMUP = 3
"""In each of the few turns that `measure_latency` takes for its repeats."""

_STAGES = {"latency_ms": "without_overlay_ms", "inference_ms": "inference_ms"}


def measure_latencies(detectors: Mapping[str, Path], provider: str, threads: int) -> dict[str, dict[str, Any]]:
    """Measure several models as `aae-bench latency` does, one after the other and round after round.

    Args:
        detectors: `detector.onnx` by name.
        provider: As `open_session` takes it.
        threads: As `open_session` takes it.

    Returns:
        By name: `latency_ms` from camera frame to verdict and `inference_ms` of it, each with p50, p95 and p99, medians
        over the rounds; and what they were measured with.
    """
    setting = Setting(provider, threads, FRAME_HW, batch=1)
    rounds = [
        {name: measure_latency(path, [setting], REPEATS, WARMUP)[0] for name, path in detectors.items()}
        for _ in range(ROUNDS)
    ]
    return {name: _summarise([found[name] for found in rounds]) for name in detectors}


def _summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    times = {
        name: {p: float(np.median([row[stage][p] for row in rows])) for p in rows[0][stage]}
        for name, stage in _STAGES.items()
    }
    shared = {"frame": rows[0]["size"], "provider": rows[0]["provider"], "threads": rows[0]["threads"]}
    return {**times, **shared, "repeats": sum(row["repeats"] for row in rows)}

"""One JSON line per frame: the contract with programs that read along."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from aae_detect.decision.decision import Decision
from aae_detect.detection import Detection, Region, Verdict
from aae_detect.drift import Drift
from aae_detect.frames import Frame, Signal
from aae_detect.news import ModelChange, News
from aae_detect.site_file import SiteEntry


def frame_event(frame: Frame, detection: Detection, age_ms: float) -> dict[str, Any]:
    """Describe a judged frame; regions in frame pixels, times in milliseconds, age at the verdict.

    Regions are found here, when they are first asked for; the time that takes counts as postprocess.
    """
    latency = detection.latency_ms
    start = perf_counter()
    regions = [_region(region) for region in detection.regions]
    regions_ms = 1e3 * (perf_counter() - start)
    return {
        **_head(frame),
        "score": detection.score if math.isfinite(detection.score) else None,
        "p_value": None if detection.p_value is None else float(f"{detection.p_value:.4g}"),
        "threshold": detection.threshold,
        "verdict": detection.verdict.value,
        "regions": regions,
        **({"more_regions": detection.more_regions} if detection.more_regions else {}),
        "latency_ms": {
            "preprocess": round(latency.preprocess, 3),
            "inference": round(latency.inference, 3),
            "postprocess": round(latency.postprocess + regions_ms, 3),
            "total": round(latency.total + regions_ms, 3),
        },
        "age_ms": round(age_ms, 3),
    }


def unknown_event(frame: Frame, threshold: float, reason: str, age_ms: float) -> dict[str, Any]:
    """Describe a frame that could not be judged; the keys of `frame_event`, and `reason`."""
    return {
        **_head(frame),
        "score": None,
        "p_value": None,
        "threshold": threshold,
        "verdict": Verdict.UNKNOWN.value,
        "regions": [],
        "latency_ms": {"preprocess": 0.0, "inference": 0.0, "postprocess": 0.0, "total": 0.0},
        "age_ms": round(age_ms, 3),
        "reason": reason,
    }


def signal_event(signal: Signal) -> dict[str, Any]:
    """Describe that a camera was lost, or is back."""
    event: dict[str, Any] = {
        "type": "signal",
        "time": signal.at.isoformat(timespec="milliseconds"),
        "source": signal.source,
        "state": "lost" if signal.lost else "back",
    }
    return event | ({"reason": signal.reason} if signal.lost else {"outage_s": round(signal.outage_s, 3)})


def calibration_event(entry: SiteEntry, site_file: Path, threshold_before: float) -> dict[str, Any]:
    """Describe that a camera was calibrated, as `site_file` has it now; `threshold_before` is what held until then."""
    calibration = entry.calibration
    return {
        "type": "calibration",
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "source": entry.camera,
        "product": entry.product,
        "site": str(site_file.resolve()),
        "model_sha256": entry.model_sha256,
        "threshold": entry.threshold,
        "threshold_before": threshold_before,
        "frames": calibration.count,
        "target_frr": calibration.target_frr,
        "promised_frr": calibration.promised_frr,
        "bound_frr": calibration.bound_frr,
        "extrapolated": calibration.extrapolated,
    }


def news_event(news: News) -> dict[str, Any]:
    """Describe what was decided, what drifts, or which model judges now."""
    if isinstance(news, Decision):
        return _decision_event(news)
    return _drift_event(news) if isinstance(news, Drift) else _model_event(news)


def _decision_event(decision: Decision) -> dict[str, Any]:
    return {
        "type": "decision",
        "time": decision.at.isoformat(timespec="milliseconds"),
        "source": decision.source,
        "verdict": decision.verdict.value,
        "stop": decision.stop,
        "part": decision.part or None,
        "first_frame": decision.first_frame,
        "last_frame": decision.last_frame,
        "frames": decision.frames,
        "ng_frames": decision.ng_frames,
        "score": decision.score if decision.score is not None and math.isfinite(decision.score) else None,
    }


def _model_event(change: ModelChange) -> dict[str, Any]:
    event = {
        "type": "model",
        "time": change.at.isoformat(timespec="milliseconds"),
        "source": change.source,
        "state": "loaded" if change.loaded else "refused",
        "model_sha256": change.model_sha256,
        "threshold": change.threshold,
    }
    return event | ({} if change.loaded else {"reason": change.reason})


def _drift_event(drift: Drift) -> dict[str, Any]:
    return {
        "type": "drift",
        "time": drift.at.isoformat(timespec="milliseconds"),
        "source": drift.source,
        "advice": drift.advice,
        "shift": drift.shift,
        "light_shift": drift.light_shift,
    }


def _head(frame: Frame) -> dict[str, Any]:
    return {
        "type": "frame",
        "frame": frame.index,
        "time": frame.captured_at.isoformat(timespec="milliseconds"),
        "source": frame.source,
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "x": region.x,
        "y": region.y,
        "width": region.width,
        "height": region.height,
        "area_px": region.area_px,
        "peak": region.peak if math.isfinite(region.peak) else None,
    }

"""The whole loop measured, and shown while it runs."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aae_detect import Detector, SourceError
from aae_detect.bench.handover import command_line
from aae_detect.bench.pipeline import Meter, measure_pipeline
from aae_detect.bench.pipeline_command import name_sources
from aae_detect.detection import Verdict
from aae_detect.frames import Frame, Signal
from aae_detect.judged import Judged, Output
from aae_detect.live_stats import StatsScreen, StreamStats
from aae_detect.source_settings import SourceSettings


def judged(index: int, verdict: Verdict = Verdict.UNKNOWN, age_ms: float = 7.0) -> Judged:
    latency = {"preprocess": 1.0, "inference": 4.0, "postprocess": 0.5, "total": 5.5}
    frame = Frame(None, index, datetime.now(UTC), "line 1", "none")
    return Judged(frame, None, None, "", 30.0, age_ms, {"latency_ms": latency, "verdict": verdict.value})


def test_a_camera_in_its_own_process_keeps_its_rate_and_nothing_is_lost_uncounted(tiny_model: Path) -> None:
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    sources = [SourceSettings(f"demo:160x120@20?live=1&seed={seed}") for seed in (0, 1)]
    for again in (True, True, False):  # a capture process that was held up itself shows in no age
        result = measure_pipeline(detector, sources, seconds=2.0, warmup_s=0.5)
        if not (again and any(map(rates_that_are_out, result["sources"]))):
            break
    assert len(result["sources"]) == 2
    for row in result["sources"]:
        assert rates_that_are_out(row) == {}
        assert row["total_ms"]["p50"] < row["age_ms"]["p99"]
        assert row["overlay_ms"]["p50"] > 0
    assert result["memory_mib"]["own"] < result["memory_mib"]["all"]


def rates_that_are_out(row: dict[str, Any]) -> dict[str, Any]:
    """Return what of a camera of 20 frames per second, looked at for 2 s, is not as it was, with what it would be."""
    span_s = (row["frames"] - 1) / row["frames_per_second_judged"]
    most = 2 + 20 * row["age_ms"]["max"] / 1e3  # frames: each end of the span is a verdict, which may have been late
    figures = {
        "came": (row["frames"] + row["dropped"] - 1, pytest.approx(20 * span_s, abs=most)),
        "per second": (row["frames_per_second_in"], pytest.approx(20, abs=most / span_s)),
        "seconds": (span_s, pytest.approx(2.0, abs=0.3)),
        "outages": (row["outages"], 0),
    }
    return {name: (found, expected) for name, (found, expected) in figures.items() if found != expected}


def test_too_few_frames_are_no_measurement() -> None:
    with pytest.raises(SourceError, match="measure for longer"):
        Meter(warmup_s=0.0).describe()


def test_sources_that_end_before_the_time_is_up_are_measured(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((16, 16, 3), number, np.uint8))
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    result = measure_pipeline(detector, [SourceSettings(str(tmp_path))], seconds=300.0, warmup_s=0.0, overlay=False)
    assert result["sources"][0]["frames"] == 4
    assert set(result["memory_mib"]) == {"own", "all"}


def test_the_command_takes_the_demo_camera_as_a_live_one(tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "pipeline.json"
    command = [sys.executable, "-m", "aae_detect.bench.cli", "pipeline", str(tiny_model), "--source", "demo:160x120@30"]
    command += ["--count", "2", "--seconds", "1", "--no-overlay", "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "frames per second in" in done.stdout
    result = json.loads(target.read_text())
    assert [row["source"][-2:] for row in result["sources"]] == ["#1", "#2"]
    assert "overlay_ms" not in result["sources"][0]
    assert {"machine", "versions", "command", "date", "model"} <= set(result)


def test_passwords_stand_neither_in_the_names_nor_in_the_command() -> None:
    camera, pipeline = "rtsp://viewer:secret@10.0.0.5/1", "gst:rtspsrc location=rtsp://h/1 user-pw=secret ! appsink"
    named = name_sources([camera, pipeline], 2)
    assert [each.source for each in named] == [camera, camera, pipeline, pipeline]
    assert [each.name for each in named[:2]] == ["rtsp://viewer:***@10.0.0.5/1 #1", "rtsp://viewer:***@10.0.0.5/1 #2"]
    (alone,) = name_sources([camera], 1)
    told = command_line(["pipeline", "m.onnx", "--source", camera, f"--source={pipeline}", "--seconds", "5"])
    assert told.startswith("aae-bench pipeline m.onnx ") and told.endswith(" --seconds 5")
    assert "secret" not in "".join((*(each.name for each in named), alone.name, told))


class Slow(Output):
    dropped = 12
    name = "VideoOutput"


def test_figures_of_a_stream_in_one_line() -> None:
    stats = StreamStats("line 1", [Slow()])
    assert "waiting for frames" in stats.line()
    for index in range(0, 100, 2):
        stats.take(judged(index))
    words = stats.line().split()
    assert words[:2] == ["line", "1"]
    assert words[4:] == ["49", "1.00", "4.00", "0.50", "7.0", "7.0", "0", "0", "50"]
    assert stats.drops() == "line 1: frames too many for VideoOutput 12"
    now = datetime.now(UTC)
    stats.signal(Signal(True, "gone", now, "line 1"))
    assert f"no signal since {now:%H:%M:%S}" in stats.line()
    stats.take(judged(102))
    assert "no signal" not in stats.line()


def test_frames_that_nobody_asked_for_are_not_dropped() -> None:
    stats = StreamStats("line 1", [], every=2)
    for index in (0, 2, 4, 8, 10):
        stats.take(judged(index))
    assert stats.line().split()[4] == "2", "of 5, 6 and 7 one would have been skipped"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_is_painted_over_and_a_log_is_not(terminal: bool) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    screen = Screen()
    painter = StatsScreen([StreamStats("line 1", []), StreamStats("line 2", [])], screen)
    painter._paint()
    painter.close()
    assert screen.getvalue().count("line 2") == 2
    assert ("\x1b[3F\x1b[J" in screen.getvalue()) is terminal

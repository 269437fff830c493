"""A folder of good pictures to verdicts, with the commands that a user types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from aae_detect import DemoCamera


def call(module: str, *arguments: object, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ, "DISPLAY": ""})
    assert result.returncode in codes, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
    return result


def test_from_pictures_to_verdicts(small_export: Path, tmp_path: Path) -> None:
    """`small_export` came from aae-train and aae-export; here the device takes over."""
    model = small_export / "detector.onnx"
    video = tmp_path / "parts.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    camera = DemoCamera(8, size_hw=(120, 160))
    for index in range(12):
        writer.write(camera.render(index)[0])
    writer.release()
    events = tmp_path / "events.jsonl"
    overlay = tmp_path / "overlay.mp4"
    call("aae_detect", "--source", video, "--model", model, "--jsonl", events, "--save-video", overlay, codes=(0, 3))
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(12))
    assert all((line["verdict"] == "NG") == (line["score"] > line["threshold"]) for line in lines)
    assert all(bool(line["regions"]) == (line["verdict"] == "NG") for line in lines)
    capture = cv2.VideoCapture(str(overlay))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (12, 25)

    call("aae_detect.bench.cli", "latency", model, "--threads", "1,2", "--repeat", 5, "--json", tmp_path / "l.json")
    rows = json.loads((tmp_path / "l.json").read_text())["rows"]
    assert [(row["threads"], row["batch"]) for row in rows] == [(1, 1), (2, 1)]
    assert all(row["inference_ms"]["p50"] <= row["inference_ms"]["p99"] for row in rows)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["cookies", "glassfiber", "ucsd_ped2"])
def test_real_sets_end_to_end(real_sets: Path, tmp_path: Path, name: str) -> None:
    """Two minutes of training each: the line holds on real pictures, and finds more than chance."""
    data = real_sets / name
    run = tmp_path / "run"
    call("aae_train.cli", data, "--out", run, "--minutes", 2)
    call("aae_export.cli", run)
    model = run / "export" / "detector.onnx"
    source: Path = data / "test"
    frames = sorted(path for path in source.rglob("*") if path.is_file())
    if name == "ucsd_ped2":  # a fixed camera: played as the video that it is
        source = tmp_path / "frames.avi"
        frames.sort(key=lambda path: path.name)
        height, width = cv2.imread(str(frames[0])).shape[:2]
        writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
        for path in frames:
            writer.write(cv2.imread(str(path)))
        writer.release()
    events = tmp_path / "events.jsonl"
    call("aae_detect", "--source", source, "--model", model, "--jsonl", events, "--no-window", codes=(0, 3))
    assert len(events.read_text().splitlines()) == len(frames)
    call("aae_detect.bench.cli", "accuracy", model, data, "--json", tmp_path / "a.json")
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["image_auroc_ci95"][0] > 0.5 or result["pixel_auroc"] > 0.6


@pytest.mark.real_data
def test_a_real_set_is_read_and_split(real_sets: Path) -> None:
    """The short form: real pictures through checking, splitting and one look at the settings."""
    result = call("aae_train.cli", real_sets / "glassfiber", "--dry-run")
    assert "90 good pictures" in result.stdout
    result = call("aae_train.cli", real_sets / "cookies", "--dry-run")
    assert "3-fold cross-fit" in result.stdout

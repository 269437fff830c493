"""Lines of events: added or written anew, whole after a power cut, and lost one by one where a disk is full."""

import json
import math
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aae_detect import ConfigError
from aae_detect.detection import Detection, Latency, Verdict
from aae_detect.drawer import Drawer
from aae_detect.event_lines import EventLines
from aae_detect.events import frame_event
from aae_detect.frames import Frame
from aae_detect.geometry import place
from aae_detect.judged import Judged
from aae_detect.outputs import EventOutput, NgOutput

FULL = Path("/dev/full")
DETECT = [sys.executable, "-m", "aae_detect", "--no-window", "--max-frames", "5"]
ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
BUFFERED = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONUNBUFFERED"}

needs_full = pytest.mark.skipif(
    not FULL.exists() or not stat.S_ISCHR(FULL.stat().st_mode), reason="needs /dev/full (Linux)"
)


def judged(number: int) -> Judged:
    picture = np.zeros((4, 4, 3), np.uint8)
    frame = Frame(picture, number, datetime.now(UTC), "list")
    return Judged(frame, picture, None, "", None, 1.0, {"frame": number})


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


def write(path: Path, *frames: int, append: bool) -> None:
    lines = EventLines(str(path), append)
    for number in frames:
        lines.write({"frame": number})
    lines.close()


def test_lines_are_added_or_the_file_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 1, 2, append=True)
    write(path, append=True)
    write(path, 3, append=True)
    assert numbers(path) == [1, 2, 3]
    write(path, 4, append=False)
    assert numbers(path) == [4]


def test_half_a_line_of_an_earlier_run_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"frame": 1}\n{"fra')
    write(path, 2, 3, append=True)
    assert path.read_text().splitlines() == ['{"frame": 1}', '{"fra', '{"frame": 2}', '{"frame": 3}']


def test_half_a_line_of_this_run_stays_alone(tmp_path: Path) -> None:
    """A file that may not grow takes a part of a line, as the last block of a full disk does."""
    resource = pytest.importorskip("resource")
    path, said = tmp_path / "events.jsonl", list[str]()
    output = EventOutput(str(path), said.append)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    output.take(judged(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, limits[1]))
    try:
        for number in (2, 3, 4):
            assert output.take(judged(number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    output.take(judged(5))
    output.take(judged(6))
    output.close()
    assert path.read_text().splitlines() == ['{"frame": 1}', '{"fra', '{"frame": 5}', '{"frame": 6}']
    cannot, again = said
    assert cannot.startswith(f"warning: --jsonl {path}: a line cannot be written (File too large)")
    assert again == f"--jsonl {path}: lines are written again, 3 are missing"


@needs_full
def test_a_full_disk_costs_lines_and_is_said_once() -> None:
    said: list[str] = []
    output = EventOutput(str(FULL), said.append)
    assert all(output.take(judged(number)) for number in range(50))
    output.close()
    assert len(said) == 2
    assert "No space left on device" in said[0] and "verdicts go on" in said[0]
    assert said[1] == "warning: --jsonl /dev/full: the last 50 lines are missing"


@needs_full
@pytest.mark.parametrize("where", ["file", "standard output"])
@pytest.mark.parametrize("source", ["demo:160x120", "demo:160x120@60?live=1"])
def test_an_inspection_outlives_a_full_disk(tiny_model: Path, where: str, source: str) -> None:
    target = str(FULL) if where == "file" else "-"
    command = [*DETECT, "--source", source, "--model", str(tiny_model), "--jsonl", target]
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert "5 frames in" in done.stderr
    assert done.stderr.count("a line cannot be written (No space left on device)") == 1
    assert "the last 5 lines are missing" in done.stderr


@needs_full
@pytest.mark.parametrize("more", [[], ["--log", "json"]])
def test_a_standard_error_on_a_full_disk_costs_what_would_be_said(
    tiny_model: Path, tmp_path: Path, more: list[str]
) -> None:
    events = tmp_path / "events.jsonl"
    command = [*DETECT, "--source", "demo:160x120@60?live=1", "--model", str(tiny_model), "--threshold", "-1"]
    command += ["--jsonl", str(events), "--stats", *more]
    with FULL.open("w") as full:
        done = subprocess.run(command, stderr=full, env=BUFFERED, timeout=60)
    assert (done.returncode, len(numbers(events))) == (3, 5)


@pytest.mark.parametrize(("source", "count"), [("demo:160x120@60?live=1", 10), ("demo:160x120", 5)])
def test_cameras_add_to_the_file_over_restarts(tiny_model: Path, tmp_path: Path, source: str, count: int) -> None:
    events = tmp_path / "events.jsonl"
    for _ in range(2):
        command = [*DETECT, "--source", source, "--model", str(tiny_model), "--jsonl", str(events)]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
        assert done.returncode in (0, 3), done.stderr
    assert len(numbers(events)) == count


def test_a_reader_that_has_gone_ends_the_run(tiny_model: Path) -> None:
    command = [*DETECT[:-2], "--source", "demo:160x120", "--model", str(tiny_model), "--jsonl", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as run:
        assert run.stdout is not None
        assert json.loads(run.stdout.readline())["frame"] == 0
        run.stdout.close()
        assert run.wait(timeout=60) == 1
        assert run.stderr is not None and "Traceback" not in run.stderr.read()


def test_a_wrong_place_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        EventLines(str(tmp_path / "no" / "such"))


def test_a_map_without_bounds_makes_a_line_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    endless = np.full((8, 8), np.inf, np.float32)
    small = np.zeros((32, 32, 3), np.uint8)
    placement = place((48, 64), (32, 32), "stretch")
    detection = Detection(math.inf, 0.5, Verdict.NG, endless, small, small, placement, Latency(1, 2, 3))
    frame = Frame(np.zeros((48, 64, 3), np.uint8), 1, datetime.now(UTC), "list")
    lines = EventLines(str(path))
    lines.write(frame_event(frame, detection, 1.0))
    lines.close()
    event = json.loads(path.read_text())
    assert event["score"] is None
    assert {region["peak"] for region in event["regions"]} == {None}


def test_the_first_ng_picture_that_cannot_be_saved_is_told_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    output = NgOutput(tmp_path / "ng", Drawer(), said.append)
    (tmp_path / "ng").rmdir()
    picture = np.zeros((48, 64, 3), np.uint8)
    small = np.zeros((32, 32, 3), np.uint8)
    placement = place((48, 64), (32, 32), "stretch")
    detection = Detection(1.0, 0.5, Verdict.NG, np.zeros((8, 8), np.float32), small, small, placement, Latency(1, 2, 3))
    frame = Frame(picture, 1, datetime.now(UTC), "list")
    for _ in range(3):
        output.take(ng := Judged(frame, picture, detection, "", None, 1.0, {}))
        assert len(said) == 1 and "1 frame could not be saved" in said[0]
    output.close()
    assert len(said) == 2 and "3 frames could not be saved" in said[1]
    output.close()
    assert len(said) == 2
    assert output.wants(ng)
    assert not output.wants(judged(2))

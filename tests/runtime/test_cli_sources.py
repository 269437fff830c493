"""`aae-detect` with several sources, and with cameras that come and go, as a user would run it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from aae_detect.run_streams import file_names

COMMAND = [sys.executable, "-m", "aae_detect"]
ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}


def events(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_while(process: subprocess.Popen[str], waiting: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while waiting():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)


def test_two_files_share_a_model_and_keep_their_outputs_apart(tiny_model: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "--source", "demo:160x120?frames=20", "--source", "demo:160x120?frames=12&seed=2"]
    command += ["--model", tiny_model, "--threshold", "-1", "--every", "2", "--rotate", "90", "--stats"]
    command += ["--save-video", tmp_path / "o.avi", "--save-ng", tmp_path / "ng", "--jsonl", tmp_path / "e.jsonl"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 3, done.stderr
    told = events(tmp_path / "e.jsonl")
    by_source = {name: [e["frame"] for e in told if e["source"] == name] for name in {e["source"] for e in told}}
    assert by_source == {
        "demo camera (seed 0)": list(range(0, 20, 2)),
        "demo camera (seed 2)": list(range(0, 12, 2)),
    }
    for seed, count in ((0, 10), (2, 6)):
        video = cv2.VideoCapture(str(tmp_path / f"o-demo-camera-seed-{seed}.avi"))
        assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_COUNT)) == (120, count)
        video.release()
        assert len(list((tmp_path / "ng" / f"demo-camera-seed-{seed}").glob("*overlay*"))) == count
    assert "demo camera (seed 2): 6 frames in" in done.stderr
    assert "judged/s" in done.stderr


def test_a_configured_camera_is_waited_for_lost_and_found_again(tiny_model: Path, tmp_path: Path) -> None:
    plug, log = tmp_path / "plug", tmp_path / "e.jsonl"
    config = tmp_path / "line.toml"
    config.write_text(
        f'[defaults]\nmodel = "{tiny_model}"\n'
        f'[[source]]\nname = "line 1"\nsource = "fake:{plug}"\nsize = "320x240"\n'
        '[[source]]\nname = "line 2"\nsource = "demo:160x120@20?live=1"\n'
    )
    command = [*COMMAND, "--config", config, "--no-window", "--jsonl", log]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:

        def wait_for(what: str, source: str = "line 1") -> None:
            def is_that(event: dict[str, object]) -> bool:
                return what in (event["type"], event.get("state")) and event["source"] == source

            wait_while(process, lambda: not any(is_that(e) for e in _whole(log)))

        wait_for("lost")  # it was never there
        wait_for("frame", "line 2")
        plug.write_text("here 640x480 @30")
        wait_for("back")
        wait_for("frame")
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1]
    assert process.returncode in (0, 3), said
    assert "line 1: no signal" in said
    assert "line 1: back after" in said
    assert "line 1: the camera was lost 1 time\n" in said
    frames = [event for event in events(log) if event["type"] == "frame"]
    assert {event["source"] for event in frames} == {"line 1", "line 2"}


def test_beside_a_camera_no_frame_of_a_file_is_lost_and_what_the_camera_refuses_is_told(
    tiny_model: Path, tmp_path: Path
) -> None:
    plug, log = tmp_path / "plug", tmp_path / "e.jsonl"
    plug.write_text("here 320x240 @50")
    config = tmp_path / "line.toml"
    config.write_text(
        f'[defaults]\nmodel = "{tiny_model}"\nthreshold = -1\n'
        f'[[source]]\nname = "line 1"\nsource = "fake:{plug}"\ngain = 3\n'
        '[[source]]\nname = "film"\nsource = "demo:640x480?frames=30"\n'
    )
    command = [*COMMAND, "--config", config, "--no-window", "--jsonl", log]
    command += ["--save-ng", tmp_path / "ng", "--save-video", tmp_path / "o.avi"]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        last = ("film", 29)
        wait_while(process, lambda: last not in {(e["source"], e.get("frame")) for e in _whole(log)})
        wait_while(process, lambda: "line 1" not in {e["source"] for e in _whole(log)})
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 3, said
    assert said.count("warning: line 1: asked for gain 3, the camera is at 0") == 1
    assert len(list((tmp_path / "ng" / "film").glob("*overlay*"))) == 30
    film, line = cv2.VideoCapture(str(tmp_path / "o-film.avi")), cv2.VideoCapture(str(tmp_path / "o-line-1.avi"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 30
    assert line.get(cv2.CAP_PROP_FPS) == 50, "the camera's own, which is known once it is there"
    film.release()
    line.release()


def test_no_two_sources_share_a_folder_or_a_file() -> None:
    assert file_names(["line 1"]) == [""]
    assert file_names(["line 1", "line-1", "LINE 1", "line-1-2", "???"]) == [
        "line-1",
        "line-1-2",
        "LINE-1-3",
        "line-1-2-2",
        "source",
    ]


def test_a_camera_that_is_not_there_ends_it_unless_it_is_waited_for(tiny_model: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "--source", f"fake:{tmp_path / 'plug'}", "--model", str(tiny_model), "--no-window"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 4
    assert "does not open" in done.stderr
    with subprocess.Popen([*command, "--wait"], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        while "no signal" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "0", "--config", "x.toml"], "--source and --config both name a source"),
        (["--config", "none.toml"], "none.toml cannot be read"),
        (["--source", "rtsp://me:${NO_SUCH_SECRET}@h/", "--no-window"], "NO_SUCH_SECRET is not set"),
        (["--source", "demo:", "--crop", "1,2"], "crop: '1,2'"),
        (["--source", "demo:", "--provider-option", "x"], "no KEY=VALUE"),
    ],
)
def test_mistakes(tiny_model: Path, options: list[str], message: str) -> None:
    command = [*COMMAND, "--model", str(tiny_model), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode in (2, 4)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def _whole(log: Path) -> list[dict[str, object]]:
    """Read the lines that are there so far."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

"""`aae-capture` as a user would run it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from aae_detect import DemoCamera
from aae_detect.capture.hints import Hints
from aae_detect.frame_statistics import measure_frame

CAPTURE = [sys.executable, "-m", "aae_detect.capture.cli"]
ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*CAPTURE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)


def test_pictures_that_differ_are_kept_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "good"
    done = run("--source", "demo:160x120?defects=0&seed=5", "--every", "5", "--count", "12", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "12 pictures kept in" in done.stderr and "aae-train" in done.stderr
    found = sorted(out.iterdir())
    assert [path.name for path in found] == [f"{number:06d}.png" for number in range(1, 13)]
    camera = DemoCamera(5, (120, 160), defect_rate=0.0)
    assert (cv2.imread(str(found[0])) == camera.render(0)[0]).all()
    done = run("--source", "demo:160x120?defects=0&seed=6", "--every", "5", "--count", "2", "--out", out)
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == 14, "nothing is overwritten"


def test_a_scene_that_stands_still_is_kept_once(tmp_path: Path) -> None:
    scene = DemoCamera(5, (120, 160), noise=0.0).render(3)[0].astype(np.float32)
    rng = np.random.default_rng(0)
    still = tmp_path / "still"
    still.mkdir()
    for number in range(10):
        noisy = np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(still / f"{number}.png"), noisy)
    done = run("--source", still, "--out", tmp_path / "good")
    assert done.returncode == 0, done.stderr
    assert "1 pictures kept" in done.stderr and "9 left out as alike" in done.stderr
    assert run("--source", still, "--out", tmp_path / "all", "--keep-alike").returncode == 0
    assert len(list((tmp_path / "all").iterdir())) == 10


def test_hints_say_what_to_do() -> None:
    hints, frame = Hints(), DemoCamera(5, (240, 320)).render(3)[0]
    assert hints.look(measure_frame(frame)) == []
    blurred = np.asarray(cv2.GaussianBlur(frame, (0, 0), 3), np.uint8)
    assert hints.look(measure_frame(blurred)) == ["less sharp than it was: focus, or movement"]
    assert hints.look(measure_frame((frame * 0.2).astype(np.uint8)))[0].startswith("dark")
    bright = np.clip(frame * 3.0, 0, 255).astype(np.uint8)
    assert "over-exposed: less light" in hints.look(measure_frame(bright))[0]


def test_a_stop_keeps_what_there_is(tmp_path: Path) -> None:
    command = [*CAPTURE, "--source", "demo:160x120@20?live=1&defects=0", "--most-fps", "10", "--out", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        until = time.monotonic() + 30
        while len(list(tmp_path.glob("*.png"))) < 3:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    kept = len(list(tmp_path.glob("*.png")))
    assert f"{kept} pictures kept" in said
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".png"]


def test_the_file_says_how_many_are_looked_at(tmp_path: Path) -> None:
    """One in a thousand seconds: the second picture is never due, unless the command's own rate wins."""
    config, out = tmp_path / "line.toml", tmp_path / "good"
    config.write_text('[[source]]\nsource = "demo:160x120@20?live=1&defects=0"\nmost_fps = 0.001\n')
    command = [*CAPTURE, "--config", str(config), "--keep-alike", "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as process:
        until = time.monotonic() + 30
        while not list(out.glob("*.png")):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert len(list(out.iterdir())) == 1


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    for arguments, code, words in (
        (("--source", "nowhere.mp4"), 4, "does not exist"),
        (("--source", "demo:", "--source", "demo:?seed=1"), 2, "2 sources are given"),
        (
            ("--source", "0", "--only", "line 1"),
            2,
            "--only line 1 picks a source of a file, and there is no --config; leave it out\n",
        ),
        ((), 2, "no source; give --camera 0, --source WHAT, or --config FILE\n"),
    ):
        done = run(*arguments, "--out", tmp_path / "good")
        assert done.returncode == code, done.stderr
        assert words in done.stderr

"""`aae-detect` as a user runs it: a process of its own, real files, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import cv2
import numpy as np
import pytest

from aae_detect.app import demo_model_path
from aae_detect.log_lines import log_lines
from aae_detect.source_options import VIEW_NAMES, view_options

GRAY = np.full((64, 96, 3), 127, np.uint8)


def run(*arguments: object, env: dict[str, str] | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aae_detect", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**os.environ, "DISPLAY": "", **(env or {})}
    )


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Two good pictures and one with a white spot, in numeric order."""
    folder = tmp_path / "parts"
    folder.mkdir()
    spot = GRAY.copy()
    spot[30:40, 50:60] = 255
    for name, picture in (("1.png", GRAY), ("2.png", spot), ("10.png", GRAY)):
        cv2.imwrite(str(folder / name), picture)
    return folder


def test_a_folder_of_pictures(tiny_model: Path, parts: Path, tmp_path: Path) -> None:
    events, ng, video = tmp_path / "events.jsonl", tmp_path / "ng", tmp_path / "overlay.avi"
    result = run("--source", parts, "--model", tiny_model, "--jsonl", events, "--save-ng", ng, "--save-video", video)
    assert result.returncode == 3, result.stderr
    assert [event["verdict"] for event in lines(events)] == ["OK", "NG", "OK"]
    assert [Path(str(event["source"])).name for event in lines(events)] == ["1.png", "2.png", "10.png"]
    (region,) = lines(events)[1]["regions"]  # type: ignore[misc]
    assert region["x"] <= 55 <= region["x"] + region["width"]  # type: ignore[index,operator]
    assert len(list(ng.iterdir())) == 2
    capture = cv2.VideoCapture(str(video))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 3
    assert "3 frames" in result.stderr
    assert str(video) in result.stderr
    assert "no window" in result.stderr


def test_all_good_is_exit_code_0_and_stdout_is_pure_json(tiny_model: Path, parts: Path) -> None:
    result = run("--source", parts / "1.png", "--jsonl", "-", "--no-window", env={"AAE_DETECT_MODEL": str(tiny_model)})
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["verdict"] for line in result.stdout.splitlines()] == ["OK"]


def test_a_broken_picture_among_good_ones(tiny_model: Path, parts: Path, tmp_path: Path) -> None:
    (parts / "3.png").write_bytes((parts / "1.png").read_bytes()[:40])
    (parts / "2.png").unlink()
    events = tmp_path / "events.jsonl"
    result = run("--source", parts, "--model", tiny_model, "--jsonl", events, "--no-window")
    assert result.returncode == 4
    assert [event["verdict"] for event in lines(events)] == ["OK", "UNKNOWN", "OK"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no source"),
        (["--demo", "--camera", "0"], 2, "leave --camera out"),
        (["--demo", "--rotate", "90", "--pixel-format", "MJPG"], 2, "leave --pixel-format and --rotate out"),
        (["--source", "demo:", "--model", "MODEL", "--product", "lid"], 2, "add --site FILE"),
        (["--camera", "0", "--source", "x"], 2, "both name a source"),
        (["--source", "demo:"], 2, "aae-train"),
        (["--demo", "--model", "nothing.onnx"], 5, "no model file nothing.onnx"),
        (["--demo", "--model", __file__], 5, "not an ONNX file"),
        (["--demo", "--model", "MODEL", "--threshold", "nan"], 2, "threshold: nan; expected a number"),
        (["--demo", "--model", "MODEL", "--jsonl", "no/such/folder/x"], 2, "--jsonl"),
        (["--source", "nowhere.mp4", "--model", "MODEL"], 4, "nowhere.mp4"),
        (["--camera", "97", "--model", "MODEL"], 4, "97"),
        (["--frobnicate"], 2, "No such option"),
    ],
)
def test_mistakes_have_a_message_and_a_code_and_no_traceback(
    tiny_model: Path, arguments: list[str], code: int, message: str
) -> None:
    arguments = [str(tiny_model) if argument == "MODEL" else argument for argument in arguments]
    result = run(*arguments, "--no-window", "--max-frames", 1, env={"AAE_DETECT_MODEL": ""})
    assert result.returncode == code, result.stderr
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly(tiny_model: Path, tmp_path: Path, number: signal.Signals) -> None:
    events, video = tmp_path / "events.jsonl", tmp_path / "overlay.mp4"
    command = [sys.executable, "-m", "aae_detect", "--demo", "--no-window", "--model", str(tiny_model)]
    command += ["--jsonl", str(events), "--save-video", str(video)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (events.exists() and events.read_text().count("\n") >= 3):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 3, stderr  # the tiny model takes every demo part for a defect
    assert events.read_text().endswith("}\n")
    capture = cv2.VideoCapture(str(video))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == len(lines(events))
    assert capture.read()[0]


def test_the_demo_needs_nothing(tmp_path: Path) -> None:
    if not demo_model_path().is_file():
        pytest.fail("the demo model is not in the package")
    events = tmp_path / "events.jsonl"
    result = run("--demo", "--no-window", "--max-frames", 40, "--jsonl", events)
    assert result.returncode in (0, 3), result.stderr
    assert len(lines(events)) == 40
    assert "parts:" in result.stderr


def test_doctor(tiny_model: Path) -> None:
    result = run("--doctor", "--model", tiny_model)
    assert result.returncode == 0, result.stdout
    assert "CPUExecutionProvider" in result.stdout


def test_help_names_exit_codes_and_keys() -> None:
    text = run("--help").stdout
    assert "Exit codes" in text
    assert "Keys in the window" in text


def test_the_environment_sets_options_and_options_win_over_it(parts: Path, tiny_model: Path, tmp_path: Path) -> None:
    environment = {
        "AAE_DETECT_MODEL": str(tiny_model),
        "AAE_DETECT_SOURCE": str(parts / "1.png"),
        "AAE_DETECT_NO_WINDOW": "1",
        "AAE_DETECT_THRESHOLD": "1e9",
        "AAE_DETECT_JSONL": str(tmp_path / "events.jsonl"),
    }
    assert run(env=environment).returncode == 0
    event = json.loads((tmp_path / "events.jsonl").read_text())
    assert (event["verdict"], event["threshold"]) == ("OK", 1e9)
    assert run("--threshold", -1, env=environment).returncode == 3
    config = tmp_path / "line.toml"
    config.write_text(f'[[source]]\nsource = "{parts / "1.png"}"\nthreshold = -1\nmodel = "none.onnx"\n')
    configured = {**environment, "AAE_DETECT_SOURCE": "", "AAE_DETECT_CONFIG": str(config)}
    assert run(env=configured).returncode == 0
    configured["AAE_DETECT_ONLY"] = "line 7"
    of_file = run("--config", config, env=configured)
    assert of_file.returncode == 2 and "--only line 7: " in of_file.stderr, "for whichever file it is"
    named = run("--source", parts / "2.png", "--threshold", -1, env=configured)
    assert named.returncode == 3 and "2.png" in named.stderr
    of_the_line = {"ROTATE": "90", "SIZE": "8x8", "PRODUCT": "lid", **dict.fromkeys(("SITE", "MASK", "DECIDE"), "none")}
    demo = run("--demo", "--max-frames", 2, env=environment | {f"AAE_DETECT_{k}": v for k, v in of_the_line.items()})
    assert demo.returncode in (0, 3) and "demo camera" in demo.stderr, demo.stderr
    assert json.loads((tmp_path / "events.jsonl").read_text().splitlines()[0])["threshold"] != 1e9
    wrong = run(env={**environment, "AAE_DETECT_THRESHOLD": "high"})
    assert wrong.returncode == 2 and "'--threshold'" in wrong.stderr


def test_the_environment_names_sources_one_on_a_line(parts: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Folders have spaces in their names, and pipelines consist of them."""
    spaced, events = parts.rename(tmp_path / "my parts"), tmp_path / "events.jsonl"
    named = f"{spaced / '1.png'}\n\n  demo:160x120?frames=2\n"
    done = run("--model", tiny_model, "--no-window", "--jsonl", events, env={"AAE_DETECT_SOURCE": named})
    assert done.returncode in (0, 3), done.stderr
    assert {event["source"] for event in lines(events)} == {str(spaced / "1.png"), "demo camera (seed 0)"}


def test_the_demo_refuses_all_that_is_said_of_a_cameras_picture() -> None:
    command = view_options(click.Command("look"))
    assert {parameter.name for parameter in command.params} == set(VIEW_NAMES)


def test_what_is_said_is_for_people_for_programs_or_for_the_journal(
    parts: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--source", parts / "1.png", "--model", tiny_model, "--no-window", "--max-frames", 1)
    lines = [json.loads(line) for line in run(*arguments, "--log", "json").stderr.splitlines()]
    assert all(set(line) == {"time", "level", "message"} for line in lines)
    assert {line["level"] for line in lines} == {"info"}
    assert any("NG above" in line["message"] for line in lines)
    with log_lines("json") as say:
        say("warning: the disk is full: no room")
    found = json.loads(capfd.readouterr().err)
    assert (found["level"], found["message"]) == ("warning", "the disk is full: no room")
    status = os.fstat(sys.stderr.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    with log_lines("text") as say:
        for text in ("warning: dark", "error: gone", "part 7\n<3>error: forged\x1b[2J: OK"):
            say(text)
    found = capfd.readouterr().err
    assert found == "<4>warning: dark\n<3>error: gone\n<6>part 7 <3>error: forged [2J: OK\n"
    monkeypatch.setattr(sys, "stderr", None)  # as Python has it where it was closed
    with log_lines("text") as say:
        say("nobody hears this")


def test_figures_are_lines_for_programs_too(parts: Path, tiny_model: Path) -> None:
    arguments = ("--source", parts, "--model", tiny_model, "--no-window", "--stats", "--log", "json")
    messages = [json.loads(line)["message"] for line in run(*arguments).stderr.splitlines()]
    assert any("judged/s" in message for message in messages)

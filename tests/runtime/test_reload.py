"""A new model without a stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aae_detect.app import demo_model_path

ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}


def events(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 40
    while not what():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("live", [1, 0])
def test_a_new_model_is_taken_on_sighup_and_a_bad_one_is_not(tiny_model: Path, tmp_path: Path, live: int) -> None:
    model, log = tmp_path / "detector.onnx", tmp_path / "events.jsonl"
    shutil.copy(tiny_model, model)
    command = [sys.executable, "-m", "aae_detect", "--source", f"demo:160x120@30?live={live}", "--model", str(model)]
    command += ["--no-window", "--jsonl", str(log)]

    def changes() -> list[dict[str, object]]:
        return [event for event in events(log) if event["type"] == "model"]

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        wait_for(lambda: len(events(log)) > 5, process)
        model.write_bytes(tiny_model.read_bytes()[:-100])
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(changes()) == 1, process)
        shutil.copy(demo_model_path(), model)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(changes()) == 2, process)
        judged_before = len(events(log))
        wait_for(lambda: len(events(log)) > judged_before + 3, process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode in (0, 1, 3), said
    refused, loaded = changes()
    assert (refused["state"], refused["threshold"]) == ("refused", 2.0)
    assert "truncated or damaged" in str(refused["reason"])
    assert loaded["state"] == "loaded" and loaded["model_sha256"] != refused["model_sha256"]
    told = events(log)
    frames = [(n, event["threshold"]) for n, event in enumerate(told) if event["type"] == "frame"]
    when = told.index(loaded)
    assert {threshold for n, threshold in frames if n < when} == {2.0}
    assert {threshold for n, threshold in frames if n > when} == {loaded["threshold"]}
    assert "the model stays" in said and "new model, NG above" in said


def test_triggers_are_heard_after_a_new_model_too(tiny_model: Path, tmp_path: Path) -> None:
    """Lines on standard input have one reader, before and after."""
    rules, log = tmp_path / "decide.toml", tmp_path / "events.jsonl"
    rules.write_text('[decide]\nper = "trigger"\nng_frames = 1\nof_frames = 2\n')
    command = [sys.executable, "-m", "aae_detect", "--source", "demo:160x120@30?live=1", "--model", str(tiny_model)]
    command += ["--no-window", "--jsonl", str(log), "--decide", str(rules)]

    def parts() -> list[object]:
        return [event["part"] for event in events(log) if event["type"] == "decision"]

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdin is not None
        wait_for(lambda: len(events(log)) > 3, process)
        for number in range(12):
            if number in (3, 7):
                process.send_signal(signal.SIGHUP)
                changes = 1 if number == 3 else 2
                wait_for(lambda n=changes: sum(e["type"] == "model" for e in events(log)) == n, process)  # type: ignore[misc]
            process.stdin.write(f"part-{number}\n")
            process.stdin.flush()
            wait_for(lambda n=number: len(parts()) == n + 1, process)  # type: ignore[misc]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert parts() == [f"part-{number}" for number in range(12)]

"""Lines that trigger: what comes is not always text, and not for ever."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aae_detect.app import demo_model_path
from aae_detect.decision.line_trigger import LineTrigger, TriggerLines

ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}


def wait_for(seen: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.005)


def names(trigger: LineTrigger) -> list[str]:
    found = []
    while (triggered := trigger.poll()) is not None:
        found.append(triggered.line)
    return found


def test_a_byte_that_is_no_text_neither_ends_the_triggers_nor_goes_unseen() -> None:
    said: list[str] = []
    reading, writing = os.pipe()
    lines = TriggerLines(said.append, reading)
    first, second = lines.subscribe(), lines.subscribe()
    os.write(writing, b"A1\n\xe4b\nA2\n")
    got: list[str] = []
    wait_for(lambda: got.extend(names(first)) or len(got) == 3)
    assert got == names(second) == ["A1", "\ufffdb", "A2"]
    assert said == [], "it is still open"
    os.write(writing, b"A\xc3")  # a line, and a letter, in two pieces
    time.sleep(0.05)
    os.write(writing, b"\xa4 \r\n\nlast")
    wait_for(lambda: got.extend(names(first)) or len(got) == 5)
    os.close(writing)
    wait_for(lambda: said)
    os.close(reading)
    assert got[3:] + names(first) == ["A\u00e4", "", "last"]
    assert len(said) == 1
    assert said[0].startswith("warning: standard input has ended; no line triggers from now on")


def test_a_line_that_does_not_end_fills_no_memory() -> None:
    reading, writing = os.pipe()
    trigger = TriggerLines(print, reading).subscribe()
    with os.fdopen(writing, "wb", buffering=0) as writer:
        writer.write(b"x" * 2_000_000 + b"\nA2\n")
    got: list[str] = []
    wait_for(lambda: got.extend(names(trigger)) or len(got) == 2)
    os.close(reading)
    assert got == ["x" * 4096, "A2"]


def test_what_a_message_holds_beside_a_name_goes_no_further() -> None:
    trigger = LineTrigger()
    for message in ("x\n<3>error: forged", " A\x1b[2J\u20287\x00\t", "y" * 10_000_000, "Schraube \u00e4\U0001f529 1"):
        trigger.put(message)
    assert names(trigger) == ["x <3>error: forged", "A [2J 7", "y" * 4096, "Schraube \u00e4\U0001f529 1"]


def test_each_line_waits_for_its_picture_and_what_is_too_much_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    trigger = LineTrigger(live=False, say=said.append)
    numbers = [str(number) for number in range(1, 2001)]
    for number in numbers:
        trigger.put(number)
    assert names(trigger) == numbers and said == []
    monkeypatch.setattr("aae_detect.decision.line_trigger._ROOM_OF_FILE", 3)
    for _ in range(2):
        for number in numbers[:5]:
            trigger.put(number)
        assert names(trigger) == numbers[:3], "each of the first is its picture's own"
    assert len(said) == 2 and said[0].startswith("warning: 3 lines wait for pictures; those that come now trigger")


def test_of_a_camera_the_oldest_triggers_go_and_that_is_said_once() -> None:
    said: list[str] = []
    trigger = LineTrigger(say=said.append)
    for number in range(1, 1006):
        trigger.put(str(number))
    assert said == ["warning: 1000 triggers wait for frames; the oldest are dropped, and get no answer"]
    assert names(trigger) == [str(number) for number in range(6, 1006)]


def test_a_failing_read_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    folder = os.open(tmp_path, os.O_RDONLY)
    trigger = TriggerLines(said.append, folder).subscribe()
    wait_for(lambda: said)
    os.close(folder)
    assert names(trigger) == []
    assert len(said) == 1
    assert said[0].startswith("warning: standard input cannot be read any more: Is a directory; no line triggers")


def test_a_process_without_standard_input_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    said: list[str] = []
    lines = TriggerLines(said.append)
    assert said == [] and threading.active_count() < 20, "nobody reads before somebody waits"
    lines.subscribe()
    wait_for(lambda: said)
    assert said[0].startswith("warning: standard input has ended")


def test_where_only_pictures_wait_the_end_of_the_lines_is_no_alarm_unless_a_camera_comes_later() -> None:
    said: list[str] = []
    reading, writing = os.pipe()
    lines = TriggerLines(said.append, reading)
    trigger = lines.subscribe(live=False)
    os.write(writing, b"A1\nA2\n")
    os.close(writing)
    wait_for(lambda: said)
    os.close(reading)
    assert names(trigger) == ["A1", "A2"]
    assert said == ["standard input has ended after 2 lines; pictures beyond those are not decided on"]
    lines.subscribe(live=False)
    assert len(said) == 1
    lines.subscribe()
    assert said[1].startswith("warning: standard input has ended; no line triggers")


def make_command(folder: Path) -> list[str]:
    rules = folder / "decide.toml"
    rules.write_text('[decide]\nper = "trigger"\nof_frames = 2\nng_frames = 2\n')
    command = [sys.executable, "-m", "aae_detect", "--source", "demo:160x120?frames=12&seed=3", "--no-window"]
    return [*command, "--model", str(demo_model_path()), "--decide", str(rules)]


def test_aae_detect_decides_on_parts_behind_a_stray_byte_and_says_that_no_more_come(tmp_path: Path) -> None:
    given = b"A1\n\xe4b\nA2\n"
    done = subprocess.run(make_command(tmp_path), input=given, capture_output=True, env=ENVIRONMENT, timeout=120)
    said = done.stderr.decode()
    assert "Traceback" not in said, said
    assert all(f"part {name} " in said for name in ("A1", "\ufffdb", "A2")), said
    assert said.count("standard input has ended after 3 lines") == 1, said


def test_aae_detect_ends_well_while_somebody_may_still_write(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(make_command(tmp_path), stdin=pipe, stderr=pipe, env=ENVIRONMENT) as running:
        assert running.stdin is not None and running.stderr is not None
        running.stdin.write(b"A1\n")
        running.stdin.flush()
        code, said = running.wait(60), running.stderr.read().decode()
    assert code in (0, 1, 3), said
    assert "part A1 " in said and "standard input" not in said and "Fatal" not in said, said

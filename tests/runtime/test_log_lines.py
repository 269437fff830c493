"""What a run says where standard error takes nothing: a terminal that was stopped, a log whose reader hangs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aae_detect import DemoCamera, Detector
from aae_detect.decision.commands import CommandOutput
from aae_detect.decision.decider import Decider
from aae_detect.decision.rules import Command, Rules
from aae_detect.frame_checks import FrameChecks
from aae_detect.live_stats import StatsScreen, StreamStats
from aae_detect.log_lines import log_lines
from aae_detect.outputs import NewsLines
from aae_detect.run_settings import Settings
from aae_detect.run_streams import put_together
from aae_detect.sinks.opening import Sinks
from aae_detect.sinks.settings import SinkSettings
from aae_detect.source_settings import SourceSettings
from aae_detect.stream_judges import Judges
from aae_detect.stream_settings import StreamSettings


@pytest.fixture
def full() -> Iterator[tuple[int, int, int]]:
    """Both ends of a pipe in which there is no room, and how many bytes lie in it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = 0
    with suppress(BlockingIOError):
        while True:
            size += os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    yield reader, writer, size
    for number in (reader, writer):
        with suppress(OSError):
            os.close(number)


def test_lines_wait_for_nobody_and_what_is_missing_is_said_in_its_place(
    full: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_detect.log_lines._LAST_S", 30)
    reader, writer, size = full
    said: list[str] = []

    def listen() -> None:
        with os.fdopen(reader, "rb") as read:
            read.read(size)
            said.extend(line.decode().strip() for line in read)

    listener = threading.Thread(target=listen, daemon=True)
    with os.fdopen(writer, "w") as stream, log_lines("text", stream) as say:
        for number in range(3000):  # returns at all: nobody reads yet
            say(f"line {number}")
        listener.start()
    listener.join(30)
    number = 0
    for line in said:
        if line.startswith("warning"):
            number += int(line.removeprefix("warning: ").split()[0])
            assert line.endswith("lines are missing here, as standard error did not take them in time")
        else:
            assert line == f"line {number}"
            number += 1
    assert number == 3000 and 1001 <= len(said) <= 1010


def test_frames_are_judged_while_nobody_reads(full: tuple[int, int, int], tiny_model: Path, tmp_path: Path) -> None:
    program = "from aae_detect import cli, log_lines; log_lines._LAST_S = 0.1; cli.main()"
    events = tmp_path / "events.jsonl"
    arguments = ["--source", "demo:160x120?frames=3", "--model", str(tiny_model), "--no-window", "--jsonl", str(events)]
    done = subprocess.run([sys.executable, "-c", program, *arguments], stderr=full[1], timeout=60)
    assert done.returncode in (0, 3)
    assert [json.loads(line)["frame"] for line in events.read_text().splitlines()] == [0, 1, 2]


def test_figures_hold_up_no_end(full: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aae_detect.live_stats._LAST_S", 0.1)
    with os.fdopen(full[1], "w") as stream:
        painter = StatsScreen([StreamStats("line 1", [])], stream)
        painter.close()
        assert painter._thread.is_alive()
        os.close(full[0])  # whoever might have read has gone: the write ends
        painter._thread.join(30)


def test_the_rejector_hears_of_a_decision_before_the_people(tiny_model: Path) -> None:
    asked = StreamSettings(SourceSettings("demo:160x120"), tiny_model)
    judges, sources = [Judges(Detector.load(tiny_model), FrameChecks())], [DemoCamera()]
    rules = Rules(commands=(Command(("reject",)),))
    sinks, say = Sinks(SinkSettings(), print), list[str]().append
    settings = Settings((asked,))
    streams, *_ = put_together(
        settings, sources, judges, [(Decider(rules), rules)], False, None, sinks, say, threading.Event()
    )
    names = [type(output) for output in streams[0].outputs]
    for output in streams[0].outputs:
        output.close()
    assert names.index(CommandOutput) < names.index(NewsLines)

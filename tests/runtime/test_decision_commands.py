"""Programs that are run for decisions: in order, one after the other, and none holds up what comes after it."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aae_detect import Verdict
from aae_detect.app import demo_model_path
from aae_detect.decision.commands import CommandOutput
from aae_detect.decision.decision import Decision
from aae_detect.decision.rules import Command

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def decision(verdict: Verdict = Verdict.NG, stop: bool = True, part: str = "7") -> Decision:
    return Decision("line 1", verdict, stop, NOON, 3, 5, 3, 2, 9.25, part)


def test_programs_are_run_in_order_without_a_shell(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '\\n')"
    said: list[str] = []
    program = (sys.executable, "-c", write, str(log))
    output = CommandOutput(
        (
            Command((*program, "{verdict} {part}", "{score}", "$HOME; {source}"), ("NG",)),
            Command((*program, "stopped"), ("stop",)),
            Command((*program, "passed"), ("pass",)),
        ),
        said.append,
    )
    output.tell(decision())
    output.tell(decision(Verdict.UNKNOWN, stop=False))
    output.close()
    assert log.read_text().splitlines() == ["NG 7 9.25 $HOME; line 1", "stopped", "passed"]
    assert said == []


def test_programs_that_fail_hang_or_are_not_there_are_told_and_hold_nothing_up() -> None:
    said: list[str] = []
    output = CommandOutput(
        (
            Command((sys.executable, "-c", "import sys; sys.exit('no air')"), ("NG",)),
            Command((sys.executable, "-c", "import time; time.sleep(60)"), ("NG",), timeout_s=3),
            Command(("/no/such/program",), ("NG",)),
        ),
        said.append,
    )
    start = time.monotonic()
    output.tell(decision())
    assert time.monotonic() - start < 2.5
    output.close()
    assert "ended with code 1: no air" in said[0]
    assert "did not end within 3 s" in said[1]
    assert "/no/such/program cannot be run: No such file" in said[2]


def test_what_a_program_started_ends_with_it_and_what_it_says_need_not_be_text(tmp_path: Path) -> None:
    said: list[str] = []
    log, free = tmp_path / "log", "import os; os.write(2, b'\\xe4 no air'); raise SystemExit(2)"
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    commands = (
        Command(("sh", "-c", f'{sys.executable} -c "{child}" > {log} & wait'), ("NG",), timeout_s=4),
        Command((sys.executable, "-c", free), ("NG",), timeout_s=60),
    )
    output = CommandOutput(commands, said.append)
    output.tell(decision())
    until = time.monotonic() + 30
    while len(said) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    output.close()
    assert "did not end within 4 s" in said[0]
    assert said[1].endswith("ended with code 2: \ufffd no air")

    def runs() -> bool:
        stat = Path("/proc", log.read_text().strip(), "stat")
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"

    while runs() and time.monotonic() < until:
        time.sleep(0.05)
    assert not runs()


def test_a_program_that_may_not_be_ended_holds_up_no_decision_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(group: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    end = os.killpg
    monkeypatch.setattr(os, "killpg", refuse)  # as for a program of root's, which sudo has started
    said, log = list[str](), tmp_path / "log"
    commands = (
        Command(("sh", "-c", "sleep 300"), ("NG",), timeout_s=0.1),
        Command(("sh", "-c", f"echo told >> {log}"), ("NG",), timeout_s=60),
    )
    output = CommandOutput(commands, said.append)
    output.tell(decision())
    output.tell(decision())
    output.close()
    (first, second) = output._left
    for left in (first, second):
        end(left.pid, signal.SIGKILL)
        left.wait(30)
    assert log.read_text() == "told\ntold\n"
    words = "warning: sh did not end within 0.1 s, and cannot be ended: Operation not permitted; it goes on"
    assert said == [words, words]


def test_the_end_waits_for_no_hanging_program_and_says_what_was_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_detect.decision.commands._CLOSE_S", 0.2)
    said, log = list[str](), tmp_path / "log"
    hanging = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w')); time.sleep(300)"
    output = CommandOutput((Command((sys.executable, "-c", hanging, str(log)), ("NG",), timeout_s=300),), said.append)
    output.tell(decision())
    until = time.monotonic() + 30
    while not (log.exists() and log.read_text().endswith("\n")) and time.monotonic() < until:
        time.sleep(0.05)
    for _ in range(100):
        output.tell(decision())
    assert said == [], "there is room for a hundred"
    start = time.monotonic()
    output.close()
    assert time.monotonic() - start < 30
    assert output.dropped == 100
    assert "still runs 0.2 s after the end" in said[0] and "100 decisions that wait behind it are not told" in said[0]
    os.kill(int(log.read_text()), signal.SIGKILL)
    output._thread.join(30)
    assert not output._thread.is_alive() and len(said) == 2, "none of them was run after all"


def test_too_many_decisions_are_dropped_counted_and_said() -> None:
    said: list[str] = []
    output = CommandOutput((Command((sys.executable, "-c", "import time; time.sleep(1)"), ("NG",)),), said.append)
    for _ in range(105):
        output.tell(decision())
    assert output.dropped >= 3
    assert "was not told, as 100 commands are waiting" in said[0]
    output._waiting.queue.clear()
    output.close()
    assert threading.active_count() < 20


def test_the_line_is_told_while_aae_detect_runs(tmp_path: Path) -> None:
    rules, log, events = tmp_path / "decide.toml", tmp_path / "log", tmp_path / "events.jsonl"
    rules.write_text(
        '[decide]\nng_frames = 2\nof_frames = 3\n[[command]]\nrun = ["/bin/sh", "-c", '
        f'"echo {{verdict}} >> {log}"]\non = ["OK", "NG"]\n'
    )
    command = [sys.executable, "-m", "aae_detect", "--source", "demo:?seed=3&defects=0.5&frames=120"]
    command += ["--model", str(demo_model_path()), "--no-window", "--decide", str(rules), "--jsonl", str(events)]
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 3, done.stderr
    told = [json.loads(line) for line in events.read_text().splitlines()]
    decisions = [event["verdict"] for event in told if event["type"] == "decision"]
    assert decisions[0] == "OK" and "NG" in decisions
    assert all(first != second for first, second in itertools.pairwise(decisions)), "changes only"
    assert log.read_text().split() == decisions
    assert done.stderr.count(": stop") == decisions.count("NG")
    frames = [event["verdict"] for event in told if event["type"] == "frame"]
    assert len(frames) == 120

"""From frames to what the line is told."""

import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from aae_detect import ConfigError, Verdict
from aae_detect.app import demo_model_path
from aae_detect.decision import rules as rules_module
from aae_detect.decision.commands import CommandOutput
from aae_detect.decision.decider import Decider
from aae_detect.decision.decision import Decision
from aae_detect.decision.line_trigger import LineTrigger
from aae_detect.decision.part_finder import PartFinder
from aae_detect.decision.rules import Command, Rules, read_rules
from aae_detect.detection import Detection, Latency
from aae_detect.frames import Frame
from aae_detect.geometry import place
from aae_detect.judged import Judged

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
EMPTY = np.full((64, 64, 3), 90, np.uint8)
PART = EMPTY.copy()
PART[20:50, 20:50] = 200


def judged(
    number: int, score: float | None, picture: np.ndarray = EMPTY, area_cells: int = 1, since_ns: int = 0
) -> Judged:
    """A frame of 64x64, a hundredth of a second each, with a threshold of 2; no score: nothing can be said."""
    read_ns = since_ns + number * 10**7
    frame = Frame(picture, number, NOON + timedelta(seconds=number / 100), "line", read_ns=read_ns)
    if score is None:
        return Judged(frame, picture, None, "black", None, 0.0, {})
    model_map = np.zeros((16, 16), np.float32)
    model_map[4, 4 : 4 + area_cells] = score
    verdict = Verdict.NG if score > 2 else Verdict.OK
    detection = Detection(
        score, 2.0, verdict, model_map, picture, picture, place((64, 64), (64, 64), "stretch"), Latency(0, 0, 0)
    )
    return Judged(frame, picture, detection, "", None, 0.0, {})


def decide(decider: Decider, scores: Iterable[float | None], first: int = 0) -> list[tuple[int, str, bool]]:
    """Return at which frame what was decided."""
    found = []
    for number, score in enumerate(scores, start=first):
        found += [(number, d.verdict.value, d.stop) for d in decider.take(judged(number, score))]
    return found


def test_by_default_every_change_is_told_at_once() -> None:
    assert decide(Decider(Rules()), [1, 1, 3, 3, 1, None, 1]) == [
        (0, "OK", False),
        (2, "NG", True),
        (4, "OK", False),
        (5, "UNKNOWN", True),
        (6, "OK", False),
    ]


def test_two_of_three_frames_have_to_agree() -> None:
    decider = Decider(Rules(ng_frames=2, of_frames=3))
    assert decide(decider, [1, 3, 1, 1, 3, 1, 3, 1, 1]) == [(0, "OK", False), (6, "NG", True), (7, "OK", False)]


def test_unknown_frames_stop_the_line_only_if_they_might_hide_something_and_only_if_they_shall() -> None:
    scores = [1, 1, 1, None, 1, 1, 1, None, None, 1, 1, 1]
    assert decide(Decider(Rules(ng_frames=2, of_frames=3)), scores) == [
        (0, "OK", False),
        (8, "UNKNOWN", True),
        (10, "OK", False),
    ]
    assert (8, "UNKNOWN", False) in decide(Decider(Rules(ng_frames=2, of_frames=3, unknown="pass")), scores)


def test_a_score_that_trembles_about_the_threshold_is_told_once() -> None:
    scores = [1, 2.1, 1.9, 2.1, 1.85, 2.05, 1.7]
    assert len(decide(Decider(Rules()), scores)) == 7
    assert decide(Decider(Rules(hysteresis=0.1)), scores) == [(0, "OK", False), (1, "NG", True), (6, "OK", False)]


def test_ng_lasts_for_the_cooldown() -> None:
    scores = [1, 3, *[1] * 30]
    assert decide(Decider(Rules(cooldown_s=0.2)), scores) == [(0, "OK", False), (1, "NG", True), (21, "OK", False)]


def test_small_regions_do_not_count() -> None:
    decider = Decider(Rules(least_area_px=40))
    assert [d.verdict.value for d in decider.take(judged(0, 5, area_cells=1))] == ["OK"]
    assert [d.verdict.value for d in decider.take(judged(1, 5, area_cells=6))] == ["NG"]
    patient = Decider(Rules(least_area_px=40, hysteresis=0.1))
    told = [d.verdict.value for n, cells in enumerate((6, 1)) for d in patient.take(judged(n, 5, area_cells=cells))]
    assert told == ["NG", "OK"], "a small one is small, also while NG"


def test_a_small_one_is_small_between_the_thresholds_too() -> None:
    """A speck that lasts must not keep a line standing that a large defect has stopped."""
    decider, large = Decider(Rules(least_area_px=40, hysteresis=0.1)), judged(1, 1.9)
    assert large.detection is not None
    large.detection.model_map[4:10, 4:10] = 1.9
    assert [d.verdict.value for d in decider.take(judged(0, 5, area_cells=6))] == ["NG"]
    assert decider.take(large) == [], "a large one keeps it NG down to 1.8"
    assert [d.verdict.value for d in decider.take(judged(2, 1.9, area_cells=1))] == ["OK"]


def test_a_part_is_judged_once_when_it_has_gone() -> None:
    decider = Decider(Rules(per="part", ng_frames=2))
    found: list[Decision] = []
    number = 0
    for score in (None, 3, 5, 1):  # what each part's frames score, at most
        shown = [(EMPTY, 1.0)] * 20 + [(PART, 1.0 if score is None else score)] * 6 + [(EMPTY, 1.0)] * 5
        for place_in_part, (picture, value) in enumerate(shown):
            value = 1.0 if place_in_part % 3 == 0 else value
            found += decider.take(judged(number, value, picture))
            number += 1
    assert [(d.part, d.verdict.value) for d in found] == [("1", "OK"), ("2", "NG"), ("3", "NG"), ("4", "OK")]
    assert [d.ng_frames >= 2 for d in found] == [False, True, True, False]
    assert all(5 <= d.frames <= 8 for d in found)
    assert found[1].last_frame - found[1].first_frame == found[1].frames - 1


def test_a_part_that_is_still_there_at_the_end_is_judged_too() -> None:
    decider = Decider(Rules(per="part"))
    pictures = [EMPTY] * 20 + [PART] * 5
    assert [d for n, p in enumerate(pictures) for d in decider.take(judged(n, 3.0, p))] == []
    (decision,) = decider.finish()
    assert (decision.verdict, decision.part) == (Verdict.NG, "1")
    assert decider.finish() == []


def test_the_empty_place_follows_the_light_and_noise_is_no_part() -> None:
    finder, rng = PartFinder(0.03), np.random.default_rng(0)
    seen = []
    for number in range(400):
        level = 90 + number / 8  # 50 gray levels brighter in the end
        seen.append(finder.look(np.clip(rng.normal(level, 4, (64, 64, 3)), 0, 255).astype(np.uint8)))
    assert not any(seen)
    brighter = np.full((64, 64, 3), 140, np.uint8)
    brighter[20:50, 20:50] = 30
    assert [finder.look(brighter) for _ in range(3)] == [False, True, True]


def test_a_trigger_asks_for_so_many_frames() -> None:
    trigger, now = LineTrigger(), time.monotonic_ns()
    trigger.put("A7", now * 1e-9)
    trigger.put("", now * 1e-9 + 0.025)
    decider = Decider(Rules(per="trigger", ng_frames=2, of_frames=3), trigger)
    scores = [3, 3, 1, 1, 1, 3, 3, 3, 3]
    found = [d for n, score in enumerate(scores) for d in decider.take(judged(n, score, since_ns=now))]
    assert [(d.part, d.verdict.value, d.first_frame, d.last_frame) for d in found] == [
        ("A7", "NG", 0, 2),
        ("2", "OK", 3, 5),
    ]


def test_frames_that_do_not_come_in_time_leave_a_part_unknown() -> None:
    trigger = LineTrigger()
    trigger.put("A7", 0.0)
    decider = Decider(Rules(per="trigger", ng_frames=3, of_frames=5, timeout_s=0.05), trigger)
    found = [d for number in (0, 10, 20) for d in decider.take(judged(number, None))]
    assert [(d.part, d.verdict.value, d.stop, d.frames) for d in found] == [("A7", "UNKNOWN", True, 1)]
    assert (found[0].first_frame, found[0].last_frame) == (0, 0)


EVERYTHING = """
[decide]
per = "trigger"
ng_frames = 2
of_frames = 3
least_area_px = 30
unknown = "pass"
timeout_s = 1
mqtt_topic = "line1/part"

[[command]]
run = ["reject", "{source}"]
on = ["NG", "UNKNOWN"]
timeout_s = 2
"""


def test_a_file_says_all_that_rules_can(tmp_path: Path) -> None:
    path = tmp_path / "decide.toml"
    path.write_text(EVERYTHING)
    commands = (Command(("reject", "{source}"), ("NG", "UNKNOWN"), 2.0),)
    numbers = (2, 3, 0.0, 30, 0.0, "pass", 0.03, 60.0, 1.0)
    assert read_rules(path) == Rules("trigger", *numbers, "line1/part", None, commands)
    path.write_text('[decide]\nper = "part"\npart_share = 0.05\nlongest_s = 90\ntimeout_s = 1\n')
    assert read_rules(path) == Rules("part", part_share=0.05, longest_s=90.0, timeout_s=1.0)
    path.write_text("[decide]\nhysteresis = 0.1\ncooldown_s = 0.5\n")
    assert read_rules(path) == Rules(hysteresis=0.1, cooldown_s=0.5)
    path.write_text('[[command]]\nrun = ["reject"]\n[[gpio]]\nline = "gpiochip0:17"\n')
    rules = read_rules(path)
    assert rules.commands[0].on == rules.gpio[0].on == ("stop",)  # UNKNOWN stops the line, too
    path.write_text("")
    assert read_rules(path) == Rules()


def test_the_documents_file_of_rules_can_be_used_as_it_stands(tmp_path: Path) -> None:
    document = Path(__file__).parents[2] / "docs" / "decisions.md"
    blocks = re.findall(r"```toml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1 and rules_module.__doc__ is not None
    path = tmp_path / "decide.toml"
    for text in (*blocks, rules_module.__doc__.partition("\n\n")[2]):
        path.write_text(text)
        rules = read_rules(path)
        assert (rules.per, rules.ng_frames, rules.of_frames, rules.commands[0].on) == ("frame", 2, 3, ("NG",))
        assert rules.hysteresis == 0.1
        # What is commented out can be used as well: the light barrier or the topic, and a rule for parts.
        without_topic = re.sub("^(# mqtt_topic|hysteresis|cooldown_s).*", "", text, flags=re.MULTILINE)
        path.write_text(re.sub("^# ", "", without_topic, flags=re.MULTILINE).replace('"frame"', '"trigger"', 1))
        rules = read_rules(path)
        assert rules.gpio_trigger is not None and rules.gpio_trigger.offset == 27
        assert rules.longest_s == Rules().longest_s


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[decide]\n\nper = 'parts'", 3, "per: parts; expected frame, part, trigger"),
        ("[decide]\nng_frames = 3\nof_frames = 2", 2, "ng_frames: 3; expected 1 to of_frames"),
        ("[decide]\nng_frames = 1.5", 2, "ng_frames: 1.5; expected a whole number"),
        ("[decide]\nhysteresis = nan", 2, "hysteresis: nan"),
        ("[decide]\nhysteresis = true", 2, "hysteresis: True; expected a number"),
        ("[decide]\nper = 'trigger'\nhysteresis = 0.1", 3, 'hysteresis: 0.1; expected with per = "frame" only'),
        ("[decide]\nper = 'part'\nof_frames = 3", 3, 'of_frames: 3; not expected with per = "part"'),
        ("[decide]\nper = 'part'\ncooldown_s = 1", 3, 'cooldown_s: 1.0; expected with per = "frame" only'),
        ("[decide]\nper = 'trigger'\npart_share = 0.1", 3, 'part_share: 0.1; expected with per = "part" only'),
        ("[decide]\nlongest_s = 90", 2, 'longest_s: 90.0; expected with per = "part" only'),
        ("[decide]\ntimeout_s = 1", 2, 'timeout_s: 1.0; not expected with per = "frame"'),
        ("[decide]\nlongest_s = -1", 2, "longest_s: -1.0; expected 0 to 86400"),
        ("[decide]\ncooldown = 3", 2, "cooldown: unknown in decide"),
        ("[deside]\nper = 'frame'", 1, "deside is not expected"),
        ("[[command]]\nrun = 'reject'", 2, "run: 'reject'; expected a list of texts"),
        ("[[command]]\nrun = []", 2, "run is empty"),
        ("\n[[command]]\non = ['NG']", 2, "command 1 has no run"),
        ("[[command]]\nrun = ['x']\non = ['BAD']", 3, "on names 'BAD'"),
        ("[decide", 1, "is no TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text: str, line: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "decide.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as found:
        read_rules(path)
    assert words in str(found.value)
    assert str(found.value).startswith(f"{path}:{line}:") or "TOML" in words


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

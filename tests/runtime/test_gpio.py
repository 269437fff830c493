"""Lines of GPIO: no chip is needed, but libgpiod's own settings and names are, so that what is asked for is real."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aae_detect import ConfigError
from aae_detect.config_check import check_config
from aae_detect.decision.decision import Decision
from aae_detect.decision.gpio import GpioOutput, GpioTrigger
from aae_detect.decision.line_trigger import Triggered
from aae_detect.decision.rules import GpioLine, read_rules
from aae_detect.detection import Verdict
from aae_detect.source_options import read_streams
from aae_detect.stream_judges import load_deciders

gpiod = pytest.importorskip("gpiod", reason="needs gpiod")


class Line:
    """What `gpiod.request_lines` gives, with a wire in the place of a chip."""

    def __init__(self, path: str, config: dict[Any, Any], consumer: str) -> None:
        ((self.offset, self.settings),) = config.items()
        self.path, self.consumer, self.released = path, consumer, False
        self.changes: list[tuple[float, bool]] = []
        self.edges = threading.Semaphore(0)
        self.edge_ns = 0
        self.broken = False

    def set_value(self, offset: int | str, value: Any) -> None:
        assert offset == self.offset and not self.released
        if self.broken:
            raise OSError(5, "Input/output error")
        self.changes.append((time.monotonic(), value is gpiod.line.Value.ACTIVE))

    def wait_edge_events(self, timeout: float) -> bool:
        if self.broken:
            raise OSError(19, "No such device")
        return self.edges.acquire(timeout=timeout)

    def read_edge_events(self) -> list[Any]:
        return [gpiod.EdgeEvent(gpiod.EdgeEvent.Type.RISING_EDGE.value, self.edge_ns, 27, 1, 1)]

    def release(self) -> None:
        self.released = True


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Line]]:
    made: list[Line] = []

    def request_lines(path: str, config: dict[Any, Any], consumer: str) -> Line:
        made.append(Line(path, config, consumer))
        return made[-1]

    monkeypatch.setattr(gpiod, "request_lines", request_lines)
    yield made


def decision(verdict: str) -> Decision:
    return Decision("line 1", Verdict(verdict), verdict == "NG", datetime.now(UTC), 0, 1, 2, 1, 3.0)


def wait_for(seen: Any) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_lamp_is_on_until_something_else_is_decided(lines: list[Line]) -> None:
    with closing(GpioOutput([GpioLine("gpiochip0:17", ("NG",), active_low=True)], print)) as output:
        (line,) = lines
        assert (line.path, line.offset, line.consumer) == ("/dev/gpiochip0", 17, "aae-detect")
        assert line.settings.direction is gpiod.line.Direction.OUTPUT
        assert line.settings.output_value is gpiod.line.Value.INACTIVE and line.settings.active_low
        for verdict in ("OK", "NG", "NG", "UNKNOWN"):
            output.tell(decision(verdict))
        wait_for(lambda: len(line.changes) == 4)
        assert [on for _, on in line.changes] == [False, True, True, False]
        output.tell(decision("NG"))
    assert line.changes[-1][1] is False and line.released, "off in the end"


def test_an_ejector_gets_its_pulse_late_and_pulses_that_meet_become_one(lines: list[Line]) -> None:
    with closing(GpioOutput([GpioLine("gpiochip1:EJECT", ("stop",), pulse_s=1.5, delay_s=0.15)], print)) as output:
        (line,) = lines
        assert (line.path, line.offset) == ("/dev/gpiochip1", "EJECT")
        asked = time.monotonic()
        output.tell(decision("NG"))
        output.tell(decision("OK"))
        time.sleep(0.1)
        again = time.monotonic()
        output.tell(decision("NG"))
        wait_for(lambda: len(line.changes) == 3)
    # On, on again by the second pulse, and off once: the end of the first pulse lies inside of the second.
    assert [on for _, on in line.changes[:3]] == [True, True, False]
    (first, _), _, (last, _) = line.changes[:3]
    assert 0.14 < first - asked < 3
    assert 1.64 < last - again < 4


def test_a_pulse_that_was_decided_is_given_before_the_end(lines: list[Line]) -> None:
    output = GpioOutput([GpioLine("gpiochip0:1", ("NG",), pulse_s=0.1, delay_s=0.2)], print)
    output.tell(decision("NG"))
    output.close()
    assert [on for _, on in lines[0].changes] == [True, False, False]


def test_a_part_that_is_on_its_way_to_the_ejector_is_waited_for(
    lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_detect.decision.gpio._CLOSE_S", 0.2)
    both = [GpioLine("gpiochip0:1", ("NG",), pulse_s=0.1, delay_s=1.5), GpioLine("gpiochip0:2", ("NG",), delay_s=50)]
    output, start = GpioOutput(both, print), time.monotonic()
    output.tell(decision("NG"))
    output.close()
    wait_for(lambda: all(line.released for line in lines))
    assert [on for _, on in lines[0].changes] == [True, False, False]
    assert [on for _, on in lines[1].changes] == [False], "a lamp need not be lit before it goes out"
    assert time.monotonic() - start < 20


def test_sources_that_share_a_line_are_told_so_before_the_start(lines: list[Line], tmp_path: Path) -> None:
    (tmp_path / "decide.toml").write_text('[decide]\n[[gpio]]\nline = "gpiochip0:17"\n')
    config = tmp_path / "line.toml"
    source = '[[source]]\nsource = "{}"\ndecide = "decide.toml"\n'
    config.write_text(source.format(0) + source.format(1))
    words = "GPIO line gpiochip0:17 is asked for twice, by camera 0 and camera 1"
    told, fine = check_config(config)
    assert not fine and words in told[-1]
    with pytest.raises(ConfigError, match=words):
        load_deciders(read_streams(None, (), config, False, {}), print)
    config.write_text(source.format(0))
    load_deciders(read_streams(None, (), config, False, {}), print)
    (tmp_path / "decide.toml").write_text('[[gpio]]\nline = "gpiochip0:17"\n[[gpio]]\nline = "/dev/gpiochip0:17"\n')
    assert "is asked for twice, by camera 0, and" in check_config(config)[0][-1]


def test_a_line_that_fails_is_told_and_counted(lines: list[Line]) -> None:
    said: list[str] = []
    with closing(GpioOutput([GpioLine("gpiochip0:17", ("NG",))], said.append)) as output:
        lines[0].broken = True
        output.tell(decision("NG"))
        wait_for(lambda: bool(said))
        assert output.dropped == 1
    assert said[0] == "warning: gpiochip0:17 could not be switched on: Input/output error"


def test_a_light_barrier_triggers(lines: list[Line]) -> None:
    said: list[str] = []
    trigger = GpioTrigger(GpioLine("gpiochip0:27", debounce_s=0.005), said.append)
    (line,) = lines
    assert line.settings.edge_detection is gpiod.line.Edge.RISING
    assert line.settings.debounce_period == timedelta(milliseconds=5)
    assert line.settings.event_clock is gpiod.line.Clock.MONOTONIC
    assert trigger.poll() is None
    line.edge_ns = 7_500_000_000  # when it was, and not when it was read
    line.edges.release(2)
    wait_for(lambda: len(trigger._waiting) == 2)
    assert trigger.poll(7.4) is None
    assert (trigger.poll(7.5), trigger.poll(), trigger.poll()) == (Triggered("", 7.5), Triggered("", 7.5), None)
    line.broken = True
    wait_for(lambda: bool(said))
    line.broken = False
    line.edges.release()
    wait_for(lambda: len(trigger._waiting) == 1)
    assert said == ["warning: gpiochip0:27 cannot be heard: No such device; parts are missed"]


def test_a_chip_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match="GPIO line gpiochip77:3 cannot be had: No such file"):
        GpioOutput([GpioLine("gpiochip77:3")], print)


def test_a_file_names_lines(tmp_path: Path) -> None:
    path = tmp_path / "decide.toml"
    path.write_text(
        '[decide]\nper = "trigger"\n[gpio_trigger]\nline = "gpiochip0:27"\ndebounce_s = 0.01\n'
        '[[gpio]]\nline = "gpiochip0:17"\non = ["stop"]\npulse_s = 0.2\ndelay_s = 0.5\nactive_low = true\n'
    )
    rules = read_rules(path)
    assert rules.gpio == (GpioLine("gpiochip0:17", ("stop",), 0.2, 0.5, True),)
    assert rules.gpio_trigger == GpioLine("gpiochip0:27", debounce_s=0.01)
    for text, line, words in (
        ("[[gpio]]\nline = '17'\n", 2, 'expected "CHIP:LINE"'),
        ("[[gpio]]\non = ['NG']\n", 1, "gpio 1 has no line"),
        ("[[gpio]]\nline = 'a:1'\npulse_s = 99\n", 3, "pulse_s: 99.0; expected 0 to 60"),
        ("[gpio_trigger]\nline = 'a:1'\n", 1, 'expected with per = "trigger" only'),
        ("[gpio]\nline = 'a:1'\n", 1, "gpio is not expected"),
        (
            "[decide]\nper = 'trigger'\nmqtt_topic = 'a'\n[gpio_trigger]\nline = 'a:1'\n",
            4,
            "expected this or mqtt_topic",
        ),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as raised:
            read_rules(path)
        assert str(raised.value).startswith(f"{path}:{line}: ") and words in str(raised.value), raised.value

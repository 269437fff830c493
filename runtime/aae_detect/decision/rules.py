"""What the line is told, and when: one TOML file.

[decide]
per = "frame"              # or "part": found by what changes in the picture; or "trigger": a line on standard input,
# mqtt_topic = "line1/part"  # or a message on this topic, by the broker of --sinks
ng_frames = 2              # NG as soon as so many ...
of_frames = 3              # ... of the last so many frames are NG, or of those after a trigger; not of a part's
hysteresis = 0.1           # of frames: while NG, one counts as NG down to a tenth below the threshold
least_area_px = 30         # smaller regions do not make a frame NG, frame pixels
cooldown_s = 0.5           # of frames only: NG lasts for so long after the last one that was
unknown = "stop"           # what frames do that say nothing: "stop" the line, or let it "pass"
# part_share = 0.03        # of per = "part" only: share of the picture that a part changes at least
# longest_s = 60           # of per = "part" only: what stays for longer is decided on, and is the empty place then
# timeout_s = 2            # of "trigger": how long a part's frames are waited for; of "part": how long none may be seen

[[command]]
run = ["/usr/local/bin/reject", "{source}", "{verdict}"]
on = ["NG"]                # of OK, NG, UNKNOWN; or "stop" (the default), "pass"

[[gpio]]
line = "gpiochip0:17"
on = ["stop"]
pulse_s = 0.2              # without: on until something else is decided

# [gpio_trigger]           # or a line that becomes active triggers
# line = "gpiochip0:27"
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aae_detect.checked_toml import (
    Kinds,
    a_number,
    a_text,
    a_truth,
    a_whole_number,
    line_of,
    read_table,
    read_toml,
    texts,
    wrong,
)
from aae_detect.errors import ConfigError

Per = Literal["frame", "part", "trigger"]
Unknown = Literal["stop", "pass"]
OCCASIONS = ("OK", "NG", "UNKNOWN", "stop", "pass")

_MOST_FRAMES = 10_000
_NOT_OF_PART = 'not expected with per = "part", as all frames of a part count; leave it out'
_OF_FRAME = 'expected with per = "frame" only, as parts have no state before; leave it out'
_OF_PART = 'expected with per = "part" only, as nobody looks for parts otherwise; leave it out'
_NOT_OF_FRAME = 'not expected with per = "frame", as nobody waits for frames there; leave it out'


@dataclass(frozen=True)
class Command:
    """A program that is run when something is decided."""

    run: tuple[str, ...]
    """The program and its arguments; `{source}`, `{verdict}`, `{part}` and `{score}` are filled in. No shell."""

    on: tuple[str, ...] = ("stop",)
    """Of `OCCASIONS`."""

    timeout_s: float = 5.0
    """Ended after so long."""

    def __post_init__(self) -> None:
        if not self.run or not all(self.run):
            raise ValueError("run is empty; expected a program and its arguments as a list of texts")
        _check_occasions(self.on)
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected above 0, up to 3600")


@dataclass(frozen=True)
class GpioLine:
    """A line of a GPIO chip that is switched, or that triggers."""

    line: str
    """`CHIP:LINE`, such as `gpiochip0:17`; a line also by its name."""

    on: tuple[str, ...] = ("stop",)
    """Of `OCCASIONS`."""

    pulse_s: float = 0.0
    """How long it is on; 0: until something else is decided."""

    delay_s: float = 0.0
    """From the decision to the switching: an ejector stands behind the camera."""

    active_low: bool = False
    """Whether it is on at the low level."""

    debounce_s: float = 0.0
    """Of a trigger: shorter changes do not count."""

    def __post_init__(self) -> None:
        if re.fullmatch(r"[^:]+:[^:]+", self.line) is None:
            raise ValueError(f'line: "{self.line:.60}"; expected "CHIP:LINE", such as "gpiochip0:17"')
        _check_occasions(self.on)
        for name in ("pulse_s", "delay_s", "debounce_s"):
            if not 0 <= getattr(self, name) <= 60:
                raise ValueError(f"{name}: {getattr(self, name)}; expected 0 to 60")

    @property
    def chip(self) -> str:
        """The chip's device."""
        chip = self.line.partition(":")[0]
        return chip if chip.startswith("/") else f"/dev/{chip}"

    @property
    def offset(self) -> int | str:
        """The line's number at its chip, or its name."""
        line = self.line.partition(":")[2]
        return int(line) if line.isdecimal() and line.isascii() else line


@dataclass(frozen=True)
class Rules:
    """How verdicts on frames become decisions."""

    per: Per = "frame"
    ng_frames: int = 1
    of_frames: int = 1
    hysteresis: float = 0.0
    """Share of the threshold, 0 to below 1, where frames are decided on."""

    least_area_px: int = 0
    """Area of a region, frame pixels."""

    cooldown_s: float = 0.0
    """Where frames are decided on, NG lasts for so long after the last frame that was."""

    unknown: Unknown = "stop"
    part_share: float = 0.03
    """Share of the picture that a part changes at least, 0 to 1."""

    longest_s: float = 60.0
    """What stays in the picture for so long is decided on, and taken for the empty place; 0: never. Above the longest
    stop of a slow line, and yet short: while a switched lamp is taken for a part, no other is decided on."""

    timeout_s: float = 2.0
    """How long the frames after a trigger are waited for, from the trigger on; of parts, how long frames may say
    nothing."""

    mqtt_topic: str = ""
    """Messages on it are triggers, and their text names the part; empty: lines on standard input are."""

    gpio_trigger: GpioLine | None = None
    """A line whose becoming active is a trigger."""

    commands: tuple[Command, ...] = ()
    gpio: tuple[GpioLine, ...] = ()

    def __post_init__(self) -> None:
        checks = (
            ("per", self.per in get_args(Per), f"expected {', '.join(get_args(Per))}"),
            ("unknown", self.unknown in get_args(Unknown), "expected stop or pass"),
            ("ng_frames", 1 <= self.ng_frames <= self.of_frames or self.per == "part", "expected 1 to of_frames"),
            ("of_frames", 1 <= self.of_frames <= _MOST_FRAMES, f"expected 1 to {_MOST_FRAMES}"),
            ("of_frames", self.of_frames == 1 or self.per != "part", _NOT_OF_PART),
            ("hysteresis", 0 <= self.hysteresis < 1, "expected 0 to below 1"),
            ("hysteresis", not self.hysteresis or self.per == "frame", _OF_FRAME),
            ("least_area_px", self.least_area_px >= 0, "expected 0 or more"),
            ("cooldown_s", 0 <= self.cooldown_s <= 86400, "expected 0 to 86400"),
            ("cooldown_s", not self.cooldown_s or self.per == "frame", _OF_FRAME),
            ("part_share", 0 < self.part_share < 1, "expected above 0, below 1"),
            ("part_share", self.part_share == Rules.part_share or self.per == "part", _OF_PART),
            ("longest_s", 0 <= self.longest_s <= 86400, "expected 0 to 86400"),
            ("longest_s", self.longest_s == Rules.longest_s or self.per == "part", _OF_PART),
            ("timeout_s", 0 < self.timeout_s <= 3600, "expected above 0, up to 3600"),
            ("timeout_s", self.timeout_s == Rules.timeout_s or self.per != "frame", _NOT_OF_FRAME),
            ("mqtt_topic", not set(self.mqtt_topic) & set("+#\0"), "expected one topic, without + and #"),
            ("mqtt_topic", not self.mqtt_topic or self.per == "trigger", 'expected with per = "trigger" only'),
            ("gpio_trigger", self.gpio_trigger is None or self.per == "trigger", 'expected with per = "trigger" only'),
            ("gpio_trigger", self.gpio_trigger is None or not self.mqtt_topic, "expected this or mqtt_topic"),
        )
        for name, fine, expected in checks:
            if not fine or (isinstance(value := getattr(self, name), float) and not math.isfinite(value)):
                raise ValueError(f"{name}: {getattr(self, name)}; {expected}")


def read_rules(path: Path) -> Rules:
    """Read a file of rules.

    Raises:
        ConfigError: it cannot be read or holds something else; says in which line.
    """
    document, text = read_toml(path, "rules")
    for name, value in document.items():
        if not isinstance(value, _PARTS.get(name, ())):
            raise ConfigError(
                f"{path}:{line_of(text, name)}: {name} is not expected; expected [decide], [[command]], [[gpio]] and "
                "[gpio_trigger]"
            )
    try:
        decide = read_table(document.get("decide", {}), _DECIDE, "decide")
        commands = [
            Command(**_entry(values, _COMMAND, f"command {n}", "run"))
            for n, values in enumerate(document.get("command", []), start=1)
        ]
        gpio = [
            GpioLine(**_entry(values, _GPIO, f"gpio {n}", "line"))
            for n, values in enumerate(document.get("gpio", []), start=1)
        ]
        trigger = document.get("gpio_trigger")
        listened = None if trigger is None else GpioLine(**_entry(trigger, _GPIO_TRIGGER, "gpio_trigger", "line"))
        return Rules(**decide, gpio_trigger=listened, commands=tuple(commands), gpio=tuple(gpio))
    except ValueError as error:
        raise wrong(path, text, error) from error


def _check_occasions(names: tuple[str, ...]) -> None:
    if strange := [name for name in names if name not in OCCASIONS]:
        raise ValueError(f"on names {strange[0]!r}; expected some of {', '.join(OCCASIONS)}")


def _entry(values: Any, kinds: Kinds, where: str, needed: str) -> dict[str, Any]:
    """Read a table that must say one thing."""
    found = read_table(values, kinds, where)
    if needed not in found:
        raise ValueError(f"{where.partition(' ')[0]}: {where} has no {needed}")
    return found


_PARTS: dict[str, type] = {"decide": dict, "command": list, "gpio": list, "gpio_trigger": dict}
_DECIDE = {
    "per": a_text,
    "ng_frames": a_whole_number,
    "of_frames": a_whole_number,
    "hysteresis": a_number,
    "least_area_px": a_whole_number,
    "cooldown_s": a_number,
    "unknown": a_text,
    "part_share": a_number,
    "longest_s": a_number,
    "timeout_s": a_number,
    "mqtt_topic": a_text,
}
_COMMAND = {"run": texts, "on": texts, "timeout_s": a_number}
_GPIO = {"line": a_text, "on": texts, "pulse_s": a_number, "delay_s": a_number, "active_low": a_truth}
_GPIO_TRIGGER = {"line": a_text, "active_low": a_truth, "debounce_s": a_number}

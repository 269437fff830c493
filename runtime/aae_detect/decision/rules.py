"""What the line is told, and when: one TOML file.

[decide]
per = "frame"              # or "part": found by what changes in the picture; or "trigger": a line on standard input
ng_frames = 2              # NG as soon as so many ...
of_frames = 3              # ... of the last so many frames are NG; of a part, or after a trigger, of its frames
hysteresis = 0.1           # while NG, a frame counts as NG down to a tenth below the threshold
least_area_px = 30         # smaller regions do not make a frame NG, frame pixels
cooldown_s = 0.5           # of frames: NG lasts for so long after the last one that was
unknown = "stop"           # what frames do that say nothing: "stop" the line, or let it "pass"

[[command]]
run = ["/usr/local/bin/reject", "{source}", "{verdict}"]
on = ["NG"]                # of OK, NG, UNKNOWN; or "stop", "pass"
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aae_detect.errors import ConfigError

Per = Literal["frame", "part", "trigger"]
Unknown = Literal["stop", "pass"]
OCCASIONS = ("OK", "NG", "UNKNOWN", "stop", "pass")

MAX_BYTES = 2**20
_MOST_FRAMES = 10_000


@dataclass(frozen=True)
class Command:
    """A program that is run when something is decided."""

    run: tuple[str, ...]
    """The program and its arguments; `{source}`, `{verdict}`, `{part}` and `{score}` are filled in. No shell."""

    on: tuple[str, ...] = ("NG",)
    """Of `OCCASIONS`."""

    timeout_s: float = 5.0
    """Ended after so long."""

    def __post_init__(self) -> None:
        if not self.run or not all(self.run):
            raise ValueError("run is empty; expected a program and its arguments as a list of texts")
        if wrong := [name for name in self.on if name not in OCCASIONS]:
            raise ValueError(f"on names {wrong[0]!r}; expected some of {', '.join(OCCASIONS)}")
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected above 0, up to 3600")


@dataclass(frozen=True)
class Rules:
    """How verdicts on frames become decisions."""

    per: Per = "frame"
    ng_frames: int = 1
    of_frames: int = 1
    hysteresis: float = 0.0
    """Share of the threshold, 0 to below 1."""

    least_area_px: int = 0
    """Area of a region, frame pixels."""

    cooldown_s: float = 0.0
    """Where frames are decided on, NG lasts for so long after the last frame that was."""

    unknown: Unknown = "stop"
    part_share: float = 0.03
    """Share of the picture that a part changes at least, 0 to 1."""

    timeout_s: float = 2.0
    """How long the frames after a trigger are waited for."""

    commands: tuple[Command, ...] = ()

    def __post_init__(self) -> None:
        checks = (
            ("per", self.per in get_args(Per), f"expected {', '.join(get_args(Per))}"),
            ("unknown", self.unknown in get_args(Unknown), "expected stop or pass"),
            ("ng_frames", 1 <= self.ng_frames <= self.of_frames or self.per == "part", "expected 1 to of_frames"),
            ("of_frames", 1 <= self.of_frames <= _MOST_FRAMES, f"expected 1 to {_MOST_FRAMES}"),
            ("hysteresis", 0 <= self.hysteresis < 1, "expected 0 to below 1"),
            ("least_area_px", self.least_area_px >= 0, "expected 0 or more"),
            ("cooldown_s", 0 <= self.cooldown_s <= 86400, "expected 0 to 86400"),
            ("part_share", 0 < self.part_share < 1, "expected above 0, below 1"),
            ("timeout_s", 0 < self.timeout_s <= 3600, "expected above 0, up to 3600"),
        )
        for name, fine, expected in checks:
            if not fine or (isinstance(value := getattr(self, name), float) and not math.isfinite(value)):
                raise ValueError(f"{name}: {getattr(self, name)}; {expected}")


def read_rules(path: Path) -> Rules:
    """Read a file of rules.

    Raises:
        ConfigError: it cannot be read or holds something else; says in which line.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes; this is no file of rules")
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    decide, commands = document.pop("decide", {}), document.pop("command", [])
    if document or not isinstance(decide, dict) or not isinstance(commands, list):
        name = next(iter(document), "decide")
        raise ConfigError(f"{path}:{_line(text, name)}: {name} is not expected; expected [decide] and [[command]]")
    try:
        made = []
        for number, values in enumerate(commands):
            name = f"command {number + 1}"
            found = _checked(values, _COMMAND, name)
            if "run" not in found:
                raise ValueError(f"command: {name} has no run; expected a program and its arguments")
            made.append(Command(**found))
        return Rules(**_checked(decide, _DECIDE, "decide"), commands=tuple(made))
    except ValueError as error:
        name = str(error).partition(":")[0].partition(" ")[0]
        raise ConfigError(f"{path}:{_line(text, name)}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a whole number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise TypeError("a number")
    return float(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of texts")
    return tuple(value)


_DECIDE = {
    "per": _text,
    "ng_frames": _whole,
    "of_frames": _whole,
    "hysteresis": _number,
    "least_area_px": _whole,
    "cooldown_s": _number,
    "unknown": _text,
    "part_share": _number,
    "timeout_s": _number,
}
_COMMAND = {"run": _texts, "on": _texts, "timeout_s": _number}


def _checked(values: Any, kinds: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a table")
    found = {}
    for name, value in values.items():
        if name not in kinds:
            raise ValueError(f"{name}: unknown in {where}; expected one of {', '.join(kinds)}")
        try:
            found[name] = kinds[name](value)
        except TypeError as error:
            raise ValueError(f"{name}: {value!r:.60}; expected {error}") from error
    return found


def _line(text: str, name: str) -> int:
    """Find where a name stands first; 1 where it does not."""
    named = re.compile(rf"\s*\[*\s*{re.escape(name)}\s*[\]=.]")
    return next((number for number, line in enumerate(text.splitlines(), start=1) if named.match(line)), 1)

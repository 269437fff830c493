"""TOML that people write, every value checked: what is wrong is said with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aae_detect.errors import ConfigError
from aae_detect.limited_read import read_limited

MAX_BYTES = 2**20

_NEVER_SHOWN = ("secret", "url", "password")
"""Names of values that are secrets, or hold some."""

Kinds = Mapping[str, Callable[[Any], Any]]
"""How each value of a table is read: raises TypeError with what is expected."""


def read_toml(path: Path, what: str) -> tuple[dict[str, Any], str]:
    """Read a file; returns what it holds, and its text.

    Args:
        path: The file.
        what: What it is a file of, for errors.

    Raises:
        ConfigError: it cannot be read, is too large, or is no TOML.
    """
    try:
        text = read_limited(path, MAX_BYTES).decode("utf-8")
        values = tomllib.loads(text)
        _require_64_bits(values)
        return values, text
    except OSError as error:
        raise ConfigError(f"{path} cannot be read as a file of {what}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also of a number with thousands of digits
        raise ConfigError(f"{path} is no TOML: {error}") from error


def _require_64_bits(value: Any) -> None:
    """Refuse whole numbers that TOML does not have; of one with thousands of digits Python does not even say them.

    Raises:
        ValueError: there is one.
    """
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number has more than 64 bits")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_64_bits(item)


def read_table(values: Any, kinds: Kinds, where: str) -> dict[str, Any]:
    """Read the values of a table.

    Raises:
        ValueError: a name that is unknown, or a value of the wrong kind; begins with the name, and a colon.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a table")
    found = {}
    for name, value in values.items():
        if name not in kinds:
            raise ValueError(f"{name}: unknown in {where}; expected one of {', '.join(kinds)}")
        try:
            found[name] = kinds[name](value)
        except TypeError as error:
            found_value = "a value that is not shown" if name in _NEVER_SHOWN else f"{value!r:.60}"
            raise ValueError(f"{name}: {found_value}; expected {error}") from error
    return found


def wrong(path: Path, text: str, error: ValueError) -> ConfigError:
    """Make the error that says in which line of a file the name stands with which a message of ours begins."""
    name = str(error).partition(":")[0].partition(" ")[0]
    return ConfigError(f"{path}:{line_of(text, name)}: {error}")


def line_of(text: str, name: str) -> int:
    """Find where a name stands first; 1 where it does not."""
    named = re.compile(rf"\s*\[*\s*{re.escape(name)}\s*[\]=.]")
    return next((number for number, line in enumerate(text.splitlines(), start=1) if named.match(line)), 1)


def a_text(value: Any) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise TypeError("a text")
    return value


def a_whole_number(value: Any) -> int:
    """Read a whole number."""
    if type(value) is not int:
        raise TypeError("a whole number")
    return value


def a_number(value: Any) -> float:
    """Read a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise TypeError("a number")
    return float(value)


def a_truth(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Read a list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of texts")
    return tuple(value)

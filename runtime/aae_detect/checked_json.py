"""From JSON to frozen dataclasses, every value checked against its annotation: files that others write are data."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def read_dataclass(kind: type[_T], data: Any, where: str) -> _T:
    """Make a dataclass from JSON data.

    Args:
        kind: The dataclass. Fields may be numbers, text, booleans, Literal, tuples, dicts of text, and dataclasses.
        data: What `json.loads` gave.
        where: What it is, for errors.

    Raises:
        TypeError: a value of the wrong kind.
        ValueError: a field is missing or unknown, or the dataclass refuses its values.
    """
    if not isinstance(data, dict):
        raise TypeError(f"{where} is {type(data).__name__}, not an object")
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(known)):
        raise ValueError(f"{where} has unknown fields {', '.join(map(repr, unknown[:5]))}")
    required = {name for name, f in known.items() if f.default is MISSING}
    if missing := sorted(required - set(data)):
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    return kind(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check one JSON value against an annotation; JSON has no tuples, so lists become tuples here."""
    if is_dataclass(hint):
        return read_dataclass(hint, value, where)  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin is tuple and isinstance(value, list) and get_args(hint)[1:] == (...,):
        return tuple(_convert(get_args(hint)[0], v, where) for v in value)
    if origin is tuple and isinstance(value, list) and len(value) == len(get_args(hint)):
        return tuple(_convert(h, v, where) for h, v in zip(get_args(hint), value, strict=True))
    if origin is dict and isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
        return value
    if origin is Literal and value in get_args(hint):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise ValueError(f"{where} is a number of more than 300 digits") from error
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise TypeError(f"{where} is {value!r:.60}, not {getattr(hint, '__name__', hint)}")

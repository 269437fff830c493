"""What a program and its sources are called at a broker, so that no two are taken for each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import combinations

_LONGEST_ID = 60
"""Characters of a client's name; brokers take more, but not all of them."""


def client_id(host: str, topic: str) -> str:
    """Name a program after its machine and its topic; one too long ends in a hash of all of it."""
    whole = f"aae-detect-{host}-{topic}"
    name = re.sub(r"[^\w-]+", "-", whole)
    if len(name) <= _LONGEST_ID:
        return name
    short = _hash(whole)
    return f"{name[: _LONGEST_ID - 1 - len(short)]}-{short}"


def source_topic(prefix: str, source: str) -> str:
    """Return what the topics of a source begin with.

    What is no ASCII letter, digit, `_`, `.` or `-` becomes `-`. Where that takes letters of another script, a hash of
    the name keeps sources apart.
    """
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", source).strip("-") or "source"
    return f"{prefix}/{kept if source.isascii() else f'{kept}-{_hash(source)}'}"


def identifier(text: str) -> str:
    """Return a name as Home Assistant takes it: small ASCII letters, digits and `_`; a hash as for `source_topic`."""
    kept = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_")
    return kept if text.isascii() else f"{kept}_{_hash(text)}".strip("_")


def same_names(sources: Sequence[str], home_assistant: bool) -> list[tuple[str, str]]:
    """Find pairs of sources that would be taken for one, such as `line 1` and `line-1`."""
    return [
        (one, other)
        for one, other in combinations(sources, 2)
        if source_topic("", one) == source_topic("", other) or (home_assistant and identifier(one) == identifier(other))
    ]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]

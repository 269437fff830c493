"""Passwords in addresses, from where they are kept: on a command line every user of the machine could read them.

rtsp://viewer:${CAMERA_PASSWORD}@10.0.0.5/line1         from the environment
rtsp://viewer:${file:/run/secrets/camera}@10.0.0.5/line1   from a file, its last line end left out

Inside an address they are written with % where they have to be; anywhere else they stand as they are: in a path, in a
property of a pipeline, or as a whole address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from aae_detect.errors import ConfigError
from aae_detect.limited_read import read_limited
from aae_detect.source_names import printable

_MOST_BYTES = 2**16
"""Of a file that holds a secret."""

_PLACE = re.compile(r"\$\{(?P<file>file:)?(?P<name>[^}]*)\}")
_IN_ADDRESS = re.compile(r"://\S*\Z")
"""Of what stands before a place: whether the place is part of an address."""


def fill_secrets(source: str) -> str:
    """Put secrets into a source; inside an address, what is special there is written with % as addresses ask for.

    Raises:
        ConfigError: the variable is not set, or the file cannot be read; never says what is in it.
    """
    return fill_and_tell(source)[0]


def fill_and_tell(source: str) -> tuple[str, frozenset[str]]:
    """Put secrets into a source; returns also what they were, for `without_secrets`.

    Raises:
        ConfigError: as `fill_secrets`.
    """
    filled, end, secrets = "", 0, set[str]()
    for place in _PLACE.finditer(source):
        filled += source[end : place.start()]
        secret, end = _secret(place), place.end()
        secrets.add(secret)
        filled += quote(secret, safe="") if _IN_ADDRESS.search(filled) else secret
    return filled + source[end:], frozenset(secrets)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Put asterisks where a text holds secrets, as they are or as an address has them."""
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), printable(secret)) if form}
    if not forms:
        return text
    # The longest first: one may begin with another.
    return re.sub("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), "***", text)


def plain_secret(text: str) -> str:
    """Put secrets into a text that is no address, as they are.

    Raises:
        ConfigError: as `fill_secrets`.
    """
    return _PLACE.sub(_secret, text)


def hide_secrets(text: str) -> str:
    """Put asterisks where secrets go: what is left can be taken apart, and shown."""
    return _PLACE.sub("***", text)


def _secret(place: re.Match[str]) -> str:
    name = place["name"]
    if not place["file"]:
        if (value := os.environ.get(name)) is None:
            raise ConfigError(f"{place[0]}: the environment variable {name} is not set")
        return value
    try:
        return read_limited(Path(name), _MOST_BYTES).decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{place[0]}: {name} cannot be read ({reason})") from None

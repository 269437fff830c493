"""How a source is named to people: without passwords."""

from __future__ import annotations

import re

_SECRETS = re.compile(r"(?i)([?&](?:[\w.-]*(?:pass|pwd|token|secret|auth|key)[\w.-]*)=)[^&#\s]*")


def mask_password(address: str) -> str:
    """Return an address with its password, and secrets among its options, as `***`; anything else comes back as it was.

    >>> mask_password("rtsp://user:secret@host/stream?token=abc")
    'rtsp://user:***@host/stream?token=***'
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    host, slash, path = rest.partition("/")
    if "@" not in host and "@" in path and not re.fullmatch(r"[^:]*(:\d*)?|\[.*", host):
        host, slash, path = rest, "", ""  # the password holds a slash that should have been written %2F
    login, at, place = host.rpartition("@")
    if at and ":" in login:
        host = f"{login.partition(':')[0]}:***@{place}"
    return scheme + separator + _SECRETS.sub(r"\1***", host + slash + path)

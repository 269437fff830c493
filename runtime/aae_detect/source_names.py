"""How a source is named to people: without passwords, in letters that every receiver takes."""

from __future__ import annotations

import re

from aae_detect.errors import SourceError

GSTREAMER = "gst:"
"""What the text of a pipeline begins with."""

_NAME = r"[\w.-]*(?:pass|pwd?|token|secret|auth|key)[\w.-]*"
_OPTION = re.compile(rf"(?i)([?&]{_NAME}=)[^&#\s]*")
_PROPERTY = re.compile(rf"(?i)((?<!\S){_NAME}\s*=\s*)(?:\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|\S*)")
_BEGIN = re.compile(r"(?<=[\s=\"'])(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
"""Where an address begins inside a text: after a space, as the value of something, in quotes."""


def mask_password(source: str) -> str:
    """Return a source with its passwords, and secrets among options, as `***`, and the rest as `printable` has it.

    >>> mask_password("rtsp://user:secret@host/stream?token=abc")
    'rtsp://user:***@host/stream?token=***'
    >>> mask_password("gst:rtspsrc location=rtsp://host/1 user-id=me user-pw=secret ! appsink")
    'gst:rtspsrc location=rtsp://host/1 user-id=me user-pw=*** ! appsink'
    """
    masked = "".join(_mask_address(piece) for piece in _BEGIN.split(printable(source)))
    return _PROPERTY.sub(r"\1***", masked) if source.startswith(GSTREAMER) else masked


def printable(text: str) -> str:
    """Return a text with its bytes that are no UTF-8, as a file name may have them, spelled out: others refuse them."""
    return text.encode("utf-8", "backslashreplace").decode()


def require_utf8(name: str) -> None:
    """See that OpenCV can take a name: one that is no UTF-8 ends the process, inside of it.

    Raises:
        SourceError: it cannot.
    """
    if name != printable(name):
        raise SourceError(f"{mask_password(name)}: the name is no UTF-8, as OpenCV needs it for a video; rename it")


def _mask_address(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    host, slash, path = rest.partition("/")
    if "@" not in host and "@" in path and not re.fullmatch(r"[^:]*(:\d*)?|\[.*", host):
        host, slash, path = rest, "", ""  # the password holds a slash that should have been written %2F
    login, at, place = host.rpartition("@")
    if at and ":" in login:
        host = f"{login.partition(':')[0]}:***@{place}"
    return scheme + separator + _OPTION.sub(r"\1***", host + slash + path)

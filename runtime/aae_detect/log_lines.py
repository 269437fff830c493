"""What a run says on standard error: for people, for the journal, or for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TextIO

Format = Literal["text", "json"]

_PRIORITY = {"error": 3, "warning": 4, "info": 6}
"""Of syslog; the journal reads it from the beginning of a line (sd-daemon(3))."""


def log_lines(form: Format, stream: TextIO | None = None) -> Callable[[str], None]:
    """Make the function that says a line.

    What begins with `warning: ` or `error: ` has that level, all else is `info`. As JSON, a line is an object with
    `time`, `level` and `message`; as text it is what it is, and the journal of systemd gets the level besides.

    Args:
        form: `text` or `json`.
        stream: Where to; standard error by default, since standard output may carry events.
    """
    target = sys.stderr if stream is None else stream
    journal = form == "text" and target is not None and _is_journal(target)

    def say(text: str) -> None:
        level, colon, message = text.partition(": ")
        if not colon or level not in _PRIORITY:
            level, message = "info", text
        if form == "json":
            moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = json.dumps({"time": moment, "level": level, "message": message}, ensure_ascii=False)
        else:
            line = f"<{_PRIORITY[level]}>{text}" if journal else text
        write_text(target, line + "\n")

    return say


def write_text(stream: TextIO | None, text: str) -> None:
    """Write to a stream that may fail at any time: a full disk or a terminal that has gone costs the text, no verdict.

    Args:
        stream: Where to; None, as standard error is where it was closed: nowhere.
        text: With its line ends; written in one piece, whichever threads write.
    """
    if stream is None:
        return
    with suppress(OSError, ValueError):  # ValueError: it was closed
        try:
            number = stream.fileno()
        except (OSError, ValueError):  # it leads into no file
            stream.write(text)
            stream.flush()
            return
        # Past its buffer: what a full disk refused would lie there, and change the exit code when Python flushes it.
        os.write(number, text.encode(stream.encoding, "backslashreplace"))


def _is_journal(target: TextIO) -> bool:
    """Say whether a stream leads into the journal; systemd names its device and file number."""
    try:
        status = os.fstat(target.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"

"""What a run says on standard error: for people, for the journal, or for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Literal, TextIO

from aae_detect.line_queue import LineQueue

Format = Literal["text", "json"]

_PRIORITY = {"error": 3, "warning": 4, "info": 6}
"""Of syslog; the journal reads it from the beginning of a line (sd-daemon(3))."""

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), " ")
"""What moves a terminal's cursor or begins a line: a part's name or a camera's words could forge lines with it."""

_LAST_S = 2.0
"""How long the last lines may take to be written: who reads them may have gone, or may never read on."""


@contextmanager
def log_lines(form: Format, stream: TextIO | None = None) -> Iterator[Callable[[str], None]]:
    """Give the function that says a line, while this lasts; it waits for nobody, as a `LineQueue` has it written.

    What begins with `warning: ` or `error: ` has that level, all else is `info`. As JSON, a line is an object with
    `time`, `level` and `message`; as text it is what it is, and the journal of systemd gets the level besides. Control
    characters become spaces.

    Args:
        form: `text` or `json`.
        stream: Where to; standard error by default, since standard output may carry events.
    """
    target = sys.stderr if stream is None else stream
    journal = form == "text" and target is not None and _is_journal(target)

    def line_of(text: str) -> str:
        text = text.translate(_CONTROLS)
        level, colon, message = text.partition(": ")
        if not colon or level not in _PRIORITY:
            level, message = "info", text
        if form == "json":
            moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = json.dumps({"time": moment, "level": level, "message": message}, ensure_ascii=False)
        else:
            line = f"<{_PRIORITY[level]}>{text}" if journal else text
        return line + "\n"

    def missing(count: int) -> str:
        return line_of(f"warning: {count} lines are missing here, as standard error did not take them in time")

    waiting = LineQueue(partial(write_text, target), missing)
    try:
        yield lambda text: waiting.put(line_of(text))
    finally:
        waiting.close(_LAST_S)


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

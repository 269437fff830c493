"""Triggers from outside: on standard input, a line for each part, with its name if it has one."""

from __future__ import annotations

import codecs
import io
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_CHUNK = 65536
_ROOM = 1000
"""Lines that wait; more than this no camera can serve, and the oldest go."""

_LONGEST = 4096
"""Characters kept of a line that does not end; no part has such a name."""


@dataclass(frozen=True)
class Triggered:
    """Somebody said that a part is there."""

    line: str
    """What was said, without its end: the part's name, if it has one."""

    at_s: float
    """When it was said, seconds on the clock of `time.monotonic`, which frames have too."""


class LineTrigger:
    """What one source has not seen yet."""

    def __init__(self) -> None:
        self._waiting: deque[Triggered] = deque(maxlen=_ROOM)
        self._lock = threading.Lock()

    def put(self, line: str, at_s: float | None = None) -> None:
        """Add a line, and when it was said, seconds on the clock of `time.monotonic`; None: now."""
        with self._lock:
            self._waiting.append(Triggered(line, time.monotonic() if at_s is None else at_s))

    def poll(self, latest_s: float = math.inf) -> Triggered | None:
        """Take the oldest line that was said at `latest_s` or before; None where there is none."""
        with self._lock:
            if not self._waiting or self._waiting[0].at_s > latest_s:
                return None
            return self._waiting.popleft()


class TriggerLines:
    """Reads lines of UTF-8 in a thread of its own, and hands each to every source that waits for them."""

    def __init__(self, say: Callable[[str], None], file_number: int | None = None) -> None:
        """Take who is told, once, that no more lines will come, and where they come from; standard input by default."""
        self._say, self._file_number = say, file_number
        self._triggers: list[LineTrigger] = []
        self._thread: threading.Thread | None = None

    def subscribe(self) -> LineTrigger:
        """Return a trigger; reading starts with the first one."""
        trigger = LineTrigger()
        self._triggers.append(trigger)
        if self._thread is None:
            # A daemon: a read of standard input cannot be broken off.
            self._thread = threading.Thread(target=self._read, name="trigger lines", daemon=True)
            self._thread.start()
        return trigger

    def _read(self) -> None:
        """Read to the end, and say that it was reached: a trigger that fell silent unnoticed would let parts pass."""
        try:
            self._hand_out()
        except (OSError, ValueError) as error:  # ValueError: Python's own standard input is closed
            why = f"cannot be read any more: {getattr(error, 'strerror', None) or error}"
        else:
            why = "has ended"
        self._say(
            f"warning: standard input {why}; no line triggers from now on, and parts that come are not decided on. "
            "Whoever writes the lines must keep it open"
        )

    def _hand_out(self) -> None:
        number = self._file_number
        if number is None:
            if sys.stdin is None:  # a process may have been started without
                return
            number = sys.stdin.fileno()
        # A scanner's stray byte must not end all triggers: it becomes a replacement character in the part's name.
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
        begun = ""
        # Not through `sys.stdin`: Python aborts at its end while a thread waits in there, and holds its lock.
        while chunk := os.read(number, _CHUNK):
            *lines, begun = (begun + decoder.decode(chunk)).split("\n")
            begun = begun[:_LONGEST]
            self._put(lines)
        if begun := begun + decoder.decode(b"", final=True):
            self._put([begun])

    def _put(self, lines: Sequence[str]) -> None:
        at_s = time.monotonic()
        for line in lines:
            for trigger in self._triggers:
                trigger.put(line[:_LONGEST].strip(), at_s)

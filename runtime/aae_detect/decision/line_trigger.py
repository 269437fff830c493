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
"""Lines that wait for a camera; more than this none can serve, and the oldest go."""

_ROOM_OF_FILE = 100_000
"""Lines that wait for the pictures of a file, one for each: of more, the last do not count, or all would shift."""

_LONGEST = 4096
"""Characters kept of a line that does not end, or of a message; no part has such a name."""


@dataclass(frozen=True)
class Triggered:
    """Somebody said that a part is there."""

    line: str
    """What was said, without its end: the part's name, if it has one."""

    at_s: float
    """When it was said, seconds on the clock of `time.monotonic`, which frames have too."""


class LineTrigger:
    """What one source has not seen yet."""

    def __init__(self, live: bool = True, say: Callable[[str], None] = lambda text: None) -> None:
        """Take whether lines wait for a camera or for a file's pictures, and who is told, once, of those that are lost.

        It is told again if that happens after all that waited was taken.
        """
        self._live, self._say = live, say
        self._waiting: deque[Triggered] = deque()
        self._told = False
        self._lock = threading.Lock()

    def put(self, line: str, at_s: float | None = None) -> None:
        """Add a line, of which what can be printed is kept up to a length: it comes from outside, and goes everywhere.

        Args:
            line: What was said; a message may hold line ends, and be of any length.
            at_s: When, seconds on the clock of `time.monotonic`; None: now.
        """
        line = line[:_LONGEST]
        if not line.isprintable():
            line = "".join(each if each.isprintable() else " " for each in line)
        line = line.strip()
        room = _ROOM if self._live else _ROOM_OF_FILE
        with self._lock:
            full = len(self._waiting) >= room
            if full and self._live:
                self._waiting.popleft()
            if self._live or not full:
                self._waiting.append(Triggered(line, time.monotonic() if at_s is None else at_s))
            tell, self._told = full and not self._told, full or self._told
        if tell and self._live:
            self._say(f"warning: {room} triggers wait for frames; the oldest are dropped, and get no answer")
        elif tell:
            self._say(
                f"warning: {room} lines wait for pictures; those that come now trigger nothing. Write them more "
                "slowly, or split the pictures"
            )

    def poll(self, latest_s: float = math.inf) -> Triggered | None:
        """Take the oldest line that was said at `latest_s` or before; None where there is none."""
        with self._lock:
            if not self._waiting or self._waiting[0].at_s > latest_s:
                return None
            found = self._waiting.popleft()
            self._told = self._told and bool(self._waiting)
            return found


class TriggerLines:
    """Reads lines of UTF-8 in a thread of its own, and hands each to every source that waits for them."""

    def __init__(self, say: Callable[[str], None], file_number: int | None = None) -> None:
        """Take who is told, once, that no more lines will come, and where they come from; standard input by default."""
        self._say, self._file_number = say, file_number
        self._triggers: list[LineTrigger] = []
        self._lock = threading.Lock()
        self._any_live = False
        self._count = 0
        self._ended_well = False
        """Whether no more lines will come, and only files have waited for them."""

        self._thread: threading.Thread | None = None

    def subscribe(self, live: bool = True) -> LineTrigger:
        """Return a trigger for a camera or a file; reading starts with the first one."""
        trigger = LineTrigger(live, self._say)
        self._triggers.append(trigger)
        with self._lock:
            self._any_live = self._any_live or live
            too_late = live and self._ended_well
            self._ended_well = self._ended_well and not too_late
        if too_late:
            self._warn("has ended")
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
            self._warn(f"cannot be read any more: {getattr(error, 'strerror', None) or error}")
            return
        with self._lock:
            ended_well = self._ended_well = not self._any_live and self._count > 0
        if ended_well:  # as it must: each line waits for its picture
            lines = "1 line" if self._count == 1 else f"{self._count} lines"
            self._say(f"standard input has ended after {lines}; pictures beyond those are not decided on")
        else:
            self._warn("has ended")

    def _warn(self, why: str) -> None:
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
        self._count += len(lines)
        for line in lines:
            for trigger in self._triggers:
                trigger.put(line, at_s)

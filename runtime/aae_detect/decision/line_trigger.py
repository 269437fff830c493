"""Triggers from outside: on standard input, a line for each part, with its name if it has one."""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TextIO

_ROOM = 1000
"""Lines that wait; more than this no camera can serve, and the oldest go."""


class LineTrigger:
    """What one source has not seen yet."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=_ROOM)

    def put(self, line: str) -> None:
        """Add a line."""
        self._waiting.append(line)

    def poll(self) -> str | None:
        """Take the oldest line, without its end; None where there is none."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None


class TriggerLines:
    """Reads lines in a thread of its own, and hands each to every source that waits for them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Take where lines come from; standard input by default."""
        self._stream: TextIO | None = sys.stdin if stream is None else stream
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
        for line in self._stream or ():  # a process may have been started without a standard input
            for trigger in self._triggers:
                trigger.put(line.strip())

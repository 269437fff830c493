"""Lines on their way to a stream that may take none for a while: a terminal that was stopped stops nobody."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_ROOM = 1000
"""Lines that may wait; of more, the oldest go, because the last ones say how it stands."""


class LineQueue:
    """Has lines written in order by a thread of its own; what finds no room is counted, and told in its place."""

    def __init__(self, write: Callable[[str], None], missing: Callable[[int], str]) -> None:
        """Start the thread.

        Args:
            write: Writes one text; may take as long as it likes, and raises nothing.
            missing: Makes the line that says how many are missing.
        """
        self._write, self._missing = write, missing
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._closing = False
        self._changed = threading.Condition()
        # A daemon: a write to a terminal that was stopped cannot be broken off.
        self._thread = threading.Thread(target=self._work, name="log lines", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Leave a line, with its end, to be written; never waits for the stream."""
        with self._changed:
            if len(self._waiting) >= _ROOM:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(line)
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Have what waits written, for so long at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while text := self._next():
            self._write(text)

    def _next(self) -> str:
        """Wait for the next line, and put before it what is missing there; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return ""
            note = self._missing(self._dropped) if self._dropped else ""
            self._dropped = 0
            return note + self._waiting.popleft()

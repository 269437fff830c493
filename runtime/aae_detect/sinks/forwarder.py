"""Store and forward: every committed event goes to a sink, in order, however long that takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from aae_detect.errors import ConfigError
from aae_detect.sinks.sink import Sink
from aae_detect.store.cursor import Cursor
from aae_detect.store.database import StoreDiskError
from aae_detect.store.event_store import EventStore
from aae_detect.store.stored_event import DamagedEventError, StoredEvent

_BATCH = 50
_LOOK_S = 1.0
_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Between tries that fail; the last one for ever."""

_OPEN_AGAIN_S = 60.0
"""Between tries to open the store beside whoever writes it."""

_CLOSE_S = 5.0
"""How long the last events may take; what has not arrived then is sent by the next run."""


class Forwarder:
    """Reads the store behind whoever writes it, and feeds one sink from a thread of its own.

    What was sent and not confirmed when the process died is sent again: the receiver sees by the key that it has it.
    """

    def __init__(self, store: EventStore, sink: Sink, say: Callable[[str], None]) -> None:
        """Begin where the last run ended, or with what comes now for a sink that is new.

        Where the disk of the store is full, read-only or damaged, or another process holds it, that is said and tried
        again: a line starts all the same.

        Raises:
            ConfigError: the store cannot be opened for another reason.
        """
        self.name = sink.name
        self.waiting = 0
        """Events that have not arrived, as far as known."""

        self._store, self._sink, self._say = store, sink, say
        self._opened, self._is_open = ExitStack(), False
        try:
            self._open()
        except ConfigError as error:
            if store.is_open and not isinstance(error, StoreDiskError):
                raise
            say(f"warning: {error}; {sink.name} hears of no event until it works, which is tried every minute")
        self._stop = threading.Event()
        self._until_s = float("inf")
        self._failures = 0
        self._thread = threading.Thread(target=self._work, name=f"forward {sink.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give what waits a last chance, without waiting for that."""
        if not self._stop.is_set():
            self._until_s = time.monotonic() + _CLOSE_S
            self._stop.set()

    def close(self) -> None:
        """Give what waits a last chance, and end."""
        self.stop()
        self._thread.join(2 * _CLOSE_S)
        if self.waiting:
            self._say(f"{self.name}: {self.waiting} events have not arrived; the next run sends them")

    def _open(self) -> None:
        """Open the store, all of what is needed or nothing."""
        with ExitStack() as opening:
            self._cursor = Cursor(self._store.folder, self.name)
            opening.callback(self._cursor.close)
            self._reader = opening.enter_context(EventStore(self._store.folder, read_only=True))
            self._opened = opening.pop_all()
            self._is_open = True

    def _open_again(self) -> bool:
        """Open what could not be opened at the start; returns whether it could before the end."""
        while not self._is_open and not self._stop.wait(_OPEN_AGAIN_S):
            try:
                self._open()
            except ConfigError:  # it was said
                continue
            self._say(f"{self.name}: {self._store.folder} can be read again; events are sent")
        return self._is_open

    def _work(self) -> None:
        try:
            goes_on = self._open_again()
            while goes_on:
                last = self._stop.is_set()
                try:
                    sent = self._send()
                except Exception as error:  # whatever it is: a thread that ended would keep events for ever, unsaid
                    self._fail(error)
                    goes_on = not last
                    continue
                goes_on = time.monotonic() < self._until_s and (sent or not last)
                if not sent:
                    self._store.wait(_LOOK_S if goes_on else 0.0)
        finally:
            self._sink.close()
            self._opened.close()

    def _send(self) -> bool:
        """Send a batch; return whether there was one."""
        batch = self._next()
        if not batch:
            self.waiting = 0
            return False
        if missing := batch[0].number - self._cursor.number - 1:
            self._say(f"warning: {self.name}: {missing} events were taken out of the store before they could be sent")
            self._cursor.move(batch[0].number - 1)
        self.waiting = self._reader.count(after=self._cursor.number)
        count = self._sink.deliver(batch, self._stop)
        self._cursor.move(batch[count - 1].number)
        self.waiting -= count
        if self._failures:
            self._failures = 0
            self._say(f"{self.name}: events arrive again")
        return True

    def _next(self) -> list[StoredEvent]:
        """Read what is next; an event that is damaged is told and left out, or it would be in the way for ever."""
        found: list[StoredEvent] = []
        try:
            for stored in self._reader.events(after=self._cursor.number, limit=_BATCH):
                found.append(stored)  # one by one: those before a damaged one count
        except DamagedEventError as error:
            if not found:
                self._say(f"warning: {self.name}: {error}; it is left out")
                self._cursor.move(error.number)
                return self._next()
        return found

    def _fail(self, error: Exception) -> None:
        if self._failures == 0:
            what = str(error) if isinstance(error, ConfigError) else f"{self.name}: {error}"
            self._say(f"warning: {what}; events wait in {self._store.folder} until they can be sent")
        pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        self._stop.wait(pause_s)

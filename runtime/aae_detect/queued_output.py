"""Outputs with a thread and a short queue of their own: a slow disk makes itself miss frames, and nobody else."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import News

CLOSE_TIMEOUT_S = 20.0
"""How long what waits may take to be written in the end."""


class QueuedOutput(Output):
    """An output behind a queue; what finds the queue full is dropped and counted, but for signals."""

    def __init__(self, output: Output, room: int, pictures: bool = True, events_room: int = 0) -> None:
        """Start the output's thread.

        Args:
            output: Does the work.
            room: Frames that may wait.
            pictures: Whether the output looks at pictures; a queue without them may be long.
            events_room: Where the room for frames is taken, so many in all may wait without their pictures.
        """
        self._output = output
        self._room = room
        self._pictures = pictures
        self._events_room = events_room
        self._changed = threading.Condition()
        self._waiting: deque[Judged | Signal | News] = deque()
        self._goes_on = True
        self._closing = False
        self._failure: BaseException | None = None
        self.dropped = 0
        self.name = type(output).__name__
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    def take(self, judged: Judged) -> bool:
        """Queue a frame that is wanted, or drop it; returns what the output said of earlier ones.

        Raises:
            BaseException: what went wrong with an earlier one.
        """
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if not self._output.wants(judged):
                return self._goes_on
            if len(self._waiting) < self._room:
                self._waiting.append(judged if self._pictures else _without_pictures(judged))
                self._changed.notify()
            elif len(self._waiting) < self._events_room:
                self._waiting.append(_without_pictures(judged))
            else:
                self.dropped += 1
            return self._goes_on

    def signal(self, signal: Signal) -> None:
        """Queue a signal, whatever waits."""
        self._put(signal)

    def tell(self, news: News) -> None:
        """Queue news, whatever waits."""
        self._put(news)

    def _put(self, item: Signal | News) -> None:
        with self._changed:
            self._waiting.append(item)
            self._changed.notify()

    def close(self) -> None:
        """Have what waits written, and close the output.

        Raises:
            BaseException: what went wrong, where no `take` came after it.
        """
        with self._changed:
            told, self._closing = self._closing, True
            self._changed.notify()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._failure is not None and not told:
            raise self._failure

    def _work(self) -> None:
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Signal):
                    self._output.signal(item)
                elif not isinstance(item, Judged):
                    self._output.tell(item)
                elif not self._output.take(item):
                    self._goes_on = False
        except BaseException as error:  # it belongs to whoever has frames written
            self._failure = error
        try:
            self._output.close()
        except BaseException as error:
            self._failure = self._failure or error

    def _next(self) -> Judged | Signal | News | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.popleft() if self._waiting else None


def _without_pictures(judged: Judged) -> Judged:
    return replace(judged, frame=replace(judged.frame, image=None), image_bgr=None, detection=None)

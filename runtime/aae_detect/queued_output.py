"""Outputs with a thread and a short queue of their own: a slow disk makes itself miss frames, and nobody else."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import News

CLOSE_TIMEOUT_S = 20.0
"""How long what waits may take to be written in the end."""

_NEWS_ROOM = 10_000
"""Signals and news that may wait beside the frames: hours of them, and a few megabytes."""


class QueuedOutput(Output):
    """An output behind a queue; what finds the queue full is dropped and counted; signals and news have a long one."""

    def __init__(
        self,
        output: Output,
        room: int,
        pictures: bool = True,
        events_room: int = 0,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Start the output's thread.

        Args:
            output: Does the work.
            room: Frames that may wait.
            pictures: Whether the output looks at pictures; a queue without them may be long.
            events_room: Where the room for frames is taken, so many in all may wait without their pictures.
            say: Told, once until none waits, when signals and news are too many: then the oldest of them go.
        """
        self._output = output
        self._room = room
        self._pictures = pictures
        self._events_room = events_room
        self._say = say
        self._changed = threading.Condition()
        self._waiting: deque[Judged | Signal | News] = deque()
        self._news, self._told = 0, False
        """How much of what waits is no frame; whether it was said that this is too much."""

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
            frames = len(self._waiting) - self._news
            if frames < self._room:
                self._waiting.append(judged if self._pictures else _without_pictures(judged))
                self._changed.notify()
            elif frames < self._events_room:
                self._waiting.append(_without_pictures(judged))
            else:
                self.dropped += 1
            return self._goes_on

    def signal(self, signal: Signal) -> None:
        """Queue a signal, however many frames wait."""
        self._put(signal)

    def tell(self, news: News) -> None:
        """Queue news, however many frames wait."""
        self._put(news)

    def _put(self, item: Signal | News) -> None:
        with self._changed:
            full = self._news >= _NEWS_ROOM
            if full:  # frames may stand before the oldest, but never many
                del self._waiting[next(n for n, each in enumerate(self._waiting) if not isinstance(each, Judged))]
                self.dropped += 1
            self._waiting.append(item)
            self._news += not full
            tell, self._told = full and not self._told, full or self._told
            self._changed.notify()
        if tell:
            self._say(f"warning: {self.name} takes nothing; of {_NEWS_ROOM} decisions and signals the oldest are lost")

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
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._news -= not isinstance(item, Judged)
            self._told = self._told and self._news > 0
            return item


def _without_pictures(judged: Judged) -> Judged:
    return replace(judged, frame=replace(judged.frame, image=None), image_bgr=None, detection=None)

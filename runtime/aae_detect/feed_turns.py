"""Whose turn it is: several feeds, each with a rate of its own, and few who judge."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from time import perf_counter

from aae_detect.errors import SourceError
from aae_detect.feed import Feed, FileFeed, LiveFeed
from aae_detect.frames import Frame, FrameSource, Signal

_RATE_FRAMES = 30
"""Frames over which the frame rate is averaged: about a second of video."""

_LOOK_S = 0.1
"""How long a wish to stop may go unnoticed while no camera gives anything."""


class FeedTurn:
    """The feed of one source, and when its next turn is due."""

    def __init__(
        self, source: FrameSource, changed: threading.Condition, every: int = 1, most_fps: float | None = None
    ) -> None:
        """Take a source and how often to look.

        Args:
            source: A live one is read in a thread of its own.
            changed: Is notified when a live one has something; all feeds that take turns share it.
            every: Take each so-many-th frame.
            most_fps: Take at most so many frames per second.
        """
        self.feed: Feed = LiveFeed(source, changed) if source.live else FileFeed(source)
        self.due_s = 0.0
        """No frame before this, on the clock of `perf_counter`."""

        self.failure: SourceError | None = None
        """Why the source ended before its time."""

        self._every, self._most_fps = every, most_fps
        self._next_index = 0
        self._recent: deque[float] = deque(maxlen=_RATE_FRAMES)

    def take(self) -> Frame | Signal | None:
        """Take what is next, or None; a source that failed has ended."""
        try:
            item = self.feed.take()
        except SourceError as error:
            self.failure = error
            return None
        if isinstance(item, Frame):
            if item.index < self._next_index:
                return None
            self._next_index = item.index + self._every
            now = perf_counter()
            self._recent.append(now)
            if self._most_fps is not None:
                # From when it was due, so that the rate holds on average; who comes a whole turn late begins anew.
                interval_s = 1 / self._most_fps
                self.due_s = (self.due_s if now - self.due_s < interval_s else now) + interval_s
        return item

    @property
    def fps(self) -> float | None:
        """Frames per second, lately."""
        span = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / span if span > 0 else None


def next_turns(
    turns: Sequence[FeedTurn],
    last: int,
    changed: threading.Condition,
    most: int = 1,
    busy: Collection[int] = (),
    woken: Callable[[], bool] = lambda: False,
) -> list[int]:
    """Choose feeds that have something, are due and had their turns longest ago, or wait a moment for one.

    Args:
        turns: All who take turns.
        last: Whose turn it was last; -1 at the start.
        changed: What their feeds notify.
        most: How many may have their turns together.
        busy: Those that have their turns still.
        woken: Whether there is something else to do, which `changed` is notified of, too; asked with it held.

    Returns:
        Their numbers, in the order of their turns; none where there was none, or all have ended.
    """
    order = [(last + 1 + step) % len(turns) for step in range(len(turns))]
    with changed:
        now_s = perf_counter()
        ready = [number for number in order if number not in busy and turns[number].feed.ready]
        due = [number for number in ready if turns[number].due_s <= now_s or turns[number].feed.signalled]
        if due and most > 0:
            return due[:most]
        if not woken() and (ready or busy or not all(turn.feed.ended for turn in turns)):
            # Whoever has something and is not due must not keep the others waiting: they wake this.
            waits = [turns[number].due_s - now_s for number in ready if number not in due]
            changed.wait(min([_LOOK_S, *waits]))
    return []

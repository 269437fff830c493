"""Frames of several cameras are judged side by side: how many at once, and with how many threads.

What a frame costs is computed by OpenCV and ONNX Runtime, outside of Python's lock. One inference on all cores wastes
much of them: after each layer the threads wait for the slowest, and a picture is prepared by one thread alone. Where
several cameras wait, a core for each frame judges more of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Generic, Literal, TypeVar

from aae_detect.bench.machine import count_usable_cores
from aae_detect.session import runs_on_processor

_T = TypeVar("_T")


def share_cores(
    sources: int, models: int, threads: int | Literal["auto"], provider: str, cores: int | None = None
) -> tuple[int | Literal["auto"], int]:
    """Say how many threads the pool of a model has, and how many frames are judged at once.

    Several are on a processor only. A model's pool serves all that ask it, beside the threads that ask: together they
    are as many as there are cores, and a frame that comes alone still has most of them.

    Args:
        sources: How many there are.
        models: How many different models judge them.
        threads: What was asked for; 0 and `auto` leave it to the program, a number means one frame at a time.
        provider: As `open_session` takes it.
        cores: What there is; None: count them.

    Raises:
        ConfigError: there is no such provider.

    Returns:
        Threads, as `Detector.load` takes them; and frames at once, from 1.
    """
    if sources < 2 or threads not in (0, "auto") or not runs_on_processor(provider):
        return threads, 1
    there = count_usable_cores() if cores is None else cores
    at_once = min(sources, there)
    return (there - at_once) // max(1, models) + 1, at_once


class SideBySide(Generic[_T]):
    """Calls functions, at most so many at once and one for each number; left by `with` when the last one is done."""

    def __init__(self, most: int, changed: threading.Condition) -> None:
        """Take how many may be called at once.

        Args:
            most: One alone is called by the thread that asks.
            changed: Is notified when one is done.
        """
        self._most, self._changed = max(1, most), changed
        self._pool = ThreadPoolExecutor(self._most, "judge") if self._most > 1 else None
        self._done: list[tuple[int, Future[_T]]] = []
        self.busy: dict[int, float] = {}
        """Those that were begun and not yet taken: number, and when, on the clock of `time.monotonic`."""

    def __enter__(self) -> SideBySide[_T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    @property
    def room(self) -> int:
        """How many more may begin."""
        return self._most - len(self.busy)

    @property
    def oldest_s(self) -> float:
        """How long the oldest of those that are busy takes by now; 0 where there is none."""
        return time.monotonic() - min(self.busy.values()) if self.busy else 0.0

    @property
    def some_done(self) -> bool:
        """Whether `take_done` has something; to be asked with `changed` held."""
        return bool(self._done)

    def begin(self, number: int, function: Callable[[], _T]) -> None:
        """Begin with one; there is room, and none of this number is busy."""
        self.busy[number] = time.monotonic()
        if self._pool is not None:
            self._pool.submit(function).add_done_callback(partial(self._put, number))
            return
        called: Future[_T] = Future()
        try:
            called.set_result(function())
        except Exception as error:  # told when it is taken, as in the other way
            called.set_exception(error)
        self._put(number, called)

    def take_done(self) -> list[tuple[int, Future[_T]]]:
        """Take those that are done, in the order in which they were; none waits."""
        with self._changed:
            done, self._done = self._done, []
        for number, _ in done:
            del self.busy[number]
        return done

    def wait(self) -> None:
        """Wait until one is done; one is busy."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._done))

    def _put(self, number: int, called: Future[_T]) -> None:
        with self._changed:
            self._done.append((number, called))
            self._changed.notify_all()

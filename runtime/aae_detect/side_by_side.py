"""Frames of several cameras are judged side by side: how many at once, and with how many threads each.

What a frame costs is computed by OpenCV and ONNX Runtime, outside of Python's lock. One inference on all cores wastes
much of them: after each layer the threads wait for the slowest, and a picture is prepared by one thread alone. Where
several cameras wait, a core for each frame judges more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Literal, TypeVar

from aae_detect.bench.machine import count_usable_cores

_T = TypeVar("_T")


def share_cores(
    sources: int, threads: int | Literal["auto"], cores: int | None = None
) -> tuple[int | Literal["auto"], int]:
    """Say how many threads an inference takes, and how many frames are judged at once.

    Args:
        sources: How many there are.
        threads: What was asked for: 0 and `auto` leave it to the program.
        cores: What there is; None: count them.

    Returns:
        Threads, as `Detector.load` takes them; and frames at once, from 1.
    """
    if sources < 2:
        return threads, 1
    there = count_usable_cores() if cores is None else cores
    if threads in (0, "auto"):
        at_once = min(sources, there)
        return there // at_once, at_once
    return threads, max(1, min(sources, there // int(threads)))


class SideBySide:
    """Calls functions side by side; closed by `with`."""

    def __init__(self, most: int) -> None:
        """Take how many are called at once: one of them in the thread that asks."""
        self.most = max(1, most)
        self._others = ThreadPoolExecutor(self.most - 1, "judge") if self.most > 1 else None

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._others is not None:
            self._others.shutdown()

    def call(self, functions: Sequence[Callable[[], _T]]) -> list[_T]:
        """Call at most `most` functions, and return what they return, in their order; what one raises is raised."""
        if self._others is None or len(functions) < 2:
            return [function() for function in functions]
        others = [self._others.submit(function) for function in functions[:-1]]
        own = functions[-1]()
        return [*(other.result() for other in others), own]

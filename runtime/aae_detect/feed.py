"""What waits between a source and whoever judges: every frame of a file, the newest one of a camera."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from aae_detect.frames import Frame, FrameSource, Signal

CLOSE_TIMEOUT_S = 1.5


class Feed(Protocol):
    """Gives what a source has, without waiting for it longer than a file takes to be read."""

    dropped: int
    """Frames that nobody will get to see."""

    @property
    def ready(self) -> bool:
        """Whether `take` would give something, or raise."""

    @property
    def signalled(self) -> bool:
        """Whether a signal is among what waits: a loss should be known at once, however seldom frames are judged."""

    @property
    def ended(self) -> bool:
        """Whether there will be nothing more."""

    def take(self) -> Frame | Signal | None:
        """Return what is next; None at the end.

        Raises:
            SourceError: the source failed, after all that came before was taken.
        """

    def close(self) -> None:
        """Close the source."""


class FileFeed:
    """Every frame counts, and none is read before it is asked for."""

    dropped = 0
    signalled = False

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self.ended = False

    @property
    def ready(self) -> bool:
        """Until it ends."""
        return not self.ended

    def take(self) -> Frame | Signal | None:
        """Read the next frame."""
        self.ended = True  # also where reading fails
        item = self._source.read()
        self.ended = item is None
        return item

    def close(self) -> None:
        """Close the source."""
        self.ended = True
        self._source.close()


class LiveFeed:
    """A thread keeps reading, and the newest frame is kept; what a source says of its camera is kept in order.

    The thread starts with the first `ready`, so that frames which pass while a model loads are not counted as dropped.
    From then on the thread alone reads.
    """

    def __init__(self, source: FrameSource, changed: threading.Condition) -> None:
        """Take a source.

        Args:
            source: A live one; without its own pace (a file) it is read as fast as it can.
            changed: Is notified when there is something to take; several feeds may share it.
        """
        self.dropped = 0
        self._source = source
        self._changed = changed
        self._waiting: deque[Frame | Signal] = deque()
        self._failure: BaseException | None = None
        self._finished = False
        self._closing = False
        self._last_index: int | None = None
        self._thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether something waits."""
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._read_all, name=f"feed {self._source.name}", daemon=True)
            self._thread.start()
        return (bool(self._waiting) or self._failure is not None) and not self._closing

    @property
    def signalled(self) -> bool:
        """Whether a signal waits; to be asked with `changed` held."""
        return any(isinstance(item, Signal) for item in self._waiting)

    @property
    def ended(self) -> bool:
        """Whether the source has ended and nothing waits."""
        return self._closing or (self._finished and not self.ready)

    def take(self) -> Frame | Signal | None:
        """Take what waits longest; never waits itself."""
        with self._changed:
            if not self._waiting:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                return None
            item = self._waiting.popleft()
        if isinstance(item, Frame):
            if self._last_index is not None:
                self.dropped += max(0, item.index - self._last_index - 1)
            self._last_index = item.index
        return item

    def close(self) -> None:
        """End within two seconds.

        A native read that hangs in this process cannot be broken off, and releasing the device under it could crash:
        such a thread is left behind as a daemon, and closes the source when the read returns or ends with the process.
        """
        self._closing = True
        thread = self._thread
        if thread is None or getattr(self._source, "close_wakes_read", False):
            self._source.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT_S)

    def _read_all(self) -> None:
        """Read until the end, a failure, or `close`; runs in the thread."""
        failure: BaseException | None = None
        try:
            while not self._closing and (item := self._source.read()) is not None:
                self._put(item)
        except BaseException as error:  # whatever it is, it belongs to whoever takes
            failure = error
        try:
            self._source.close()
        except BaseException as error:
            failure = failure or error
        with self._changed:
            self._failure, self._finished = failure, True
            self._changed.notify_all()

    def _put(self, item: Frame | Signal) -> None:
        with self._changed:
            if self._waiting and isinstance(item, Frame) and isinstance(self._waiting[-1], Frame):
                self._waiting.pop()
            self._waiting.append(item)
            self._changed.notify_all()

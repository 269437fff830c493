"""Capture in a thread of its own: whoever reads gets the newest frame, however slow the reading."""

from __future__ import annotations

import threading

from aae_detect.frames import Frame, FrameSource

CLOSE_TIMEOUT_S = 0.8


class LatestFrame(FrameSource):
    """A live `FrameSource` around another one: its thread keeps reading, and only the newest frame is kept.

    The thread starts with the first `read`, so that frames which pass while a model loads are not counted as dropped.
    From then on the thread alone reads and closes the inner source.

    Args:
        source: any source; without its own pace (a file) it is read as fast as it can.
    """

    live = True

    def __init__(self, source: FrameSource) -> None:
        self.name = source.name
        self.fps = source.fps
        self._source = source
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._failure: BaseException | None = None
        self._ended = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._last_index: int | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Frames between those that `read` returned which nobody got to see, here or in the inner source."""
        return self._dropped

    def read(self) -> Frame | None:
        """Wait for a frame that was not returned before, and return the newest; None at the end or once closed.

        Raises:
            SourceError: the inner source failed; a frame that came before the failure is returned first.
        """
        with self._changed:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._capture, name=f"capture {self.name}", daemon=True)
                self._thread.start()
            self._changed.wait_for(lambda: self._newest is not None or self._ended or self._closing)
            frame, self._newest = self._newest, None
            if self._closing:
                return None
            if frame is None:
                if self._failure is not None:
                    raise self._failure
                return None
            if self._last_index is not None:
                self._dropped += max(0, frame.index - self._last_index - 1)
            self._last_index = frame.index
            return frame

    def close(self) -> None:
        """End within a second.

        A native read that hangs (a camera that answers no more) cannot be broken off from outside, and releasing the
        device under it could crash the process: such a thread is left behind as a daemon and closes the source when
        the read returns, or ends with the process.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            self._source.close()
        elif thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT_S)

    def _capture(self) -> None:
        """Read until the end, a failure, or `close`; runs in the thread."""
        failure: BaseException | None = None
        try:
            while not self._closing:
                frame = self._source.read()
                if frame is None:
                    break
                with self._changed:
                    self._newest = frame
                    self._changed.notify_all()
        except BaseException as error:  # whatever it is, it belongs to whoever reads
            failure = error
        try:
            self._source.close()
        except BaseException as error:
            failure = failure or error
        with self._changed:
            self._failure = failure
            self._ended = True
            self._changed.notify_all()

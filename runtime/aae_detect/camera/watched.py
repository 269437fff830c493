"""A camera that may vanish and come back: watched, and opened again for as long as it takes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from aae_detect.camera.patience import patience_s
from aae_detect.camera.process import PATIENCE_S, CaptureProcess
from aae_detect.errors import SourceError
from aae_detect.frames import Frame, FrameSource, Signal
from aae_detect.source_settings import SourceSettings

_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 5.0)
"""How long to wait before each next try to open; the last one for ever."""

_STEADY_S = 2.0
"""A camera that lasts so long has recovered: its next loss begins with the first pause again. One that comes and goes
faster has the pauses of one that does not open."""

_OPEN_S = (2.0, 12.0)
"""How long opening may take, at least and at most. What it took when it worked says how long is long: a try that hangs
on a network that is gone would still hang when the network is back."""


class WatchedCamera(FrameSource):
    """A live source that outlives its camera.

    `read` gives frames, and a `Signal` when the camera is lost and when it is back. No frame is given twice, and none
    that was left from before a loss: the first after it is dropped, but for a camera that waits for a trigger, whose
    every frame is a part. One thread reads; any may close.
    """

    live = True
    close_wakes_read = True

    def __init__(self, settings: SourceSettings, say: Callable[[str], None] = lambda text: None) -> None:
        """Start to open the camera; `connect` waits for it, and so does the first `read`.

        Args:
            settings: Which one, and what it is asked for.
            say: Told what it does not take of that, whenever it opens and this has changed, and each new reason why it
                stays lost; by whoever connects or reads.

        Raises:
            SourceError: the machine has no room for a capture process.
        """
        self.name = settings.shown_name
        self.fps = settings.camera.fps or 0.0
        self.notes: tuple[str, ...] = ()
        """What the camera was asked for and did not take; known once it is open."""
        self._settings, self._say = settings, say
        self._process: CaptureProcess | None = _start(settings)
        try:
            self._wake, self._wake_write = os.pipe()
        except OSError as error:
            self._end_process(0.0)
            raise SourceError(f"{self.name} cannot be watched ({error.strerror})") from error
        self._process.begin()
        self._begun_at: float | None = time.monotonic()
        self._open_at: float | None = None
        self._open_s = _OPEN_S[1]
        self._next_index = 0
        self._first_index = 0
        """What the capture process's own count begins at; each process counts from 0."""
        self._lost_at: float | None = None
        self._reasons: set[str] = set()
        """Why the camera is lost, as far as that was told."""
        self._kept: Frame | None = None
        """Given after the return that it came with."""
        self._losses = 0
        """Losses and failed tries since the camera was steady."""
        self._closed = threading.Event()
        self._closing = threading.Lock()
        self._reading = threading.Lock()

    def connect(self) -> None:
        """Wait until the camera is open for the first time.

        Raises:
            SourceError: it does not open; says why. Unlike `read` this does not try again.
        """
        with self._reading:
            if self._begun_at is not None and self._open_at is None:
                self._open(self._begun_at)

    def read(self) -> Frame | Signal | None:
        """Wait for the next frame, or for a loss or a return; None once closed."""
        with self._reading:
            while not self._closed.is_set():
                try:
                    item = self._next()
                except _SilentError as error:
                    item = self._lose(str(error), patience_s=0.0)
                except SourceError as error:
                    item = self._lose(str(error))
                if item is not None:
                    return item
        return None

    def close(self) -> None:
        """Have a `read` that waits return None, and end the capture process; takes a second at most."""
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
        os.write(self._wake_write, b"x")
        with self._reading:
            self._end_process()
            os.close(self._wake)
            os.close(self._wake_write)

    def _next(self) -> Frame | Signal | None:
        """Wait for what `read` returns; None where there is nothing yet, or on `close`."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return kept
        if self._begun_at is None:
            self._begun_at = self._begin_again()
            return None
        if self._open_at is None:
            self._open(self._begun_at)
            return None
        first = self._next_index == self._first_index
        patience_s = self._patience_s(first)
        assert self._process is not None  # it is open
        frame = self._process.frame(patience_s, self._wake)
        if frame is None:
            if self._closed.is_set():
                return None
            raise _SilentError(f"{self.name} is silent: no frame for {patience_s:.1f} s")
        frame = replace(frame, index=self._first_index + frame.index)
        self._next_index = frame.index + 1
        if self._lost_at is not None:
            self._kept = frame if self._settings.lost_after_s == 0 else None
            return self._return()
        if self._losses and time.monotonic() - self._open_at > _STEADY_S:
            self._losses = 0
        return frame

    def _open(self, begun_at: float) -> None:
        assert self._process is not None  # it was begun
        answer = self._process.opened(self._open_s, self._wake)
        if answer is None:
            if not self._closed.is_set():
                waited_s, self._open_s = self._open_s, min(2 * self._open_s, _OPEN_S[1])
                raise _SilentError(f"{self.name} does not open within {waited_s:.0f} s")
            return
        self._open_at = time.monotonic()
        # Of the answer's own time: whoever asks may have loaded a model before.
        took_s = answer["opened_ns"] * 1e-9 - begun_at
        self._open_s = min(max(1.0 + 2 * took_s, _OPEN_S[0]), _OPEN_S[1])
        self.fps = answer["fps"] or self.fps
        told, self.notes = self.notes, tuple(answer["notes"])
        for note in self.notes:
            if note not in told:
                self._say(f"warning: {self.name}: {note}")

    def _patience_s(self, first: bool) -> float | None:
        """How long the next frame may take; the first after opening may have to wait for a key frame."""
        usual = patience_s(self._settings, self.fps)
        return max(usual, self._open_s) if first and usual is not None else usual

    def _lose(self, reason: str, patience_s: float = PATIENCE_S) -> Signal | None:
        """Give a camera up; a signal tells of it once, however many tries to open it fail, and a line of other reasons.

        Who counts outages, or answers for the line, needs no more; whoever looks for the cause does.
        """
        self._end_process(patience_s)
        with suppress(SourceError):  # tried again when it is needed
            self._process = _start(self._settings)  # starts up while the pause lasts
        self._begun_at = self._open_at = None
        self._losses += 1
        self._first_index = self._next_index
        known, now = reason in self._reasons, datetime.now(UTC).astimezone()
        self._reasons.add(reason)
        if self._lost_at is not None:
            if not known:
                self._say(f"{now:%H:%M:%S} {self.name}: still no signal, {reason}")
            return None
        self._lost_at = time.monotonic()
        return Signal(True, reason, now, self.name)

    def _return(self) -> Signal:
        assert self._lost_at is not None  # asked before
        outage_s, self._lost_at = time.monotonic() - self._lost_at, None
        self._reasons.clear()
        return Signal(False, "", datetime.now(UTC).astimezone(), self.name, outage_s)

    def _begin_again(self) -> float | None:
        """Open the camera again after the pause that is due; None where `close` came in between."""
        pause_s = _PAUSES_S[min(self._losses, len(_PAUSES_S)) - 1]
        if self._closed.wait(pause_s):
            return None
        self._process = self._process or _start(self._settings)
        self._process.begin()
        return time.monotonic()

    def _end_process(self, patience_s: float = PATIENCE_S) -> None:
        if self._process is not None:
            self._process.end(patience_s)
            self._process = None


def _start(settings: SourceSettings) -> CaptureProcess:
    """Start a process.

    Raises:
        SourceError: the machine has no room for one just now, or too many hang in the camera's driver.
    """
    try:
        return CaptureProcess(settings)
    except OSError as error:
        raise SourceError(f"{settings.shown_name}: no capture process could be started ({error.strerror})") from error


class _SilentError(SourceError):
    """A camera that says nothing: its process may hang, and is not waited for."""

"""One life of a capture process, seen from the process that detects."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aae_detect.camera.ring import FrameRing
from aae_detect.errors import SourceError
from aae_detect.frames import Frame
from aae_detect.source_settings import SourceSettings

PATIENCE_S = 0.6
"""How long a process may take to end by itself; a device that is closed in order opens again at once."""

_KILL_S = 0.4
"""How long a process that was killed may take to die. It does so at once, unless a driver holds it in the kernel: then
nobody knows when, and a loss has to be told within 2 s."""

_MOST_STUCK = 3
"""So many processes of one camera may hang in its driver; more would fill the memory, try by try."""

_LONGEST_S = 2e6
"""How long one wait may take, 23 days: poll counts milliseconds in 32 bits."""

_Waiting = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""Not `select`, which takes no descriptor above 1023; but Windows has nothing else."""

_stuck: list[tuple[str, subprocess.Popen[bytes]]] = []
"""Cameras' names, and their processes that were killed and are not dead yet."""


class CaptureProcess:
    """A process that captures; `camera.worker` is its other side.

    Every question has one answer. A question that was not answered in time stays asked.
    """

    def __init__(self, settings: SourceSettings) -> None:
        """Start the process; it does nothing yet.

        Raises:
            OSError: the machine has no room for one.
            SourceError: too many earlier ones still hang in the camera's driver.
        """
        self._settings = settings
        self._name = settings.shown_name
        _bury()
        if (hanging := sum(name == self._name for name, _ in list(_stuck))) >= _MOST_STUCK:
            raise SourceError(
                f"{self._name}: {hanging} capture processes hang in its driver; unplug the camera, or start this "
                "machine again"
            )
        self._ring = FrameRing()
        try:
            self._answers, answer_fd = os.pipe()
        except OSError:
            self._ring.close()
            raise
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "aae_detect.camera.worker", str(self._ring.fd), str(answer_fd)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                # FFmpeg prints there what a reason says better, addresses among it.
                stderr=None if "OPENCV_LOG_LEVEL" in os.environ else subprocess.DEVNULL,
                pass_fds=(self._ring.fd, answer_fd),
                bufsize=0,
            )
        except OSError:
            os.close(self._answers)
            self._ring.close()
            raise
        finally:
            os.close(answer_fd)
        self._line = b""
        self._asked = False

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def begin(self) -> None:
        """Have it open the camera."""
        self._say(self._settings.to_json().encode() + b"\n")

    def opened(self, timeout_s: float, wake_fd: int) -> dict[str, Any] | None:
        """Wait until the camera is open; None where it takes longer, or where `wake_fd` got something to read.

        Raises:
            SourceError: it does not open; says why.
        """
        return self._ask(timeout_s, wake_fd)

    def frame(self, timeout_s: float | None, wake_fd: int) -> Frame | None:
        """Wait for a frame that was not given before, and return the newest; None as with `opened`.

        Raises:
            SourceError: the camera gives no more.
        """
        answer = self._ask(timeout_s, wake_fd)
        if answer is None:
            return None
        pixels = self._ring.view(answer["slot"], tuple(answer["shape"]), np.dtype(answer["dtype"])).copy()
        captured_at = datetime.fromtimestamp(answer["time"], UTC).astimezone()
        return Frame(pixels, answer["index"], captured_at, self._name, read_ns=answer["read_ns"])

    def end(self, patience_s: float = PATIENCE_S) -> None:
        """End the process, whatever it does, and give back all that it took.

        One that a driver holds in the kernel dies when the driver lets go of it; nobody waits for that.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                self._process.wait(_KILL_S)
            except subprocess.TimeoutExpired:
                _stuck.append((self._name, self._process))
        os.close(self._answers)
        self._ring.close()
        _bury()

    def _ask(self, timeout_s: float | None, wake_fd: int) -> dict[str, Any] | None:
        if not self._asked:
            self._say(b"n")
            self._asked = True
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._line:
            left = None if until is None else max(0.0, until - time.monotonic())
            if self._answers not in self._readable(wake_fd, left):
                return None
            if not (piece := os.read(self._answers, 4096)):
                raise SourceError(f"{self._name}: its capture process ended ({self._exit()})")
            self._line += piece
        line, self._line = self._line.split(b"\n", 1)
        self._asked = False
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise SourceError(answer["failed"])
        return answer

    def _readable(self, wake_fd: int, timeout_s: float | None) -> Sequence[int]:
        """Wait until there is an answer, or something to read on `wake_fd`; return which, none after the time."""
        try:
            with _Waiting() as waiting:
                for fd in (self._answers, wake_fd):
                    waiting.register(fd, selectors.EVENT_READ)
                return [key.fd for key, _ in waiting.select(None if timeout_s is None else min(timeout_s, _LONGEST_S))]
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._name}: its capture process cannot be waited for ({error})") from error

    def _say(self, data: bytes) -> None:
        assert self._process.stdin is not None  # asked for when it was started
        try:
            self._process.stdin.write(data)
        except BrokenPipeError:  # it ended; reading its answers tells
            pass

    def _exit(self) -> str:
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "no exit code"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _bury() -> None:
    """Ask after processes that would not die, so that none stays a zombie."""
    for each in list(_stuck):
        if each[1].poll() is not None:
            with suppress(ValueError):  # another camera's thread was faster
                _stuck.remove(each)

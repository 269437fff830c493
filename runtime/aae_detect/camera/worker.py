"""The capture process: opens one camera, keeps reading it, and hands over the newest frame when it is asked.

usage: python -m aae_detect.camera.worker RING_FD ANSWER_FD      settings as a JSON line on standard input

A native read that hangs cannot be broken off from within its process, so cameras are read in one that can be ended.
After the settings each byte on standard input asks for one answer, a JSON line on ANSWER_FD: first how opening went,
then the newest frame that was not given before, as soon as there is one. Whoever asks may read that frame's slot until
it asks again. When standard input ends, so does the process, also when its read hangs, and when the other side was
killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from aae_detect.camera.patience import have_opencv_wait
from aae_detect.camera.ring import SLOTS, FrameRing
from aae_detect.frames import Frame
from aae_detect.source_settings import SourceSettings, open_with

_LAST_READ_S = 0.4
"""How long a read may still take once nobody listens."""


class Answers:
    """What there is to say, and who asked for it: one thread captures, another one hears the requests."""

    def __init__(self, ring: FrameRing, fd: int) -> None:
        self._ring = ring
        self._fd = fd
        self._lock = threading.Lock()
        self._asked = False
        self._first: list[dict[str, Any]] = []
        """Goes out before frames: how opening went, or how capture ended."""
        self._newest: dict[str, Any] | None = None
        self._held: int | None = None
        """The slot of the frame that was handed out last."""

    def tell(self, **answer: Any) -> None:
        """Have something said that is no frame."""
        with self._lock:
            self._first.append(answer)
            self._answer()

    def put(self, frame: Frame) -> None:
        """Take a frame; the one before is dropped if nobody asked for it."""
        assert frame.image is not None  # cameras give pictures or fail
        with self._lock:
            taken = (self._held, self._newest and self._newest["slot"])
        slot = next(slot for slot in range(SLOTS) if slot not in taken)
        self._ring.put(slot, frame.image)
        with self._lock:
            self._newest = {
                "slot": slot,
                "shape": frame.image.shape,
                "dtype": frame.image.dtype.name,
                "index": frame.index,
                "time": frame.captured_at.timestamp(),
                "read_ns": frame.read_ns,
            }
            self._answer()

    def ask(self) -> None:
        """Hear a request: the slot that was handed out is free again."""
        with self._lock:
            self._asked = True
            self._held = None
            self._answer()

    def _answer(self) -> None:
        """Say the next thing if it was asked for; under the lock."""
        if not self._asked or not (self._first or self._newest):
            return
        if self._first:
            answer = self._first.pop(0)
        else:
            assert self._newest is not None
            answer, self._newest = self._newest, None
            self._held = answer["slot"]
        self._asked = False
        os.write(self._fd, (json.dumps(answer) + "\n").encode())


def main() -> None:
    """Run until nobody listens any more."""
    # Ctrl-C reaches the whole group of processes; the other side decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ring_fd, answer_fd = map(int, sys.argv[1:])
    with open(0, "rb", buffering=0, closefd=False) as standard_input:
        settings = SourceSettings.from_json(standard_input.readline().decode())
    answers = Answers(FrameRing(ring_fd), answer_fd)
    closing, captured = threading.Event(), threading.Event()
    listener = threading.Thread(target=_listen, args=(answers, closing, captured))
    listener.start()
    try:
        _capture(settings, answers, closing)
    except BrokenPipeError:  # the other side is gone
        pass
    except Exception as error:  # whatever it is, the other side has to hear of it
        answers.tell(failed=str(error) or type(error).__name__)
    captured.set()


def _capture(settings: SourceSettings, answers: Answers, closing: threading.Event) -> None:
    source = open_with(have_opencv_wait(settings))
    try:
        notes = getattr(source, "notes", ())
        answers.tell(opened=source.name, opened_ns=time.monotonic_ns(), fps=source.fps, notes=notes)
        while not closing.is_set() and isinstance(frame := source.read(), Frame):
            answers.put(frame)
    finally:
        source.close()
    answers.tell(failed=f"{source.name} ended")


def _listen(answers: Answers, closing: threading.Event, captured: threading.Event) -> None:
    """Hear requests until there are no more; then the read in hand may return, but one that hangs is not waited for."""
    try:
        while os.read(0, 1):
            answers.ask()
    except BrokenPipeError:
        pass
    closing.set()
    if not captured.wait(_LAST_READ_S):
        os._exit(0)


if __name__ == "__main__":
    main()

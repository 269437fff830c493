"""A new model without a stop: on SIGHUP, after it has passed the same test as at the start."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from aae_detect.errors import AaeDetectError
from aae_detect.loop import Stream, Successor
from aae_detect.news import ModelChange
from aae_detect.stream_judges import Judges

_PATIENCE_S = 5.0
"""How long the end of a run waits for a model that is just loaded; on a disk that hangs that may be for ever."""


def reload_models(streams: Sequence[Stream], load: Callable[[], Sequence[Judges]]) -> None:
    """Load everything again, and leave it for each stream to take between two frames, where all of it is fine.

    What was decided so far goes on: rules and their state stay as they are.

    Args:
        streams: Of the run.
        load: As at the start of the run, with the golden samples; what it raises leaves everything as it was.
    """
    try:
        judges, reason = load(), ""
    except AaeDetectError as error:
        judges, reason = [], str(error)
    except Exception as error:  # whatever it is, what judges goes on judging, and the next wish is heard
        judges, reason = [], f"{type(error).__name__}: {error}"
    now = datetime.now(UTC)
    for number, stream in enumerate(streams):
        new = judges[number] if judges else None
        judging = new.detector if new is not None else stream.detector
        change = ModelChange(stream.source.name, not reason, judging.model_sha256, judging.threshold, reason, now)
        with stream.changing:
            stream.successor = (
                Successor(change) if new is None else Successor(change, new.detector, new.checks, new.drift)
            )


@contextmanager
def reload_on_sighup(streams: Sequence[Stream], load: Callable[[], Sequence[Judges]]) -> Iterator[None]:
    """Reload on SIGHUP while this lasts, in a thread of its own: frames go on being judged meanwhile."""
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        yield
        return
    asked, ended = threading.Event(), threading.Event()

    def wait() -> None:
        while asked.wait() and not ended.is_set():
            asked.clear()
            reload_models(streams, load)

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = signal.signal(signal.SIGHUP, note)
    waiting = threading.Thread(target=wait, name="reload", daemon=True)
    waiting.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
        ended.set()
        asked.set()
        waiting.join(_PATIENCE_S)

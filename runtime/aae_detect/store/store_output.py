"""What of a run goes into the store: NG, UNKNOWN, decisions, drift, lost cameras, start and stop."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aae_detect._opencv import cv2
from aae_detect.detection import Verdict
from aae_detect.drawer import Drawer
from aae_detect.errors import ConfigError
from aae_detect.events import news_event, signal_event
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import News
from aae_detect.store.event_store import EventStore, Retention

_SAME_UNKNOWN_S = 60.0
"""UNKNOWN for the same reason is stored once in so long: a covered lens would fill the disk."""

_PRUNE_EVERY = 500
"""Events after which old ones are looked for."""

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 90)


class StoreOutput(Output):
    """Keeps what matters of one source; shares its store with the others'."""

    name = "store"

    def __init__(self, store: EventStore, retention: Retention, drawer: Drawer, say: Callable[[str], None]) -> None:
        """Take where to keep it, for how long, who draws overlays, and who is told of trouble."""
        self._store, self._retention, self._drawer, self._say = store, retention, drawer, say
        self._told_problem = ""
        self._last_unknown = ("", -1e9)
        self._since_pruned, self._first_prune = _PRUNE_EVERY, True
        self.dropped = 0

    def take(self, judged: Judged) -> bool:
        """Keep an NG frame with its pictures, and an UNKNOWN one whose reason is new."""
        verdict = judged.event["verdict"]  # where pictures were too many, the event is all there is
        if verdict == Verdict.NG:
            self._append(judged.event, self._pictures(judged))
        elif verdict == Verdict.UNKNOWN:
            kind, now = judged.reason.partition(":")[0], time.monotonic()
            if kind != self._last_unknown[0] or now - self._last_unknown[1] >= _SAME_UNKNOWN_S:
                self._last_unknown = (kind, now)
                self._append(judged.event, self._pictures(judged))
        if verdict != Verdict.UNKNOWN:
            self._last_unknown = ("", -1e9)
        return True

    def signal(self, signal: Signal) -> None:
        """Keep that a camera was lost, or is back."""
        self._append(signal_event(signal))

    def tell(self, news: News) -> None:
        """Keep what the line was told, what drifts, and which model judges."""
        self._append(news_event(news))

    def close(self) -> None:
        """The store is closed by whoever opened it."""

    def _append(self, event: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None) -> None:
        try:
            self._store.append(event, pictures)
            self._since_pruned += 1
            if self._since_pruned >= _PRUNE_EVERY:
                self._since_pruned = 0
                self._store.prune(self._retention, orphans=self._first_prune)
                self._first_prune = False
            problem = self._store.problem
        except ConfigError as error:  # verdicts go on, whatever becomes of the disk
            self.dropped += 1
            problem = str(error)
        if problem.partition(":")[0] != self._told_problem.partition(":")[0]:
            self._say(f"warning: {problem}" if problem else f"{self._store.folder}: pictures are kept again")
        self._told_problem = problem

    def _pictures(self, judged: Judged) -> dict[str, bytes]:
        if judged.image_bgr is None:
            return {}
        found = {
            "frame.png": _encoded(".png", judged.image_bgr, ()),
            "overlay.jpg": _encoded(".jpg", self._drawer.draw(judged), _JPEG),
        }
        if judged.detection is not None:
            packed = io.BytesIO()
            np.save(packed, judged.detection.model_map.astype(np.float16), allow_pickle=False)
            found["map.npy"] = packed.getvalue()
        return found


def run_event(kind: str, source: str, **details: Any) -> dict[str, Any]:
    """Describe that a run has begun or ended."""
    return {"type": kind, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "source": source, **details}


def _encoded(suffix: str, picture: Any, options: tuple[int, ...]) -> bytes:
    return bytes(cv2.imencode(suffix, picture, options)[1].tobytes())

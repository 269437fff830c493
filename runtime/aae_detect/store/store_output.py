"""What of a run goes into the store: NG, UNKNOWN, decisions, drift, lost cameras, start and stop."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aae_detect.detection import Verdict
from aae_detect.drawer import Drawer
from aae_detect.events import news_event, signal_event
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import News
from aae_detect.picture_bytes import encode_overlay, encode_picture
from aae_detect.store.event_store import EventStore, Retention

_SAME_UNKNOWN_S = 60.0
"""UNKNOWN for the same reason is stored once in so long: a covered lens, or one that flickers, would fill the disk."""

_PRUNE_EVERY = 500
"""Events after which old ones are looked for."""

_AGAIN = {"events": "events are kept", "pictures": "pictures are kept", "old events": "old events are taken out"}
_GOES_ON = {"events": "; verdicts go on", "pictures": "", "old events": "; the store grows"}


class StoreOutput(Output):
    """Keeps what matters of one source; shares its store with the others'."""

    name = "store"

    def __init__(self, store: EventStore, retention: Retention, drawer: Drawer, say: Callable[[str], None]) -> None:
        """Take where to keep it, for how long, who draws overlays, and who is told of trouble."""
        self._store, self._retention, self._drawer, self._say = store, retention, drawer, say
        self._troubled: set[str] = set()
        """What goes wrong at the moment, and was said: of `_AGAIN`."""

        self._missing = 0
        """Events that could not be kept since the last one that could."""

        self._undrawn = ""
        """Why the last frame's pictures could not be made; empty where they could."""

        self._unknown_s: dict[str, float] = {}
        """When one was stored last, by its reason."""

        self._since_pruned, self._first_prune = _PRUNE_EVERY, True

    def wants(self, judged: Judged) -> bool:
        """What `take` keeps: a camera that is covered now and then must not fill the queue either."""
        verdict = judged.event["verdict"]
        return verdict == Verdict.NG or (verdict == Verdict.UNKNOWN and self._is_due(judged))

    def take(self, judged: Judged) -> bool:
        """Keep an NG frame with its pictures, and an UNKNOWN one whose reason was not kept lately."""
        verdict = judged.event["verdict"]  # where pictures were too many, the event is all there is
        if verdict == Verdict.NG:
            self._append(judged.event, self._pictures(judged))
        elif verdict == Verdict.UNKNOWN and self._is_due(judged):
            self._unknown_s[_kind(judged)] = time.monotonic()
            self._append(judged.event, self._pictures(judged))
        return True

    def signal(self, signal: Signal) -> None:
        """Keep that a camera was lost, or is back."""
        self._append(signal_event(signal))

    def tell(self, news: News) -> None:
        """Keep what the line was told, what drifts, and which model judges."""
        self._append(news_event(news))

    def close(self) -> None:
        """Say what is missing; the store is closed by whoever opened it."""
        if self._missing:
            self._say(f"warning: {self._store.folder}: the last {self._missing} events are missing")

    def _is_due(self, judged: Judged) -> bool:
        """Whether UNKNOWN for this reason was not kept lately."""
        return time.monotonic() - self._unknown_s.get(_kind(judged), -math.inf) >= _SAME_UNKNOWN_S

    def _append(self, event: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None) -> None:
        try:
            self._store.append(event, pictures)
        except Exception as error:  # verdicts go on, whatever becomes of the store
            self._missing += 1
            self._tell("events", str(error))
            return
        self._tell("events", "")
        self._missing = 0
        self._tell("pictures", self._undrawn or self._store.problem)
        self._since_pruned += 1
        if self._since_pruned >= _PRUNE_EVERY:
            self._since_pruned = 0
            self._prune()

    def _prune(self) -> None:
        try:
            self._store.prune(self._retention, orphans=self._first_prune, by_hand=False)
        except Exception as error:  # the store grows until it works again; see `_append`
            self._tell("old events", str(error))
            return
        self._first_prune = False
        self._tell("old events", "")

    def _tell(self, kind: str, problem: str) -> None:
        """Say that something goes wrong once, and once that it does no longer."""
        if bool(problem) == (kind in self._troubled):
            return
        if problem:
            self._troubled.add(kind)
            self._say(f"warning: {problem}{_GOES_ON[kind]}")
        else:
            self._troubled.remove(kind)
            missing = f", {self._missing} are missing" if kind == "events" else ""
            self._say(f"{self._store.folder}: {_AGAIN[kind]} again{missing}")

    def _pictures(self, judged: Judged) -> dict[str, bytes]:
        if judged.image_bgr is None:
            return {}
        try:
            found = {
                "frame.png": encode_picture(".png", judged.image_bgr),
                "overlay.jpg": encode_overlay(self._drawer.draw(judged)),
            }
            if judged.detection is not None:
                packed = io.BytesIO()
                np.save(packed, judged.detection.model_map.astype(np.float16), allow_pickle=False)
                found["map.npy"] = packed.getvalue()
        except Exception as error:  # whatever it is, the event is kept, and verdicts go on
            self._undrawn = f"pictures cannot be made: {error}"
            return {}
        self._undrawn = ""
        return found


def run_event(kind: str, source: str, **details: Any) -> dict[str, Any]:
    """Describe that a run has begun or ended."""
    return {"type": kind, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "source": source, **details}


def _kind(judged: Judged) -> str:
    return judged.reason.partition(":")[0]

"""Stored events to the broker, and what is true now beside them."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aae_detect.decision.decision import Decision
from aae_detect.events import news_event
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import News
from aae_detect.sinks.message import event_message
from aae_detect.sinks.mqtt_names import source_topic
from aae_detect.store.stored_event import StoredEvent

if TYPE_CHECKING:
    from aae_detect.sinks.mqtt_link import MqttLink

_STATE_S, _CHANGE_S = 1.0, 0.1
"""The state of a source is told so often at most; a change of the verdict sooner."""

_DECISIONS = 100
"""That wait for the thread; the store has them all."""


class MqttEvents:
    """The sink: each event once on the topic of its source, confirmed by the broker."""

    def __init__(self, link: MqttLink) -> None:
        """Take the connection, which others use too."""
        self.name = "mqtt"
        self._link = link

    def deliver(self, events: Sequence[StoredEvent], stop: threading.Event) -> int:
        """See `Sink`."""
        return self._link.send([(self._topic(stored), event_message(stored)) for stored in events], stop)

    def close(self) -> None:
        """The connection is closed by whoever opened it."""

    def _topic(self, stored: StoredEvent) -> str:
        if stored.event.get("type") in ("start", "stop"):  # of all sources
            return f"{self._link.topic}/events"
        return f"{source_topic(self._link.topic, str(stored.event.get('source', '')))}/events"


class MqttState(Output):
    """`state`: verdict and score of one source, retained; `decision`: what its line is told, at once."""

    name = "mqtt state"

    def __init__(self, link: MqttLink, source: str) -> None:
        """Take the connection and the source; its state is told by a thread of its own."""
        self._link, self._topic = link, source_topic(link.topic, source)
        self._changed = threading.Condition()
        self._state: dict[str, Any] = {"verdict": None, "camera": "waiting"}
        self._version = 0
        self._urgent = True
        self._decisions: deque[Decision] = deque(maxlen=_DECISIONS)
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="mqtt state", daemon=True)
        self._thread.start()

    def take(self, judged: Judged) -> bool:
        """Note the newest verdict."""
        event = judged.event
        found = {name: event.get(name) for name in ("verdict", "score", "p_value", "threshold", "reason", "time")}
        self._note({**found, "camera": "there"})
        return True

    def signal(self, signal: Signal) -> None:
        """Note that the camera was lost, or is back."""
        self._note({"camera": "lost", "verdict": "UNKNOWN", "reason": signal.reason} if signal.lost else {})

    def tell(self, news: News) -> None:
        """Pass a decision on."""
        if isinstance(news, Decision):
            with self._changed:
                self._decisions.append(news)
                self._changed.notify()

    def close(self) -> None:
        """Tell what was not told yet, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(2.0)

    def _note(self, found: dict[str, Any]) -> None:
        with self._changed:
            state = {**self._state, **found}
            self._urgent = self._urgent or any(state.get(key) != self._state.get(key) for key in ("verdict", "camera"))
            self._state = state
            self._version += 1
            self._changed.notify()

    def _work(self) -> None:
        told, told_s = (-1, -1), -1e9
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._urgent or self._decisions or self._closing, _STATE_S)
                decisions, closing = list(self._decisions), self._closing
                self._decisions.clear()
                state, now = dict(self._state), (self._version, self._link.connections)
                self._urgent = False
            for decision in decisions:
                self._link.publish(f"{self._topic}/decision", json.dumps(news_event(decision)).encode())
            if now != told and self._link.publish(f"{self._topic}/state", json.dumps(state).encode(), retain=True):
                told, told_s = now, time.monotonic()
            if closing:
                return
            time.sleep(max(0.0, min(_CHANGE_S, told_s + _CHANGE_S - time.monotonic())))

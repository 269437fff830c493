"""A connection to an MQTT 5 broker that is made again for as long as it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aae_detect.sinks.mqtt_broker import Broker
from aae_detect.sinks.mqtt_refusals import Refusals
from aae_detect.sinks.settings import MqttSettings
from aae_detect.sinks.sink import SinkError

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo

KEEPALIVE_S = 20
"""After one and a half times of it the broker knows that this client is gone, and publishes its will."""

_ANSWER_S = 5.0
"""How long a broker may take to answer."""

_MOMENT_S = 2.0
"""So long without a connection is nothing to speak of: at the start there is none yet."""

_MOST_UNCONFIRMED = 1000
"""Messages that may wait for the broker's word, in flight or not: left alone, paho keeps any number of them. Events are
in the store, and of states only the newest counts."""

_UNHEARD_TIMES = 3
"""So often in a row events may stay without any word before the connection is given up, and all begins anew."""

_UNCONFIRMED = "the broker does not confirm"

_PAUSES_S = (0.5, 1.0, 2.0, 5.0)
_LOOK_S = 0.1

Message = tuple[str, bytes]
"""Topic and payload."""


class MqttLink:
    """One client, for all who publish or wait for messages; a thread of its own keeps it connected.

    `TOPIC/status` holds `online` while it is, and `offline` when it has gone, by the client's last will.
    """

    def __init__(self, settings: MqttSettings, say: Callable[[str], None]) -> None:
        """Take the broker; nothing is connected before `start`.

        Raises:
            ConfigError: a secret or a certificate cannot be read.
            InstallError: paho-mqtt is missing.
        """
        self._broker = Broker.of(settings)
        self.topic = settings.topic
        self.name = f"mqtt {self._broker.host}"
        self.problem = "not connected yet"
        """Why there is no connection; empty where there is one."""

        self.connections = 0
        """How often it was connected: whoever keeps something in the broker says it again then."""

        self.greetings: list[Message] = []
        """Retained messages that the broker is told with every connection."""

        self._say = say
        self._listeners: dict[str, list[Callable[[str], None]]] = {}
        self._client: Client | None = None
        self._connected = threading.Event()
        self._refusals = Refusals(self.name, say)
        self._doubtful = False
        """Whether the last batch did not arrive as a whole."""

        self._unheard = 0
        """How often in a row the broker did not confirm."""

        self._given_up = ""
        """Why the connection was given up on this side."""

        self._lost = threading.Event()
        self._stop = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._keep_connected, name="mqtt", daemon=True)

    def listen(self, topic: str, heard: Callable[[str], None]) -> None:
        """Have a function called with the text of each message on a topic; call it before `start`.

        Retained messages are left out: what they say was said before.
        """
        self._listeners.setdefault(topic, []).append(heard)

    def start(self) -> None:
        """Begin to connect; a broker that is not there is waited for."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> bool:
        """Publish what only counts now; returns whether there was a connection to do so."""
        client = self._client
        return client is not None and self._publish(client, topic, payload, retain)

    def send(self, messages: Sequence[Message], stop: threading.Event) -> int:
        """Publish, and wait until the broker has confirmed.

        Args:
            messages: At least one.
            stop: Once it is set, not for long.

        Returns:
            How many it has confirmed, from the first on; at least one. What it will never take counts, too: it is said.

        Raises:
            SinkError: none.
        """
        if not stop.is_set():
            self._connected.wait(_MOMENT_S)
        client = self._client
        if client is None:
            raise SinkError(self.problem)
        if self._doubtful:  # what stands behind a message that is refused again would be sent again with each try
            messages = messages[:1]
        self._doubtful = True
        waited: list[tuple[str, str, MQTTMessageInfo | None]] = []
        for topic, payload in messages:
            too_large = self._refusals.too_large(topic, payload)
            waited.append((topic, too_large, None if too_large else client.publish(topic, payload, qos=1)))
        until_s = time.monotonic() + _ANSWER_S * (1 + len(messages) / 10)
        for arrived, (topic, too_large, info) in enumerate(waited):
            if info is None:
                self._refusals.leave_out(topic, too_large)
            elif problem := self._wait(client, topic, info, until_s, stop):
                if arrived:
                    return arrived
                raise SinkError(problem)
        self._doubtful = False
        return len(messages)

    def close(self) -> None:
        """Say goodbye, and disconnect."""
        self._stop.set()
        self._lost.set()
        if self._thread.ident is not None:
            self._thread.join(2 * _ANSWER_S)

    def _publish(self, client: Client, topic: str, payload: bytes, retain: bool) -> bool:
        """Publish without waiting; a refusal is told when it comes. Returns whether the client has taken it."""
        if too_large := self._refusals.too_large(topic, payload):
            self._refusals.leave_out(topic, too_large)
            return True  # trying again would help nothing
        info = client.publish(topic, payload, qos=1, retain=retain)
        if self._is_full(info):
            self._give_up(client)
            return False
        self._refusals.watch(topic, info)
        return int(info.rc) == 0

    def _is_full(self, info: MQTTMessageInfo) -> bool:
        """Whether the client did not take a message because too many are unconfirmed."""
        from paho.mqtt.enums import MQTTErrorCode

        return info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE

    def _give_up(self, client: Client) -> None:
        """End a connection on which nothing is confirmed, with all that waits in its client."""
        if client is self._client:
            self._given_up = _UNCONFIRMED
            self._lost.set()

    def _wait(self, client: Client, topic: str, info: MQTTMessageInfo, until_s: float, stop: threading.Event) -> str:
        """Wait for the answer to one message; returns what went wrong."""
        while client is self._client:
            try:
                info.wait_for_publish(_LOOK_S)
            except (RuntimeError, ValueError):  # it was lost before it was sent
                if self._is_full(info):
                    self._give_up(client)
                    return _UNCONFIRMED
                return self.problem or "the connection was lost"
            if info.is_published():
                return self._refusals.problem_of(topic, info.mid)
            now = time.monotonic()
            if now > until_s or (stop.is_set() and now > until_s - _ANSWER_S):
                self._unheard += 1
                if self._unheard >= _UNHEARD_TIMES:
                    self._give_up(client)
                return _UNCONFIRMED
        return self.problem or "the connection was lost"

    def _keep_connected(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began_s = time.monotonic()
            self._lost.clear()
            self._unheard, self._given_up = 0, ""
            self.problem = self._connection()
            if self._stop.is_set():
                return
            failures = 0 if time.monotonic() - began_s > 2 * _ANSWER_S else failures + 1
            if self.problem != self._told:
                self._told = self.problem
                self._say(f"warning: {self.name}: {self.problem}; trying again until it is back")
            self._stop.wait(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])

    def _connection(self) -> str:
        """Connect, stay so for as long as it goes, and return why it ended."""
        from paho.mqtt.subscribeoptions import SubscribeOptions

        client = self._broker.make_client(_MOST_UNCONFIRMED + len(self.greetings), _ANSWER_S)
        answered, answers = self._hear(client)
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_S)
            client.loop_start()
            if not answered.wait(_ANSWER_S):
                return "the broker does not answer"
            if answers and answers[0]:
                return answers[0]
            self.problem = ""
            if self._listeners:
                client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._listeners])
            for topic, payload in (*self.greetings, (self._broker.status_topic, b"online")):
                self._publish(client, topic, payload, retain=True)
            self._client = client
            self._connected.set()
            self.connections += 1
            if self._told and self._told != _UNCONFIRMED:  # of that the broker's word is the end
                self._told = ""
                self._say(f"{self.name}: connected")
            self._lost.wait()
            return answers[-1] if len(answers) > 1 else self._given_up
        except (OSError, ValueError) as error:  # ValueError: no name that a host can have
            return f"cannot be reached ({getattr(error, 'strerror', None) or error})"
        finally:
            self._client = None
            self._connected.clear()
            with suppress(OSError, RuntimeError, ValueError):
                if client.is_connected():
                    gone = client.publish(self._broker.status_topic, b"offline", qos=1, retain=True)
                    gone.wait_for_publish(1.0)
            with suppress(OSError, RuntimeError, ValueError):
                if client.is_connected():
                    client.disconnect()  # or its thread would wait for what is unconfirmed
            client.loop_stop()

    def _hear(self, client: Client) -> tuple[threading.Event, list[str]]:
        """Listen to a client; returns what is set when the broker has answered, and what it said then and later."""
        answered, answers = threading.Event(), list[str]()

        def connected(_client: Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
            self._refusals.connected(getattr(properties, "MaximumPacketSize", None))
            answers.append(f"the broker refuses: {reason}" if reason.is_failure else "")
            answered.set()

        def disconnected(_client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            answers.append(f"the connection was lost ({reason})")
            answered.set()
            self._lost.set()

        def published(_client: Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
            self._unheard = 0
            if self._told == _UNCONFIRMED:
                self._told = ""
                self._say(f"{self.name}: the broker confirms again")
            self._refusals.answered(number, reason)

        def subscribed(_client: Client, _data: Any, _number: int, reasons: Any, _properties: Any) -> None:
            self._refusals.subscribed(dict(zip(self._listeners, reasons, strict=False)))

        def heard(_client: Client, _data: Any, message: MQTTMessage) -> None:
            if not message.retain:
                text = message.payload.decode("utf-8", "replace").strip()
                for listener in self._listeners.get(message.topic, ()):
                    listener(text)

        client.on_connect, client.on_disconnect = connected, disconnected
        client.on_publish, client.on_subscribe, client.on_message = published, subscribed, heard
        return answered, answers

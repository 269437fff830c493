"""What a broker refuses: it is told, and it keeps nothing else from arriving."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aae_detect.sinks.forwarder import Forwarder
from aae_detect.sinks.mqtt_events import MqttEvents
from aae_detect.sinks.mqtt_link import MqttLink
from aae_detect.sinks.opening import Sinks
from aae_detect.sinks.settings import MqttSettings, SinkSettings
from aae_detect.sinks.sink import SinkError
from aae_detect.store.event_store import EventStore

pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt")
Listen = Callable[..., Any]
TOPIC = "factory/line1"
NOT_AUTHORIZED, QUOTA_EXCEEDED = 0x87, 0x97


def event(number: int, kind: str = "frame", **more: object) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": kind, "time": moment, "source": "line 1", "n": number, **more}


def wait_for(seen: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not seen():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


class Refusing:
    """As much of a broker as it takes to refuse what no broker refuses when asked to."""

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}
        """Why messages on a topic are refused, and listening to one."""

        self.published: list[str] = []
        """Topics, one for each message."""

        self.unconfirmed_clients = 0
        """To so many clients, from the first on, it confirms nothing."""

        self._is_closing = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(30)
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Wait until the last client has gone."""
        self._is_closing = True
        socket.create_connection(self._server.getsockname()).close()
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while not self._is_closing:
            with suppress(ConnectionError):  # it did not wait for an answer
                self._serve_one()
            self.unconfirmed_clients -= 1

    def _serve_one(self) -> None:
        with self._server.accept()[0] as client:
            client.settimeout(30)
            with client.makefile("rwb") as stream:
                while head := stream.read(1):
                    size, shift = 0, 0
                    while True:
                        (byte,) = stream.read(1)
                        size |= (byte & 0x7F) << shift
                        shift += 7
                        if byte < 0x80:
                            break
                    stream.write(self._answer(head[0], stream.read(size)))
                    stream.flush()

    def _answer(self, head: int, body: bytes) -> bytes:
        if head >> 4 == 1:  # CONNECT
            return b"\x20\x03\x00\x00\x00"
        if head >> 4 == 3:  # PUBLISH: topic, number
            end = 2 + int.from_bytes(body[:2])
            topic = body[2:end].decode()
            self.published.append(topic)
            if self.unconfirmed_clients > 0:
                return b""
            return b"\x40\x03" + body[end : end + 2] + bytes([self.reasons.get(topic, 0)])
        if head >> 4 == 8:  # SUBSCRIBE: number, no properties, one topic and its options
            return b"\x90\x04" + body[:2] + b"\x00" + bytes([self.reasons.get(body[5:-1].decode(), 1)])
        return b""


@pytest.fixture
def refusing(closes: ExitStack) -> Iterator[Refusing]:
    return closes.enter_context(closing(Refusing()))


def test_a_topic_that_may_not_be_heard_is_told(closes: ExitStack, refusing: Refusing) -> None:
    refusing.reasons["line1/part"] = NOT_AUTHORIZED
    said: list[str] = []
    link = closes.enter_context(closing(MqttLink(MqttSettings(refusing.url, TOPIC), said.append)))
    link.listen("line1/part", print)
    link.start()
    wait_for(lambda: bool(said))
    assert said == [
        "warning: mqtt 127.0.0.1: nothing is heard on line1/part, the broker refuses that (Not authorized); allow it "
        "there, and start aae-detect again"
    ]


def test_behind_a_message_that_is_refused_again_nothing_is_sent_again(closes: ExitStack, refusing: Refusing) -> None:
    refusing.reasons["b"] = QUOTA_EXCEEDED
    link = closes.enter_context(closing(MqttLink(MqttSettings(refusing.url, TOPIC), print)))
    link.start()
    wait_for(lambda: link.connections == 1)
    stop = threading.Event()
    assert link.send([("a", b""), ("b", b""), ("c", b"")], stop) == 1
    for _ in range(3):
        with pytest.raises(SinkError, match="refuses a message: Quota exceeded"):
            link.send([("b", b""), ("c", b"")], stop)
    assert [topic for topic in refusing.published if len(topic) == 1] == ["a", "b", "c", "b", "b", "b"]
    refusing.reasons.clear()
    assert link.send([("b", b""), ("c", b"")], stop) == 1
    assert link.send([("c", b""), ("d", b"")], stop) == 2


def test_a_broker_that_never_confirms_is_left_before_what_waits_fills_the_memory(
    closes: ExitStack, refusing: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_detect.sinks.mqtt_link._PAUSES_S", (0.05,))
    monkeypatch.setattr("aae_detect.sinks.mqtt_link._MOST_UNCONFIRMED", 100)
    refusing.unconfirmed_clients = 1
    said: list[str] = []
    link = closes.enter_context(closing(MqttLink(MqttSettings(refusing.url, TOPIC), said.append)))
    link.start()
    wait_for(lambda: link.connections == 1)
    taken = [link.publish(f"{TOPIC}/line-1/state", b"{}") for _ in range(100)]
    assert taken == 99 * [True] + [False], "one more is `online`"
    wait_for(lambda: len(said) == 2)
    assert said == [
        "warning: mqtt 127.0.0.1: the broker does not confirm; trying again until it is back",
        "mqtt 127.0.0.1: the broker confirms again",
    ]
    assert link.publish(f"{TOPIC}/line-1/state", b"{}") and link.connections == 2


def test_a_connection_on_which_no_event_is_confirmed_is_made_anew(
    closes: ExitStack, refusing: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_detect.sinks.mqtt_link._PAUSES_S", (0.05,))
    refusing.unconfirmed_clients = 1
    link = closes.enter_context(closing(MqttLink(MqttSettings(refusing.url, TOPIC), print)))
    link.start()
    wait_for(lambda: link.connections == 1)
    with monkeypatch.context() as hasty:
        hasty.setattr("aae_detect.sinks.mqtt_link._ANSWER_S", 0.1)
        for _ in range(3):
            with pytest.raises(SinkError, match="the broker does not confirm"):
                link.send([("a", b"")], threading.Event())
    wait_for(lambda: link.connections == 2)
    assert link.send([("a", b"")], threading.Event()) == 1


def test_what_may_not_be_published_waits_until_it_may(
    make_broker: Callable[..., Any], listen: Listen, closes: ExitStack, tmp_path: Path
) -> None:
    rights = tmp_path / "rights"
    rights.write_text(f"topic read #\ntopic write {TOPIC}/+/events\ntopic write {TOPIC}/status\n")
    broker = make_broker("allow_anonymous true", f"acl_file {rights}", "max_queued_messages 1000")
    listener, said = listen(broker), list[str]()
    store = closes.enter_context(EventStore(tmp_path / "store"))
    link = closes.enter_context(closing(MqttLink(MqttSettings(broker.url, TOPIC), said.append)))
    forwarder = closes.enter_context(closing(Forwarder(store, MqttEvents(link), said.append)))
    for number, kind in enumerate(("start", "frame", "start", "frame")):
        store.append(event(number, kind))
    link.start()
    wait_for(lambda: any("the broker refuses a message: Not authorized" in line for line in said))
    wait_for(lambda: forwarder.waiting == 4, timeout_s=60)
    assert 0 not in {found["n"] for found in listener.events()}
    rights.write_text("topic readwrite #\n")
    broker.send(signal.SIGHUP)  # which makes mosquitto read the rights again
    wait_for(lambda: forwarder.waiting == 0, timeout_s=60)
    listener.wait_for(lambda _heard: {found["n"] for found in listener.events()} == {0, 1, 2, 3})
    assert len({found["key"] for found in listener.events()}) == 4, "what came twice is told by its key"
    assert not any("left out" in line for line in said), said


def test_numbers_that_come_again_are_not_taken_for_refused(
    make_broker: Callable[..., Any], closes: ExitStack, tmp_path: Path
) -> None:
    rights = tmp_path / "rights"
    rights.write_text(f"topic write {TOPIC}/events\ntopic write {TOPIC}/status\n")
    broker = make_broker("allow_anonymous true", f"acl_file {rights}", "max_queued_messages 1000")
    said: list[str] = []
    link = closes.enter_context(closing(MqttLink(MqttSettings(broker.url, TOPIC), said.append)))
    link.start()
    wait_for(lambda: link.publish(f"{TOPIC}/line-1/state", b"{}"))
    wait_for(lambda: bool(said))
    assert link._client is not None
    number = link._client._last_mid
    link._client._last_mid = number - 1  # as after 65,535 more
    assert link.send([(f"{TOPIC}/events", b"{}")], threading.Event()) == 1
    assert link._client._last_mid == number
    assert len(said) == 1, "it was not refused"


def test_a_state_that_may_not_be_told_is_said_once_and_once_that_it_may_be(
    make_broker: Callable[..., Any], listen: Listen, closes: ExitStack, tmp_path: Path
) -> None:
    rights = tmp_path / "rights"
    rights.write_text(f"topic read #\ntopic write {TOPIC}/status\n")
    broker = make_broker("allow_anonymous true", f"acl_file {rights}", "max_queued_messages 1000")
    listener, said = listen(broker), list[str]()
    link = closes.enter_context(closing(MqttLink(MqttSettings(broker.url, TOPIC), said.append)))
    link.start()
    wait_for(lambda: link.publish(f"{TOPIC}/line-1/state", b"1"))
    wait_for(lambda: bool(said))
    assert link.publish(f"{TOPIC}/line-1/state", b"2") and link.publish(f"{TOPIC}/line-1/decision", b"3")
    wait_for(lambda: len(said) > 1)
    assert said == [
        f"warning: mqtt 127.0.0.1: what is said on {TOPIC}/line-1/{name} is refused (Not authorized); allow it there"
        for name in ("state", "decision")
    ]
    rights.write_text("topic readwrite #\n")
    broker.send(signal.SIGHUP)
    wait_for(lambda: link.publish(f"{TOPIC}/line-1/state", b"4") and len(said) > 2)
    listener.wait_for(lambda _heard: b"4" in listener.on(f"{TOPIC}/line-1/state"))
    assert said[2] == f"mqtt 127.0.0.1: {TOPIC}/line-1/state is taken again"


def test_what_is_too_large_for_the_broker_is_left_out_and_the_rest_arrives(
    make_broker: Callable[..., Any], listen: Listen, closes: ExitStack, tmp_path: Path
) -> None:
    broker = make_broker("allow_anonymous true", "max_packet_size 2000")
    listener, said = listen(broker), list[str]()
    store = closes.enter_context(EventStore(tmp_path / "store"))
    link = closes.enter_context(closing(MqttLink(MqttSettings(broker.url, TOPIC), said.append)))
    forwarder = closes.enter_context(closing(Forwarder(store, MqttEvents(link), said.append)))
    for number in range(3):
        store.append(event(number, regions=["x" * 90] * (20 if number == 1 else 1)))
    link.start()
    listener.wait_for(lambda _heard: len(listener.events()) == 2)
    wait_for(lambda: forwarder.waiting == 0)
    assert [found["n"] for found in listener.events()] == [0, 2]
    assert any("and the broker takes 2000); it is left out" in line for line in said), said
    assert link.publish(f"{TOPIC}/line-1/state", b"x" * 2000)
    wait_for(lambda: any(f"{TOPIC}/line-1/state is refused (it has" in line for line in said))
    assert link.publish(f"{TOPIC}/line-1/state", b"{}")
    listener.wait_for(lambda _heard: listener.on(f"{TOPIC}/line-1/state") == [b"{}"])
    assert link.connections == 1, "the broker was not given a reason to hang up"


def test_sources_that_would_be_taken_for_one_are_told(closes: ExitStack) -> None:
    said: list[str] = []
    sinks = closes.enter_context(closing(Sinks(SinkSettings(MqttSettings("mqtt://127.0.0.1:1", TOPIC)), said.append)))
    sinks.start(None, ["line 1", "line 2", "line-1"])
    assert said[0] == (
        'warning: mqtt 127.0.0.1: sources "line 1" and "line-1" have the same name there, and are taken for one; call '
        "one of them otherwise"
    )

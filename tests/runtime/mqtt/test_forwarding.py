"""Every event arrives at a broker that is stopped, started, frozen, from a program that is killed while it writes."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aae_detect.judged import Judged
from aae_detect.sinks.forwarder import Forwarder
from aae_detect.sinks.mqtt_events import MqttEvents, MqttState
from aae_detect.sinks.mqtt_link import MqttLink
from aae_detect.sinks.settings import MqttSettings
from aae_detect.store.event_store import EventStore

pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt")
Listen = Callable[..., Any]
TOPIC = "factory/line1"


def event(number: int, source: str = "line 1") -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": "frame", "time": moment, "source": source, "verdict": "NG", "n": number}


WRITER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from aae_detect.sinks.forwarder import Forwarder
from aae_detect.sinks.mqtt_events import MqttEvents
from aae_detect.sinks.mqtt_link import MqttLink
from aae_detect.sinks.settings import MqttSettings
from aae_detect.store.event_store import EventStore
store = EventStore(Path(sys.argv[1]))
link = MqttLink(MqttSettings(sys.argv[2], "factory/line1", client_id="writer"), lambda text: None)
forwarder = Forwarder(store, MqttEvents(link), lambda text: None)
link.start()
last = int(sys.argv[3])
number = 0
while number != last:
    number += 1
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(store.append({"type": "frame", "time": moment, "source": "s", "n": number}), flush=True)
    time.sleep(0.002)
while forwarder.waiting or store.count(after=forwarder._cursor.number):
    time.sleep(0.1)
forwarder.close()
link.close()
store.close()
"""


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_every_committed_event_arrives_whoever_is_killed_or_away(
    broker: Any, listen: Listen, tmp_path: Path, kills: int
) -> None:
    listener, luck, told = listen(broker, "factory/line1/#"), random.Random(kills), list[str]()
    folder = tmp_path / "store"
    for kill in range(kills):
        command = [sys.executable, "-c", WRITER, str(folder), broker.url, "-1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told.append(writer.stdout.readline().strip())
            if kill % 3 == 1:  # the broker goes in the middle, and comes back before or after the writer is killed
                time.sleep(luck.uniform(0.0, 0.4))
                broker.stop()
                if kill % 2:
                    broker.start()
            time.sleep(luck.uniform(0.0, 0.8))
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.read().split()
        if kill % 3 == 1 and not kill % 2:
            broker.start()
    subprocess.run([sys.executable, "-c", WRITER, str(folder), broker.url, "20"], check=True, timeout=120)
    with EventStore(folder, read_only=True) as store:
        kept = [stored.key for stored in store.events()]
    listener.wait_for(lambda _heard: len({found["key"] for found in listener.events()}) == len(kept), 60)
    heard = listener.events()
    assert {key for key in told if len(key) == 25} <= set(kept)
    firsts = list(dict.fromkeys(found["key"] for found in heard))
    assert firsts == kept, "each once, by its key, and in order"
    assert len(heard) < len(kept) + 51 * (2 * kills + 1), "sent again is at most what was not confirmed"
    listener.wait_for(lambda _heard: listener.on(f"{TOPIC}/status")[-1:] == [b"offline"])


def test_events_wait_while_the_broker_is_away_and_that_is_said(
    broker: Any, listen: Listen, closes: ExitStack, tmp_path: Path
) -> None:
    listener, said = listen(broker), list[str]()
    store = closes.enter_context(EventStore(tmp_path / "store"))
    store.append(event(0))  # before there was a sink: nobody waits for it
    link = MqttLink(MqttSettings(broker.url, TOPIC), said.append)
    forwarder = closes.enter_context(closing(Forwarder(store, MqttEvents(link), said.append)))
    closes.callback(link.close)
    broker.stop()
    link.start()
    for number in range(1, 120):
        store.append(event(number))
    deadline = time.monotonic() + 20
    while forwarder.waiting < 119 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert forwarder.waiting == 119
    broker.start()
    listener.wait_for(lambda heard: sum(topic == f"{TOPIC}/line-1/events" for topic, _, _ in heard) >= 119)
    numbers = [found["n"] for found in listener.events()]
    assert list(dict.fromkeys(numbers)) == list(range(1, 120))
    assert {found["number"] for found in listener.events()} == set(range(2, 121))
    deadline = time.monotonic() + 20
    while "mqtt: events arrive again" not in said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any("cannot be reached" in line and "trying again" in line for line in said), said
    assert any(f"events wait in {tmp_path / 'store'} until they can be sent" in line for line in said), said
    assert [line for line in said if "events" in line][-1] == "mqtt: events arrive again"


def test_a_frozen_broker_holds_up_neither_verdicts_nor_the_store(
    broker: Any, listen: Listen, judged: Callable[[str, float], Judged], closes: ExitStack, tmp_path: Path
) -> None:
    store = closes.enter_context(EventStore(tmp_path / "store"))
    link = MqttLink(MqttSettings(broker.url, TOPIC), print)
    closes.callback(link.close)
    forwarder = closes.enter_context(closing(Forwarder(store, MqttEvents(link), print)))
    link.start()
    state = closes.enter_context(closing(MqttState(link, "line 1")))
    listener = listen(broker, "factory/line1/#")
    listener.wait_for(lambda heard: any(topic.endswith("/status") for topic, _, _ in heard))
    broker.send(signal.SIGSTOP)
    closes.callback(broker.send, signal.SIGCONT)
    slowest_s = 0.0
    for number in range(300):
        began_s = time.perf_counter()
        state.take(judged("NG" if number % 2 else "OK", float(number)))
        slowest_s = max(slowest_s, time.perf_counter() - began_s)
        store.append(event(number))
    assert slowest_s < 5.0, "a verdict waited for the network"
    broker.send(signal.SIGCONT)
    listener.wait_for(lambda _heard: len({found["key"] for found in listener.events()}) == 300, 30)
    assert forwarder.name == "mqtt"

"""A real broker: stopped, started, frozen, locked; and a program that is killed while it writes."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aae_detect import ConfigError
from aae_detect.app import demo_model_path
from aae_detect.decision.decision import Decision
from aae_detect.detection import Verdict
from aae_detect.frames import Frame, Signal
from aae_detect.judged import Judged
from aae_detect.sinks.forwarder import Forwarder
from aae_detect.sinks.home_assistant import discovery
from aae_detect.sinks.mqtt_events import MqttEvents, MqttState, source_topic
from aae_detect.sinks.mqtt_link import MqttLink
from aae_detect.sinks.settings import MqttSettings
from aae_detect.store.event_store import EventStore

client_module = pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt")
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
TOPIC = "factory/line1"


class Broker:
    """Mosquitto on the loopback, which keeps its sessions on the disk like one that is meant to."""

    def __init__(self, folder: Path, *lines: str) -> None:
        if MOSQUITTO is None:
            pytest.skip("needs a broker (Debian: mosquitto)")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._config = folder / "mosquitto.conf"
        basics = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
        ]
        if os.geteuid() == 0:
            basics.append("user root")
        self._config.write_text("\n".join([*basics, *(lines or ("allow_anonymous true",))]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._config)], stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("mosquitto did not start")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Listener:
    """A subscriber with a session that outlives its connections."""

    def __init__(self, port: int, topics: str, user: str = "", ca: str = "") -> None:
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.heard: list[tuple[str, bytes, bool]] = []
        self._changed = threading.Condition()
        client = client_module.Client(
            CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTProtocolVersion.MQTTv5
        )
        if user:
            client.username_pw_set(*user.split(":"))
        if ca:
            client.tls_set(ca)
        subscribed = threading.Event()
        client.on_message = self._hear
        client.on_connect = lambda *_: client.subscribe(topics, qos=1)
        client.on_subscribe = lambda *_: subscribed.set()
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", port, clean_start=False, properties=session)
        client.loop_start()
        assert subscribed.wait(5)
        self._client = client

    def _hear(self, _client: Any, _data: Any, message: Any) -> None:
        with self._changed:
            self.heard.append((message.topic, message.payload, message.retain))
            self._changed.notify()

    def wait_for(self, seen: Callable[[list[tuple[str, bytes, bool]]], bool], timeout_s: float = 15) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: seen(self.heard), timeout_s), self.heard[-5:]

    def events(self) -> list[dict[str, Any]]:
        with self._changed:
            return [json.loads(payload) for topic, payload, _ in self.heard if topic.endswith("/events")]

    def on(self, topic: str) -> list[bytes]:
        with self._changed:
            return [payload for heard, payload, _ in self.heard if heard == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    started = Broker(folder)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def closes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(broker: Broker, closes: ExitStack, topics: str = "#", **options: Any) -> Listener:
    return closes.enter_context(closing(Listener(broker.port, topics, **options)))


def event(number: int, source: str = "line 1") -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": "frame", "time": moment, "source": source, "verdict": "NG", "n": number}


def judged(verdict: str, score: float) -> Judged:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, datetime.now(UTC), "line 1")
    seen = {"verdict": verdict, "score": score, "p_value": None, "threshold": 2.0, "time": "now"}
    return Judged(frame, None, None, "", None, 1.0, seen)


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
    broker: Broker, closes: ExitStack, tmp_path: Path, kills: int
) -> None:
    listener, luck, told = listen(broker, closes, "factory/line1/#"), random.Random(kills), list[str]()
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
    assert listener.on(f"{TOPIC}/status")[-1] == b"offline"


def test_events_wait_while_the_broker_is_away_and_that_is_said(
    broker: Broker, closes: ExitStack, tmp_path: Path
) -> None:
    listener, said = listen(broker, closes), list[str]()
    store = closes.enter_context(EventStore(tmp_path / "store"))
    store.append(event(0))  # before there was a sink: nobody waits for it
    link = MqttLink(MqttSettings(broker.url, TOPIC), said.append)
    forwarder = closes.enter_context(closing(Forwarder(store, MqttEvents(link), said.append)))
    closes.callback(link.close)
    broker.stop()
    link.start()
    for number in range(1, 120):
        store.append(event(number))
    deadline = time.monotonic() + 5
    while forwarder.waiting < 119 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert forwarder.waiting == 119
    broker.start()
    listener.wait_for(lambda heard: sum(topic == f"{TOPIC}/line-1/events" for topic, _, _ in heard) >= 119)
    numbers = [found["n"] for found in listener.events()]
    assert list(dict.fromkeys(numbers)) == list(range(1, 120))
    assert {found["number"] for found in listener.events()} == set(range(2, 121))
    deadline = time.monotonic() + 5
    while "mqtt: events arrive again" not in said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any("cannot be reached" in line and "trying again" in line for line in said), said
    assert any(f"events wait in {tmp_path / 'store'} until they can be sent" in line for line in said), said
    assert said[-1] == "mqtt: events arrive again"


def test_what_is_true_now_is_retained_and_a_dead_program_is_offline(broker: Broker, closes: ExitStack) -> None:
    link = MqttLink(MqttSettings(broker.url, TOPIC), print)
    link.start()
    state = MqttState(link, "line 1")
    first = listen(broker, closes)
    state.take(judged("OK", 1.0))
    first.wait_for(lambda heard: any(b'"verdict": "OK"' in payload for _, payload, _ in heard))
    state.take(judged("NG", 3.5))
    moment = datetime.now(UTC)
    state.tell(Decision("line 1", Verdict.NG, True, moment, 3, 9, 7, 6, 3.5, "part 8"))
    first.wait_for(lambda heard: any(topic == f"{TOPIC}/line-1/decision" for topic, _, _ in heard))
    first.wait_for(lambda heard: any(b'"verdict": "NG"' in payload for t, payload, _ in heard if t.endswith("/state")))
    decision = json.loads(first.on(f"{TOPIC}/line-1/decision")[0])
    assert (decision["stop"], decision["part"], decision["score"]) == (True, "part 8", 3.5)
    first.close()
    later = listen(broker, closes, "factory/line1/#")
    later.wait_for(lambda heard: len(heard) >= 2)
    retained = {topic: payload for topic, payload, kept in later.heard if kept}
    assert retained[f"{TOPIC}/status"] == b"online"
    assert json.loads(retained[f"{TOPIC}/line-1/state"])["verdict"] == "NG"
    assert f"{TOPIC}/line-1/decision" not in retained
    state.signal(Signal(True, "cable", moment, "line 1"))
    later.wait_for(lambda heard: any(b'"camera": "lost"' in payload for _, payload, _ in heard))
    state.close()
    link.close()
    later.wait_for(lambda heard: any(payload == b"offline" for _, payload, _ in heard))


def test_the_state_is_told_again_to_a_broker_that_forgot_it(broker: Broker, closes: ExitStack) -> None:
    link = MqttLink(MqttSettings(broker.url, TOPIC), print)
    closes.callback(link.close)
    link.start()
    state = closes.enter_context(closing(MqttState(link, "line 1")))
    listener = listen(broker, closes, f"{TOPIC}/line-1/state")
    state.take(judged("NG", 3.5))
    listener.wait_for(lambda heard: any(b'"NG"' in payload for _, payload, _ in heard))
    count = len(listener.heard)
    broker.stop()
    for file in broker._config.parent.glob("*.db"):
        file.unlink()
    broker.start()
    listener.wait_for(lambda heard: len(heard) > count)
    assert json.loads(listener.heard[-1][1])["verdict"] == "NG"


def test_a_frozen_broker_holds_up_neither_verdicts_nor_the_store(
    broker: Broker, closes: ExitStack, tmp_path: Path
) -> None:
    store = closes.enter_context(EventStore(tmp_path / "store"))
    link = MqttLink(MqttSettings(broker.url, TOPIC), print)
    closes.callback(link.close)
    forwarder = closes.enter_context(closing(Forwarder(store, MqttEvents(link), print)))
    link.start()
    state = closes.enter_context(closing(MqttState(link, "line 1")))
    listener = listen(broker, closes, "factory/line1/#")
    listener.wait_for(lambda heard: any(topic.endswith("/status") for topic, _, _ in heard))
    broker.send(signal.SIGSTOP)
    closes.callback(broker.send, signal.SIGCONT)
    slowest_s = 0.0
    for number in range(300):
        began_s = time.perf_counter()
        state.take(judged("NG" if number % 2 else "OK", float(number)))
        slowest_s = max(slowest_s, time.perf_counter() - began_s)
        store.append(event(number))
    assert slowest_s < 0.1, "a verdict waited for the network"
    broker.send(signal.SIGCONT)
    listener.wait_for(lambda _heard: len({found["key"] for found in listener.events()}) == 300, 30)
    assert forwarder.name == "mqtt"


@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")  # paho drops it, not closed
def test_a_password_and_certificates(closes: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl, hash_passwords = shutil.which("openssl"), shutil.which("mosquitto_passwd")
    if openssl is None or hash_passwords is None:
        pytest.skip("needs openssl and mosquitto_passwd (Debian: openssl mosquitto)")
    key, certificate, passwords = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "passwords"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([hash_passwords, "-b", "-c", str(passwords), "line1", "p@ss/word"], check=True, capture_output=True)
    lines = [f"cafile {certificate}", f"certfile {certificate}", f"keyfile {key}", f"password_file {passwords}"]
    broker = Broker(tmp_path, *lines, "allow_anonymous false")
    closes.callback(broker.stop)
    broker.start()
    monkeypatch.setenv("BROKER_PASSWORD", "p@ss/word")
    url, said = f"mqtts://line1:${{BROKER_PASSWORD}}@127.0.0.1:{broker.port}", list[str]()

    listener = listen(broker, closes, "#", user="line1:p@ss/word", ca=str(certificate))
    link = MqttLink(MqttSettings(url, TOPIC, ca=str(certificate)), said.append)
    link.start()
    listener.wait_for(lambda heard: any(payload == b"online" for _, payload, _ in heard))
    link.close()
    assert said == []

    for wrong, words in (
        (MqttSettings(url, TOPIC), "certificate verify failed"),
        (MqttSettings(url.replace("line1:", "other:"), TOPIC, ca=str(certificate)), "Not authorized"),
    ):
        said.clear()
        link = MqttLink(wrong, said.append)
        link.start()
        deadline = time.monotonic() + 10
        while not said and time.monotonic() < deadline:
            time.sleep(0.05)
        link.close()
        assert words.lower() in said[0].lower(), said
        assert "p@ss" not in said[0]
    with pytest.raises(ConfigError, match=r"no-such\.pem cannot be used"):
        MqttLink(MqttSettings(url, TOPIC, ca="no-such.pem"), said.append)
    monkeypatch.delenv("BROKER_PASSWORD")
    with pytest.raises(ConfigError, match="BROKER_PASSWORD is not set"):
        MqttLink(MqttSettings(url, TOPIC, ca=str(certificate)), said.append)


def test_messages_trigger_and_decisions_go_out_while_aae_detect_runs(
    broker: Broker, closes: ExitStack, tmp_path: Path
) -> None:
    sinks, rules = tmp_path / "sinks.toml", tmp_path / "decide.toml"
    sinks.write_text(f'[mqtt]\nurl = "{broker.url}"\ntopic = "{TOPIC}"\nhome_assistant = "homeassistant"\n')
    rules.write_text('[decide]\nper = "trigger"\nmqtt_topic = "line1/part"\nof_frames = 2\n')
    listener = listen(broker, closes)
    listener._client.publish("line1/part", b"an old one", qos=1, retain=True).wait_for_publish(5)
    command = [sys.executable, "-m", "aae_detect", "--source", "demo:160x120@30?live=1"]
    command += ["--model", str(demo_model_path())]
    command += ["--no-window", "--store", str(tmp_path / "store"), "--sinks", str(sinks), "--decide", str(rules)]
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        listener.wait_for(lambda heard: any(topic.endswith("/state") and b"score" in p for topic, p, _ in heard), 60)
        for name in (b"A 1", b"A 2"):
            listener._client.publish("line1/part", name, qos=1)
        listener.wait_for(lambda heard: sum(topic.endswith("/decision") for topic, _, _ in heard) == 2)
    finally:
        running.terminate()
        _, errors = running.communicate(timeout=30)
    decisions = [json.loads(payload) for topic, payload, _ in listener.heard if topic.endswith("/decision")]
    assert [decision["part"] for decision in decisions] == ["A 1", "A 2"], errors
    listener.wait_for(lambda _heard: any(found["type"] == "stop" for found in listener.events()))
    kinds = [found["type"] for found in listener.events()]
    assert kinds[0] == "start" and kinds[-1] == "stop" and kinds.count("decision") == 2
    assert listener.on(f"{TOPIC}/status")[-1] == b"offline"
    described = [json.loads(payload) for topic, payload, _ in listener.heard if topic.startswith("homeassistant/")]
    assert {entity["state_topic"] for entity in described} <= {topic for topic, _, _ in listener.heard}


def test_home_assistant_gets_three_entities_for_each_source() -> None:
    messages = discovery("homeassistant", TOPIC, ["line 1", "line 2"])
    assert len(messages) == len({topic for topic, _ in messages}) == 6
    topic, payload = messages[0]
    assert topic == "homeassistant/binary_sensor/aae_detect_factory_line1_line_1_defect/config"
    entity = json.loads(payload)
    assert entity["availability_topic"] == f"{TOPIC}/status"
    assert entity["state_topic"] == f"{source_topic(TOPIC, 'line 1')}/state" == f"{TOPIC}/line-1/state"
    assert len({json.loads(payload)["unique_id"] for _, payload in messages}) == 6
    assert {json.loads(payload)["device"]["identifiers"][0] for _, payload in messages} == {"aae_detect_factory_line1"}

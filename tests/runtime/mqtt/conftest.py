"""A real broker, and somebody who listens to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aae_detect.frames import Frame
from aae_detect.judged import Judged

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")


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
        import paho.mqtt.client as client_module
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
def closes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_broker(closes: ExitStack, tmp_path: Path) -> Callable[..., Broker]:
    """Takes lines of mosquitto's configuration, and starts it."""

    def make(*lines: str) -> Broker:
        folder = tmp_path / "broker"
        folder.mkdir()
        made = Broker(folder, *lines)
        closes.callback(made.stop)
        made.start()
        return made

    return make


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    return make_broker()


@pytest.fixture
def listen(closes: ExitStack) -> Callable[..., Listener]:
    """Takes a broker, topics, and what else a `Listener` takes."""

    def begin(broker: Broker, topics: str = "#", **options: Any) -> Listener:
        return closes.enter_context(closing(Listener(broker.port, topics, **options)))

    return begin


@pytest.fixture
def judged() -> Callable[[str, float], Judged]:
    """Takes a verdict and a score."""

    def make(verdict: str, score: float) -> Judged:
        frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, datetime.now(UTC), "line 1")
        seen = {"verdict": verdict, "score": score, "p_value": None, "threshold": 2.0, "time": "now"}
        return Judged(frame, None, None, "", None, 1.0, seen)

    return make

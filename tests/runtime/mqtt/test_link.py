"""The connection to a broker, and what is said over it beside events: state, decisions, triggers, Home Assistant."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aae_detect import ConfigError
from aae_detect.app import demo_model_path
from aae_detect.decision.decision import Decision
from aae_detect.detection import Verdict
from aae_detect.frames import Signal
from aae_detect.judged import Judged
from aae_detect.sinks.home_assistant import discovery
from aae_detect.sinks.mqtt_events import MqttState
from aae_detect.sinks.mqtt_link import MqttLink
from aae_detect.sinks.mqtt_names import source_topic
from aae_detect.sinks.settings import MqttSettings

pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt")
Listen = Callable[..., Any]
Judge = Callable[[str, float], Judged]
TOPIC = "factory/line1"


def test_what_is_true_now_is_retained_and_a_dead_program_is_offline(broker: Any, listen: Listen, judged: Judge) -> None:
    link = MqttLink(MqttSettings(broker.url, TOPIC), print)
    link.start()
    state = MqttState(link, "line 1")
    first = listen(broker)
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
    later = listen(broker, "factory/line1/#")
    told = {f"{TOPIC}/status", f"{TOPIC}/line-1/state"}
    later.wait_for(lambda heard: told <= {topic for topic, _, kept in heard if kept})
    retained = {topic: payload for topic, payload, kept in later.heard if kept}
    assert retained[f"{TOPIC}/status"] == b"online"
    assert json.loads(retained[f"{TOPIC}/line-1/state"])["verdict"] == "NG"
    assert f"{TOPIC}/line-1/decision" not in retained
    state.signal(Signal(True, "cable", moment, "line 1"))
    later.wait_for(lambda heard: any(b'"camera": "lost"' in payload for _, payload, _ in heard))
    state.close()
    link.close()
    later.wait_for(lambda heard: any(payload == b"offline" for _, payload, _ in heard))


def test_the_state_is_told_again_to_a_broker_that_forgot_it(
    broker: Any, listen: Listen, judged: Judge, closes: ExitStack
) -> None:
    link = MqttLink(MqttSettings(broker.url, TOPIC), print)
    closes.callback(link.close)
    link.start()
    state = closes.enter_context(closing(MqttState(link, "line 1")))
    listener = listen(broker, f"{TOPIC}/line-1/state")
    state.take(judged("NG", 3.5))
    listener.wait_for(lambda heard: any(b'"NG"' in payload for _, payload, _ in heard))
    count = len(listener.heard)
    broker.stop()
    for file in broker._config.parent.glob("*.db"):
        file.unlink()
    broker.start()
    listener.wait_for(lambda heard: len(heard) > count)
    assert json.loads(listener.heard[-1][1])["verdict"] == "NG"


@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")  # paho drops it, not closed
def test_a_password_and_certificates(
    make_broker: Callable[..., Any], listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl, hash_passwords = shutil.which("openssl"), shutil.which("mosquitto_passwd")
    if openssl is None or hash_passwords is None:
        pytest.skip("needs openssl and mosquitto_passwd (Debian: openssl mosquitto)")
    key, certificate, passwords = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "passwords"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([hash_passwords, "-b", "-c", str(passwords), "line1", "p@ss/word"], check=True, capture_output=True)
    lines = [f"cafile {certificate}", f"certfile {certificate}", f"keyfile {key}", f"password_file {passwords}"]
    broker = make_broker(*lines, "allow_anonymous false")
    monkeypatch.setenv("BROKER_PASSWORD", "p@ss/word")
    url, said = f"mqtts://line1:${{BROKER_PASSWORD}}@127.0.0.1:{broker.port}", list[str]()

    listener = listen(broker, "#", user="line1:p@ss/word", ca=str(certificate))
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
    broker: Any, listen: Listen, tmp_path: Path
) -> None:
    sinks, rules = tmp_path / "sinks.toml", tmp_path / "decide.toml"
    sinks.write_text(f'[mqtt]\nurl = "{broker.url}"\ntopic = "{TOPIC}"\nhome_assistant = "homeassistant"\n')
    rules.write_text('[decide]\nper = "trigger"\nmqtt_topic = "line1/part"\nof_frames = 2\n')
    listener = listen(broker)
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
    assert "warning" not in errors, "a broker that is there is nothing to speak of"
    listener.wait_for(lambda _heard: any(found["type"] == "stop" for found in listener.events()))
    kinds = [found["type"] for found in listener.events()]
    assert kinds[0] == "start" and kinds[-1] == "stop" and kinds.count("decision") == 2
    listener.wait_for(lambda _heard: listener.on(f"{TOPIC}/status")[-1:] == [b"offline"])
    described = [json.loads(payload) for topic, payload, _ in listener.heard if topic.startswith("homeassistant/")]
    assert {entity["state_topic"] for entity in described} <= {topic for topic, _, _ in listener.heard}


def test_a_host_that_cannot_be_one_is_told_and_tried_again() -> None:
    said: list[str] = []
    link = MqttLink(MqttSettings(f"mqtt://{'a' * 70}.factory", TOPIC), said.append)
    link.start()
    deadline = time.monotonic() + 10
    while not said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert link._thread.is_alive()
    link.close()
    assert "cannot be reached" in said[0] and "trying again" in said[0]


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

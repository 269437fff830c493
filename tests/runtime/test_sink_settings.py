"""The file that names the sinks: all that it can say, what is wrong in it, and what it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aae_detect import ConfigError
from aae_detect.config_check import check_config
from aae_detect.event_types import EVENT_TYPES
from aae_detect.sinks.settings import SinkSettings, read_sinks

WHOLE = """
[mqtt]
url = "mqtts://line1:${file:/run/secrets/mqtt}@broker.factory:8884"
topic = "factory/line1"
client_id = "line1"
ca = "ca.pem"
home_assistant = "homeassistant"

[[webhook]]
url = "https://${USER}@erp.factory/hooks"
secret = "${HOOK}"
types = ["frame", "decision"]
timeout_s = 3

[[python]]
call = "tell.py:on_event"

[metrics]
listen = "0.0.0.0:9000"
"""


def test_a_file_says_all_that_sinks_can(tmp_path: Path) -> None:
    file = tmp_path / "sinks.toml"
    file.write_text(WHOLE)
    found = read_sinks(file)
    assert found.mqtt is not None and found.metrics is not None
    assert (found.mqtt.topic, found.mqtt.ca) == ("factory/line1", str(tmp_path / "ca.pem"))
    assert found.webhooks[0].types == ("frame", "decision")
    assert found.webhooks[0].name.startswith("webhook erp.factory ")
    assert found.python[0].call == f"{tmp_path / 'tell.py'}:on_event"
    assert found.python[0].name == "python tell.py:on_event"
    assert found.metrics.address == ("0.0.0.0", 9000)
    assert found.need_store and not SinkSettings(metrics=found.metrics).need_store
    file.write_text("")
    assert read_sinks(file) == SinkSettings()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n[mail]\n", 2, "mail is not expected; expected [mqtt], [[webhook]], [[python]] and [metrics]"),
        ('[mqtt]\ntopic = "a"\n', 1, "mqtt: url is missing"),
        ('[mqtt]\nurl = "mqtt://b"\ntopic = "a/#"\n', 3, "topic: "),
        ('[mqtt]\ntopic = "a"\nurl = "http://user:hidden@b"\n', 3, "expected mqtt://HOST or mqtts://HOST"),
        ('[mqtt]\ntopic = "a"\nurl = "mqtt://b:99999"\n', 3, "url: "),
        ("[webhook]\n", 1, "expected [[webhook]], with two brackets"),
        ('[[webhook]]\nurl = "https://b"\n\ntypes = ["frames"]\n', 4, 'types: "frames"; expected some of frame, '),
        ('[[webhook]]\nurl = "https://b"\ntimeout_s = 0\n', 3, "timeout_s: 0.0; expected above 0"),
        ('[[webhook]]\nurl = "https://b"\nport = 3\n', 3, "port: unknown in webhook; expected one of url, "),
        ('[[webhook]]\nurl = "https://b"\n[[webhook]]\nurl = "https://b"\n', 1, 'two sinks are called "webhook b '),
        ('[[python]]\ncall = "tell:on_event"\n', 2, 'expected "FILE.py:FUNCTION"'),
        ('[[mqtt]]\nurl = "mqtt://a"\n[[mqtt]]\nurl = "mqtt://b"\n', 1, "one broker only, written [mqtt]"),
        ('[metrics]\nlisten = "9464"\n', 2, 'expected "ADDRESS:PORT"'),
        ('[[python]]\ncall = "a.py:f"\nname = "mqtt"\n', 3, '"mqtt" is what the store calls the broker'),
        ('[[webhook]]\nurl = "https://b"\nsecret = 12345678\n', 3, "secret: a value that is not shown; expected"),
        ('[mqtt]\ntopic = "a"\nurl = ["mqtt://user:hidden@b"]\n', 3, "url: a value that is not shown"),
        ("[metrics\n", 0, "is no TOML"),
        (f"[metrics]\nlisten = {'1' * 5000}\n", 0, "is no TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text: str, line: int, words: str, tmp_path: Path) -> None:
    file = tmp_path / "sinks.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_sinks(file)
    assert words in str(raised.value)
    assert str(raised.value).startswith(f"{file}:{line}: " if line else f"{file} ")
    assert "hidden" not in str(raised.value) and "12345678" not in str(raised.value)


def test_a_configuration_is_checked_with_its_sinks(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, sinks = tmp_path / "line.toml", tmp_path / "sinks.toml"
    line.write_text(f'[[source]]\nsource = "0"\nmodel = "{tiny_model}"\n')
    sinks.write_text('[[webhook]]\nurl = "http://127.0.0.1:1/"\nsecret = "${NOT_SET}"\n')
    lines, fine = check_config(line, sinks)
    assert not fine and lines[0] == f"{sinks}: ${{NOT_SET}}: the environment variable NOT_SET is not set"
    monkeypatch.setenv("EMPTY", "")
    sinks.write_text('[[webhook]]\nname = "erp"\nurl = "http://${EMPTY}/x"\n')
    assert check_config(line, sinks)[0][0].startswith(f"{sinks}: erp: with secrets put in, its url names no server")
    sinks.write_text('[[webhook]]\nurl = "http://127.0.0.1:1/"\n')
    assert check_config(line, sinks, store=tmp_path) == ([f"{sinks}: fine", "camera 0: fine"], True)
    lines, fine = check_config(line, sinks)
    assert not fine and lines[0].endswith("forwards events; add --store DIR, where they wait until they arrive")
    rules = tmp_path / "decide.toml"
    rules.write_text('[decide]\nper = "trigger"\nmqtt_topic = "part"\n')
    line.write_text(f'[[source]]\nsource = "0"\nmodel = "{tiny_model}"\ndecide = "decide.toml"\n')
    lines, fine = check_config(line, sinks)
    assert not fine and "mqtt_topic needs a broker; add --sinks FILE with [mqtt] in it" in lines[1]


def test_forwarding_needs_a_store(tmp_path: Path) -> None:
    sinks = tmp_path / "sinks.toml"
    sinks.write_text('[[webhook]]\nurl = "http://127.0.0.1:1/"\n')
    command = [sys.executable, "-m", "aae_detect", "--demo", "--no-window", "--max-frames", "1", "--sinks", str(sinks)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "DISPLAY": ""}, timeout=60)
    assert result.returncode == 2
    assert "add --store DIR, where they wait" in result.stderr


def test_every_type_of_event_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "sinks.toml"
    file.write_text(f'[[webhook]]\nurl = "https://b"\ntypes = {list(EVENT_TYPES)}\n')
    assert read_sinks(file).webhooks[0].types == EVENT_TYPES

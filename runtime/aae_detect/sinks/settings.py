"""Who hears of what happens, beyond this machine: one TOML file.

[mqtt]
url = "mqtts://line1:${MQTT_PASSWORD}@broker.factory"     # or mqtt://; a port if it is another than 8883 or 1883
topic = "factory/line1"            # events go to factory/line1/SOURCE/events
ca = "/etc/aae-detect/ca.pem"      # instead of the system's certificates
home_assistant = "homeassistant"   # tell Home Assistant what there is, under its discovery prefix

[[webhook]]
url = "https://erp.factory/hooks/inspection"
secret = "${file:/etc/aae-detect/hook.key}"
types = ["frame", "decision"]      # only these events

[[python]]
call = "tell.py:on_event"          # beside this file

[metrics]
listen = "127.0.0.1:9464"          # Prometheus reads http://127.0.0.1:9464/metrics
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aae_detect.checked_toml import a_number, a_text, line_of, read_table, read_toml, texts, wrong
from aae_detect.errors import ConfigError
from aae_detect.event_types import EVENT_TYPES
from aae_detect.source_secrets import hide_secrets


@dataclass(frozen=True)
class MqttSettings:
    """A broker."""

    url: str
    """`mqtt://` or `mqtts://`, user and password in it as `${NAME}` or `${file:PATH}`."""

    topic: str
    """What all topics begin with."""

    client_id: str = ""
    """Unique among the clients of the broker; empty: made of the machine's name and the topic."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    """Files, PEM."""

    home_assistant: str = ""
    """Its discovery prefix; empty: it is told nothing."""

    def __post_init__(self) -> None:
        _check_url(self.url, ("mqtt", "mqtts"))
        for name in ("topic", "home_assistant"):
            value = getattr(self, name)
            if (name == "topic" and not value) or re.search(r"[+#\0]|^[/$]|/$", value) or len(value) > 200:
                raise ValueError(f'{name}: "{value:.60}"; expected a topic such as "factory/line1", without + and #')


@dataclass(frozen=True)
class WebhookSettings:
    """A web server."""

    url: str
    """`https://` or `http://`, secrets in it as for `MqttSettings`."""

    secret: str = ""
    """What messages are signed with; empty: they are not."""

    types: tuple[str, ...] = ()
    """Of `EVENT_TYPES`; empty: all."""

    ca: str = ""
    timeout_s: float = 10.0
    name: str = ""
    """How the store calls it; empty: by its address. Under another name it begins anew."""

    def __post_init__(self) -> None:
        address = _check_url(self.url, ("http", "https"))
        _check_types(self.types)
        if not 0 < self.timeout_s <= 600:
            raise ValueError(f"timeout_s: {self.timeout_s}; expected above 0, up to 600")
        if not self.name:
            # Not its path, which is a secret with some servers.
            which = hashlib.sha256(self.url.encode()).hexdigest()[:6]
            object.__setattr__(self, "name", f"webhook {address.hostname} {which}")


@dataclass(frozen=True)
class PythonSettings:
    """A function."""

    call: str
    """`FILE.py:FUNCTION`."""

    types: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r".+\.py:\w+", self.call):
            raise ValueError(f'call: "{self.call:.60}"; expected "FILE.py:FUNCTION"')
        _check_types(self.types)
        if not self.name:
            object.__setattr__(self, "name", f"python {Path(self.call).name}")


@dataclass(frozen=True)
class MetricsSettings:
    """Where Prometheus finds figures."""

    listen: str = "127.0.0.1:9464"

    def __post_init__(self) -> None:
        found = re.fullmatch(r"(.+):(\d{1,5})", self.listen)
        if found is None or int(found[2]) > 65535:
            raise ValueError(f'listen: "{self.listen:.60}"; expected "ADDRESS:PORT", such as "127.0.0.1:9464"')

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen: host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True)
class SinkSettings:
    """All who hear."""

    mqtt: MqttSettings | None = None
    webhooks: tuple[WebhookSettings, ...] = ()
    python: tuple[PythonSettings, ...] = ()
    metrics: MetricsSettings | None = None

    @property
    def need_store(self) -> bool:
        """Whether somebody is to get every event, which takes a store."""
        return self.mqtt is not None or bool(self.webhooks or self.python)


def read_sinks(path: Path) -> SinkSettings:
    """Read a file of sinks.

    Raises:
        ConfigError: it cannot be read or holds something else; says in which line.
    """
    document, text = read_toml(path, "sinks")
    if unknown := [name for name in document if name not in ("mqtt", "webhook", "python", "metrics")]:
        raise ConfigError(
            f"{path}:{line_of(text, unknown[0])}: {unknown[0]} is not expected; expected [mqtt], [[webhook]], "
            "[[python]] and [metrics]"
        )
    try:
        if isinstance(document.get("mqtt"), list):
            raise ValueError("mqtt: one broker only, written [mqtt], with one bracket")
        mqtt = _one(MqttSettings, document.get("mqtt"), _MQTT, "mqtt", ("url", "topic"))
        webhooks = _several(WebhookSettings, document.get("webhook", []), _WEBHOOK, "webhook", ("url",))
        python = _several(PythonSettings, document.get("python", []), _PYTHON, "python", ("call",))
        metrics = _one(MetricsSettings, document.get("metrics"), _METRICS, "metrics", ())
        names = [sink.name for sink in (*webhooks, *python)]
        for name in names:
            if name == "mqtt":
                raise ValueError('name: "mqtt" is what the store calls the broker; give another name')
            if names.count(name) > 1:
                raise ValueError(f'name: two sinks are called "{name}"; give each a name of its own')
    except ValueError as error:
        raise wrong(path, text, error) from error
    beside = path.parent  # files that are named lie beside this one
    if mqtt is not None:
        mqtt = replace(mqtt, **{name: _beside(beside, getattr(mqtt, name)) for name in ("ca", "cert", "key")})
    webhooks = [replace(hook, ca=_beside(beside, hook.ca)) for hook in webhooks]
    python = [replace(function, call=_beside(beside, function.call)) for function in python]
    return SinkSettings(mqtt, tuple(webhooks), tuple(python), metrics)


def require_store(path: Path, settings: SinkSettings, store: Path | None) -> None:
    """See that there is a store where somebody is to get every event.

    Raises:
        ConfigError: there is none.
    """
    if settings.need_store and store is None:
        raise ConfigError(f"--sinks {path} forwards events; add --store DIR, where they wait until they arrive")


_MQTT = {name: a_text for name in ("url", "topic", "client_id", "ca", "cert", "key", "home_assistant")}
_WEBHOOK = {"url": a_text, "secret": a_text, "types": texts, "ca": a_text, "timeout_s": a_number, "name": a_text}
_PYTHON = {"call": a_text, "types": texts, "name": a_text}
_METRICS = {"listen": a_text}


def _one(kind: Any, values: Any, kinds: Any, where: str, needed: tuple[str, ...]) -> Any:
    if values is None:
        return None
    found = read_table(values, kinds, where)
    if missing := [name for name in needed if not found.get(name)]:
        raise ValueError(f"{where}: {missing[0]} is missing")
    return kind(**found)


def _several(kind: Any, values: Any, kinds: Any, where: str, needed: tuple[str, ...]) -> list[Any]:
    if not isinstance(values, list):
        raise ValueError(f"{where}: expected [[{where}]], with two brackets")
    return [_one(kind, entry, kinds, where, needed) for entry in values]


def _check_url(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """Take an address apart; never repeats it, since there may be a password in it."""
    address = None
    try:
        address = urlsplit(hide_secrets(url))
        fine = address.scheme in schemes and bool(address.hostname) and (address.port is None or address.port > 0)
    except ValueError:
        fine = False
    if address is None or not fine:
        raise ValueError(f"url: no address that can be used; expected {schemes[0]}://HOST or {schemes[1]}://HOST")
    return address


def _check_types(types: tuple[str, ...]) -> None:
    if strange := [name for name in types if name not in EVENT_TYPES]:
        raise ValueError(f'types: "{strange[0]:.60}"; expected some of {", ".join(EVENT_TYPES)}')


def _beside(folder: Path, file: str) -> str:
    return str(folder / file) if file else ""

"""Where an MQTT broker is, who asks it, and a client that is ready to connect."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from aae_detect.errors import InstallError
from aae_detect.sinks.mqtt_names import client_id
from aae_detect.sinks.settings import MqttSettings
from aae_detect.sinks.tls import tls_context
from aae_detect.source_secrets import fill_secrets

if TYPE_CHECKING:
    from paho.mqtt.client import Client


@dataclass(frozen=True)
class Broker:
    """What it takes to speak with a broker."""

    host: str
    port: int
    client_id: str
    """What the broker knows this client by; of two with the same one it keeps the newer."""

    status_topic: str
    """Where the broker says `offline` for a client that has gone."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, settings: MqttSettings) -> Broker:
        """Read what the user asked for.

        Raises:
            ConfigError: a secret or a certificate cannot be read.
            InstallError: paho-mqtt is missing.
        """
        try:
            import paho.mqtt.client  # noqa: F401
        except ImportError as error:
            raise InstallError("MQTT needs paho-mqtt; install it with `pip install 'aae-detect[mqtt]'`") from error
        address = urlsplit(fill_secrets(settings.url))
        tls = address.scheme == "mqtts"
        return cls(
            host=address.hostname or "",
            port=address.port or (8883 if tls else 1883),
            client_id=settings.client_id or client_id(socket.gethostname(), settings.topic),
            status_topic=f"{settings.topic}/status",
            user=unquote(address.username) if address.username is not None else None,
            password=unquote(address.password) if address.password is not None else None,
            tls=tls_context(settings.ca, settings.cert, settings.key) if tls else None,
        )

    def make_client(self, most_waiting: int, timeout_s: float) -> Client:
        """Make a client of MQTT 5 that nobody listens to yet.

        Args:
            most_waiting: Messages that may be queued and unconfirmed.
            timeout_s: How long connecting may take.
        """
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=self.client_id, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = timeout_s
        client.max_queued_messages_set(most_waiting)
        if self.user is not None:
            client.username_pw_set(self.user, self.password)
        if self.tls is not None:
            client.tls_set_context(self.tls)
        client.will_set(self.status_topic, b"offline", qos=1, retain=True)
        return client

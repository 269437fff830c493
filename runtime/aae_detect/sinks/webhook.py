"""Events to a web server, each in a POST of its own, signed as the Standard Webhooks say (version 1, HMAC-SHA256)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote, unquote, urlsplit

from aae_detect import __version__
from aae_detect.errors import ConfigError
from aae_detect.sinks.message import event_message
from aae_detect.sinks.settings import WebhookSettings
from aae_detect.sinks.sink import SinkError
from aae_detect.sinks.tls import tls_context
from aae_detect.source_secrets import fill_secrets, plain_secret
from aae_detect.store.stored_event import StoredEvent

_HAS_IT = 409
_WANTS_NONE_OF_IT = (400, 410, 413, 415, 422)
"""Answers to this one event that would be the same for ever; it is told and left out. All others are tried again."""


class Webhook:
    """A server that gets events."""

    def __init__(self, settings: WebhookSettings, say: Callable[[str], None]) -> None:
        """Take where and how.

        Raises:
            ConfigError: the secret or the certificates cannot be read, or with the secrets the address names no server.
        """
        address = urlsplit(fill_secrets(settings.url))
        if not address.hostname:
            raise ConfigError(
                f"{settings.name}: with secrets put in, its url names no server; see whether a variable in it is empty"
            )
        self.name = settings.name
        self._types, self._timeout_s, self._say = settings.types, settings.timeout_s, say
        self._secret = secret_bytes(plain_secret(settings.secret))
        path = (address.path or "/") + (f"?{address.query}" if address.query else "")
        self._path = quote(path, safe="%/?:@!$&'()*+,;=~")  # what is written with % stays so
        self._headers = {"Content-Type": "application/json", "User-Agent": f"aae-detect/{__version__}"}
        if address.username is not None:
            pair = f"{unquote(address.username)}:{unquote(address.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if address.scheme == "https":
            context = tls_context(settings.ca)
            self._connect: Callable[[], http.client.HTTPConnection] = lambda: http.client.HTTPSConnection(
                address.hostname or "", address.port, timeout=self._timeout_s, context=context
            )
        else:
            self._connect = lambda: http.client.HTTPConnection(
                address.hostname or "", address.port, timeout=self._timeout_s
            )

    def deliver(self, events: Sequence[StoredEvent], stop: threading.Event) -> int:
        """See `Sink`."""
        connection, arrived = self._connect(), 0
        try:
            for stored in events:
                if not self._types or stored.event.get("type") in self._types:
                    if arrived and stop.is_set():
                        break
                    self._post(connection, stored)
                arrived += 1
        except (OSError, http.client.HTTPException) as error:
            if not arrived:
                raise SinkError(f"cannot be reached ({error or type(error).__name__})") from error
        except SinkError:
            if not arrived:
                raise
        finally:
            connection.close()
        return arrived

    def close(self) -> None:
        """Nothing is kept open."""

    def _post(self, connection: http.client.HTTPConnection, stored: StoredEvent) -> None:
        body = event_message(stored)
        headers = {**self._headers, "webhook-id": stored.key, "webhook-timestamp": str(int(time.time()))}
        if self._secret:
            headers["webhook-signature"] = signature(self._secret, stored.key, headers["webhook-timestamp"], body)
        connection.request("POST", self._path, body, headers)
        answer = connection.getresponse()
        words = answer.read(1000).decode("utf-8", "replace").strip().partition("\n")[0][:100]
        if not answer.isclosed():
            connection.close()  # what is left would be taken for the next answer; it opens anew by itself
        answer.close()
        if answer.status in _WANTS_NONE_OF_IT:
            self._say(f"warning: {self.name} refuses event {stored.key}: {answer.status} {words}; it is left out")
        elif answer.status != _HAS_IT and not 200 <= answer.status < 300:
            raise SinkError(f"answers {answer.status} {answer.reason} {words}".rstrip())


def signature(secret: bytes, key: str, timestamp: str, body: bytes) -> str:
    """Sign a message (https://www.standardwebhooks.com): `v1,` and the Base64 of the HMAC of id, time and body."""
    signed = hmac.new(secret, f"{key}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def secret_bytes(text: str) -> bytes:
    """Read a secret: Base64 behind `whsec_`, as the Standard Webhooks write it, or any other text as it is.

    Raises:
        ConfigError: what follows `whsec_` is no Base64.
    """
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ConfigError(
            f"the webhook's secret begins with whsec_, and what follows is no Base64 ({error})"
        ) from error

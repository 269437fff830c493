"""The server that Prometheus reads: whoever connects and says nothing takes no descriptors that cameras need."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

TIMEOUT_S = 10.0
"""How long a connection may be silent."""

MOST_CONNECTIONS = 32
"""At a time; others are closed at once."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread of its own."""

    daemon_threads = True

    def __init__(self, host: str, port: int, app: Callable[..., Any]) -> None:
        """Take the port; `serve_forever` answers.

        Args:
            host: A name or address of this machine, of IPv4 or IPv6.
            port: 0: any that is free.
            app: What answers, by WSGI.

        Raises:
            OSError: the address cannot be listened on.
        """
        place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = place[0]
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((str(place[4][0]), port), _Handler)
        self.set_app(app)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, where there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked has got no answer and knows."""


class _Handler(WSGIRequestHandler):
    timeout = TIMEOUT_S

    def handle(self) -> None:
        with suppress(OSError):  # it was silent for too long, or has gone
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""

"""What systemd wants to hear of a service: that it is ready, and that it lives (sd_notify(3), in a dozen lines)."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


class ServiceNotify:
    """Talks to the service manager that started this process; says nothing where there is none."""

    def __init__(self) -> None:
        """Find the manager's socket, and how often it wants to hear of a life."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        # An @ stands for the NUL byte of a name that lies in no file system.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        try:
            interval_s = int(os.environ.get("WATCHDOG_USEC", "0")) * 1e-6
        except ValueError:
            interval_s = 0.0
        self._pause_s = interval_s / 3
        self._next_s = 0.0

    def ready(self) -> None:
        """Say that the service does what it is for."""
        self._send("READY=1")

    def alive(self) -> None:
        """Say that frames are judged or waited for; call it often, from whoever must not hang."""
        if self._pause_s > 0 and (now := time.monotonic()) >= self._next_s:
            self._next_s = now + self._pause_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that it ends because it was told to."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.connect(self._address)
                connection.sendall(message.encode())

"""What a sink of stored events is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from aae_detect.errors import AaeDetectError
from aae_detect.store.stored_event import StoredEvent


class SinkError(AaeDetectError):
    """Events that did not arrive, this time."""


class Sink(Protocol):
    """Somebody who is to get every event, whatever happens between here and there."""

    name: str
    """Under which the store remembers how far it has got; unique among the sinks of a store."""

    def deliver(self, events: Sequence[StoredEvent], stop: threading.Event) -> int:
        """Send events, the oldest first, and wait until they have arrived.

        Args:
            events: At least one.
            stop: Once it is set, what has not arrived soon is left for the next start.

        Returns:
            How many of them, from the first, have arrived: at least one.

        Raises:
            SinkError: none has; they come again later.
        """

    def close(self) -> None:
        """Let go of connections."""

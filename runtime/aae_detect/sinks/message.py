"""What receivers get of a stored event."""

from __future__ import annotations

import json

from aae_detect.store.stored_event import StoredEvent


def event_message(stored: StoredEvent) -> bytes:
    """Write an event as one JSON object: what `--jsonl` writes, and its `key` and `number` in the store."""
    return json.dumps({"key": stored.key, "number": stored.number, **stored.event}, allow_nan=False).encode()

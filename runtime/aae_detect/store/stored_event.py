"""An event as it lies in the store."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aae_detect.errors import ConfigError
from aae_detect.store.picture_files import PictureFiles

COLUMNS = "number, key, body, pictures, mark"
"""What `read_event` takes, in this order."""

_KEY = re.compile(r"-?[0-9a-f]{11,12}-[0-9a-f]{12}")
"""As `EventStore.append` makes it: 12 digits last until the year 9999, and a clock before 1970 has a sign. Files
are called after it, so a store from elsewhere must not say what it likes."""


@dataclass(frozen=True)
class StoredEvent:
    """An event as it lies in the store."""

    number: int
    """Counts the events of a store from 1, in the order in which they were committed."""

    key: str
    """Unique in all stores: whoever gets an event twice can see it by its key."""

    event: dict[str, Any]
    pictures: dict[str, Path]
    """By what they show: `frame`, `overlay`, `map`."""

    mark: str
    """What a person said of it: `good`, or empty."""


class DamagedEventError(ConfigError):
    """An event that cannot be read; the others can."""

    def __init__(self, folder: Path, number: int, why: str) -> None:
        super().__init__(f"{folder}: event {number} is damaged ({why})")
        self.number = number


def read_event(folder: Path, files: PictureFiles, row: tuple[int, str, str, str, str]) -> StoredEvent:
    """Read a row of `COLUMNS`.

    Args:
        folder: Of the store, for errors.
        files: Its pictures.
        row: From the database.

    Raises:
        DamagedEventError: it is no event of a store.
    """
    number, key, body, pictures, mark = row
    try:
        event, names = json.loads(body), json.loads(pictures)
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedEventError(folder, number, str(error)) from error
    if not isinstance(event, dict) or not isinstance(names, dict) or not all(map(_is_text, names.values())):
        raise DamagedEventError(folder, number, "it is no event of this store")
    if not _KEY.fullmatch(str(key)):
        raise DamagedEventError(folder, number, f"{str(key)!r:.80} is no key")
    return StoredEvent(number, str(key), event, files.paths(names), str(mark))


def _is_text(value: object) -> bool:
    return isinstance(value, str)

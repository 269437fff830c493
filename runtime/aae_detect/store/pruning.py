"""What leaves a store when it is old or too much; what a person has marked stays."""

from __future__ import annotations

import json
import sqlite3
import time

from aae_detect.store.database import transaction
from aae_detect.store.picture_files import PictureFiles

NO_CLOCK_MS = 1_735_689_600_000
"""The beginning of 2025: what is stamped before comes from a machine that did not know the time, and is of any age."""

_OLD = f"at_ms < ? AND at_ms >= {NO_CLOCK_MS} AND mark = ''"


def count_old(database: sqlite3.Connection, most_days: float) -> tuple[int, int]:
    """Count the events that are too old, and all that may go.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    (old,) = database.execute(f"SELECT COUNT(*) FROM events WHERE {_OLD}", (_oldest_ms(most_days),)).fetchone()
    (count,) = database.execute("SELECT COUNT(*) FROM events WHERE mark = ''").fetchone()
    return old, count


def remove_old(database: sqlite3.Connection, pictures: PictureFiles, most_days: float) -> int:
    """Take out events that are too old; returns how many.

    Raises:
        sqlite3.Error: the database does not let them go.
        OSError: the disk does not let their pictures go, which are orphans then.
    """
    return _remove(database, pictures, _OLD, _oldest_ms(most_days))


def remove_surplus(database: sqlite3.Connection, pictures: PictureFiles, most_events: int) -> int:
    """Take out events that are too many, the oldest first; returns how many.

    Raises:
        sqlite3.Error: see `remove_old`.
        OSError: see `remove_old`.
    """
    (count,) = database.execute("SELECT COUNT(*) FROM events").fetchone()
    if count <= most_events:
        return 0
    surplus = "mark = '' AND number <= (SELECT number FROM events ORDER BY number DESC LIMIT 1 OFFSET ?)"
    return _remove(database, pictures, surplus, most_events)


def _oldest_ms(most_days: float) -> int:
    return round((time.time() - most_days * 86400) * 1000)


def shrink_pictures(database: sqlite3.Connection, pictures: PictureFiles, most_bytes: int) -> None:
    """Let go of the oldest pictures; their events stay.

    Raises:
        sqlite3.Error: see `remove_old`.
        OSError: see `remove_old`.
    """
    (total,) = database.execute("SELECT COALESCE(SUM(picture_bytes), 0) FROM events").fetchone()
    rows = database.execute(
        "SELECT number, pictures, picture_bytes FROM events WHERE picture_bytes > 0 AND mark = '' ORDER BY number"
    )
    too_much = []
    for number, names, size in rows:
        if total <= most_bytes:
            break
        total -= size
        too_much.append((number, names))
    for number, names in too_much:
        # Somebody may have marked it by now.
        still = "UPDATE events SET pictures = '{}', picture_bytes = 0 WHERE number = ? AND mark = ''"
        if database.execute(still, (number,)).rowcount:
            pictures.remove(_names(names) or {})


def remove_orphans(database: sqlite3.Connection, pictures: PictureFiles) -> None:
    """Take out pictures that no event knows, file by file.

    Raises:
        sqlite3.Error: see `remove_old`.
        OSError: see `remove_old`.
    """

    def is_known(key: str, name: str) -> bool:
        row = database.execute("SELECT pictures FROM events WHERE key = ?", (key,)).fetchone()
        if row is None:
            return False
        names = _names(row[0])
        return names is None or name in names.values()

    pictures.remove_orphans(is_known)


def _remove(database: sqlite3.Connection, pictures: PictureFiles, condition: str, value: float) -> int:
    """Take out unmarked events, and then their pictures: a kill between leaves orphans, which go later."""
    with transaction(database):  # nobody marks one between the two
        named = database.execute(f"SELECT pictures FROM events WHERE {condition}", (value,)).fetchall()
        count = database.execute(f"DELETE FROM events WHERE {condition}", (value,)).rowcount
    for (names,) in named:
        pictures.remove(_names(names) or {})
    return count


def _names(text: str) -> dict[str, str] | None:
    """Read which pictures an event names; None where the row is damaged, which must keep nobody from going on."""
    try:
        names = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return names if isinstance(names, dict) and all(isinstance(name, str) for name in names.values()) else None

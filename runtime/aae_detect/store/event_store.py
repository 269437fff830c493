"""Events with their pictures, kept across kills, power cuts and full disks."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from aae_detect.errors import ConfigError
from aae_detect.store.database import open_database

DATABASE, PICTURES, RESERVE = "events.sqlite", "pictures", ".reserve"
RESERVE_BYTES = 2 * 2**20
"""Given up when the disk is full, so that verdicts can still be written for a long time."""

LEAST_FREE_BYTES = 200 * 2**20
"""With less room than this on the disk, no pictures are kept: verdicts go on."""

_LOOK_S = 1.0
"""How often the room on the disk is looked at."""

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}/[0-9a-f-]+\.[a-z]+\.[a-z]+")

_ORPHAN_S = 3600.0
"""Pictures without an event that are older were left by a kill; younger ones may be just being written."""


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


@dataclass(frozen=True)
class Retention:
    """How long events are kept; the oldest go first."""

    most_days: float = 90.0
    most_events: int = 200_000
    most_picture_bytes: int = 20 * 2**30


class DamagedEventError(ConfigError):
    """An event that cannot be read; the others can."""

    def __init__(self, folder: Path, number: int, why: str) -> None:
        super().__init__(f"{folder}: event {number} is damaged ({why})")
        self.number = number


class EventStore:
    """One store; any number of processes may read, and others write beside the one that runs, now and then."""

    def __init__(self, folder: Path, read_only: bool = False, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        """Open a store, made where there is none.

        Raises:
            ConfigError: it cannot be opened or made.
        """
        self.folder = folder
        self.problem = ""
        """Why pictures are not kept at the moment; empty where they are."""

        self._least_free = least_free_bytes
        self._free_looked_s, self._has_room = -1e9, True
        self._lock = threading.Lock()
        self._committed = threading.Condition()
        if read_only:
            if not (folder / DATABASE).is_file():
                raise ConfigError(f"{folder} holds no {DATABASE}; give the folder that `aae-detect --store` wrote to")
        else:
            try:
                (folder / PICTURES).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"--store {folder} cannot be made: {error.strerror}") from error
        self._database = open_database(folder / DATABASE, read_only)
        if not read_only:
            self._keep_reserve()

    def append(self, event: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None) -> str:
        """Commit an event; when this returns, it is on the disk.

        Args:
            event: With `type`, `time` (ISO 8601) and `source`, as `events` makes it.
            pictures: Encoded files, by name with extension, such as `frame.png`. Where there is no room for them the
                event is kept without, and `problem` says so.

        Returns:
            The event's key.

        Raises:
            ConfigError: not even the event could be written.
        """
        at = datetime.fromisoformat(event["time"])
        at_ms = round(at.timestamp() * 1000)
        key = f"{at_ms:012x}-{secrets.token_hex(6)}"
        with self._lock:
            names, size = self._write_pictures(key, at, pictures or {})
            row = (
                key,
                at_ms,
                str(event["type"]),
                str(event["source"]),
                str(event.get("verdict", "")),
                json.dumps(dict(event), allow_nan=False),
                json.dumps(names),
                size,
            )
            try:
                self._insert(row)
            except sqlite3.OperationalError:
                (self.folder / RESERVE).unlink(missing_ok=True)
                try:
                    self._insert(row)
                except sqlite3.Error as error:
                    raise ConfigError(f"{self.folder}: an event cannot be written ({error}); make room") from error
        with self._committed:
            self._committed.notify_all()
        return key

    def wait(self, timeout_s: float) -> None:
        """Wait until something is committed through this object, or for so long."""
        with self._committed:
            self._committed.wait(timeout_s)

    def events(
        self,
        *,
        after: int = 0,
        since_ms: int | None = None,
        types: tuple[str, ...] = (),
        verdicts: tuple[str, ...] = (),
        sources: tuple[str, ...] = (),
        mark: str | None = None,
        newest_first: bool = False,
        limit: int = -1,
    ) -> Iterator[StoredEvent]:
        """Go through events.

        Args:
            after: Only those with a higher number.
            since_ms: Only those from this time on, milliseconds since 1970.
            types: Only of these types; empty: any. So for `verdicts` and `sources`.
            verdicts: See `types`.
            sources: See `types`.
            mark: Only those that a person has marked so.
            newest_first: The last committed first.
            limit: At most so many; -1: all.
        """
        wanted, values = ["number > ?"], [after]
        parameters: list[Any] = list(values)
        if since_ms is not None:
            wanted.append("at_ms >= ?")
            parameters.append(since_ms)
        for column, names in (("type", types), ("verdict", verdicts), ("source", sources)):
            if names:
                wanted.append(f"{column} IN ({', '.join('?' * len(names))})")
                parameters += names
        if mark is not None:
            wanted.append("mark = ?")
            parameters.append(mark)
        order = "DESC" if newest_first else "ASC"
        statement = (
            "SELECT number, key, body, pictures, mark FROM events WHERE "
            f"{' AND '.join(wanted)} ORDER BY number {order} LIMIT ?"
        )
        for number, key, body, pictures, marked in self._database.execute(statement, (*parameters, limit)):
            yield self._stored(number, key, body, pictures, marked)

    def count(self, after: int = 0) -> int:
        """Count the events with a higher number."""
        return int(self._database.execute("SELECT COUNT(*) FROM events WHERE number > ?", (after,)).fetchone()[0])

    def find(self, key: str) -> StoredEvent:
        """Return the one event whose key begins so.

        Raises:
            ConfigError: there is none, or more than one.
        """
        found = self._database.execute(
            "SELECT number, key, body, pictures, mark FROM events WHERE substr(key, 1, ?) = ? LIMIT 2", (len(key), key)
        ).fetchall()
        if len(found) != 1:
            what = "no event" if not found else "more than one event"
            raise ConfigError(f"{what} in {self.folder} has a key that begins with {key!r}; see `aae-events list`")
        return self._stored(*found[0])

    def set_mark(self, key: str, mark: str) -> StoredEvent:
        """Keep what a person says of an event; returns it."""
        found = self.find(key)
        self._database.execute("UPDATE events SET mark = ? WHERE key = ?", (mark, found.key))
        return self.find(found.key)

    def prune(self, retention: Retention, orphans: bool = False) -> int:
        """Take out what is older or more than is to be kept; returns how many events. What a person has marked stays.

        Args:
            retention: What is to be kept.
            orphans: Whether to look for pictures that no event knows, file by file: a kill leaves them, so once after
                the start is enough.
        """
        oldest_ms = round((time.time() - retention.most_days * 86400) * 1000)
        gone = 0
        with self._lock:
            gone += self._remove("at_ms < ?", oldest_ms)
            (count,) = self._database.execute("SELECT COUNT(*) FROM events").fetchone()
            if count > retention.most_events:
                gone += self._remove(
                    "number <= (SELECT number FROM events ORDER BY number DESC LIMIT 1 OFFSET ?)", retention.most_events
                )
            self._shrink_pictures(retention.most_picture_bytes)
            if orphans:
                self._remove_orphans()
        return gone

    def close(self) -> None:
        """Close the file; may be called more than once."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _insert(self, row: tuple[Any, ...]) -> None:
        self._database.execute(
            "INSERT INTO events (key, at_ms, type, source, verdict, body, pictures, picture_bytes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def _stored(self, number: int, key: str, body: str, pictures: str, mark: str) -> StoredEvent:
        try:
            event, names = json.loads(body), json.loads(pictures)
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedEventError(self.folder, number, str(error)) from error
        if not isinstance(event, dict) or not isinstance(names, dict) or not all(map(_is_text, names.values())):
            raise DamagedEventError(self.folder, number, "it is no event of this store")
        return StoredEvent(number, str(key), event, self._paths(names), str(mark))

    def _paths(self, names: Mapping[str, str]) -> dict[str, Path]:
        """Return where pictures lie; a name that leads out of the folder, which nobody here wrote, leads nowhere."""
        return {what: self.folder / PICTURES / name for what, name in names.items() if _NAME.fullmatch(name)}

    def _write_pictures(self, key: str, at: datetime, pictures: Mapping[str, bytes]) -> tuple[dict[str, str], int]:
        """Write files before the row that names them, so that no row names what is not there."""
        if not pictures or not self._room():
            return {}, 0
        day = at.astimezone(UTC).strftime("%Y-%m-%d")
        folder = self.folder / PICTURES / day
        names: dict[str, str] = {}
        try:
            folder.mkdir(exist_ok=True)
            for name, content in pictures.items():
                path = folder / f"{key}.{name}"
                names[Path(name).stem] = f"{day}/{path.name}"
                with path.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            self.problem = f"pictures cannot be kept: {error.strerror}"
            for name in names.values():
                (self.folder / PICTURES / name).unlink(missing_ok=True)
            return {}, 0
        self.problem = ""
        return names, sum(map(len, pictures.values()))

    def _room(self) -> bool:
        """Look now and then whether there is room for pictures."""
        if time.monotonic() - self._free_looked_s >= _LOOK_S:
            self._free_looked_s = time.monotonic()
            free = shutil.disk_usage(self.folder).free
            self._has_room = free >= self._least_free
            if not self._has_room:
                self.problem = (
                    f"pictures are not kept: {free / 2**20:.0f} MB are free on the disk, less than "
                    f"{self._least_free / 2**20:.0f}"
                )
        return self._has_room

    def _remove(self, condition: str, value: float) -> int:
        """Take out unmarked events, and then their pictures: a kill between leaves orphans, which go later."""
        condition = f"mark = '' AND {condition}"
        named = self._database.execute(f"SELECT pictures FROM events WHERE {condition}", (value,)).fetchall()
        count = self._database.execute(f"DELETE FROM events WHERE {condition}", (value,)).rowcount
        for (pictures,) in named:
            for path in self._paths(json.loads(pictures)).values():
                path.unlink(missing_ok=True)
        return count

    def _shrink_pictures(self, most_bytes: int) -> None:
        """Let go of the oldest pictures; their events stay."""
        (total,) = self._database.execute("SELECT COALESCE(SUM(picture_bytes), 0) FROM events").fetchone()
        rows = self._database.execute(
            "SELECT number, pictures, picture_bytes FROM events WHERE picture_bytes > 0 AND mark = '' ORDER BY number"
        )
        too_much = []
        for number, pictures, size in rows:
            if total <= most_bytes:
                break
            total -= size
            too_much.append((number, pictures))
        for number, pictures in too_much:
            self._database.execute("UPDATE events SET pictures = '{}', picture_bytes = 0 WHERE number = ?", (number,))
            for path in self._paths(json.loads(pictures)).values():
                path.unlink(missing_ok=True)

    def _remove_orphans(self) -> None:
        now = time.time()
        for folder in (self.folder / PICTURES).iterdir():
            if not folder.is_dir():
                continue
            for path in folder.iterdir():
                if now - path.stat().st_mtime < _ORPHAN_S:
                    continue
                key = path.name.partition(".")[0]
                row = self._database.execute("SELECT pictures FROM events WHERE key = ?", (key,)).fetchone()
                if row is None or f"{folder.name}/{path.name}" not in json.loads(row[0]).values():
                    path.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()

    def _keep_reserve(self) -> None:
        path = self.folder / RESERVE
        try:
            if not path.exists() and shutil.disk_usage(self.folder).free > 2 * self._least_free:
                path.write_bytes(bytes(RESERVE_BYTES))
        except OSError:  # there is no room to reserve
            path.unlink(missing_ok=True)


def _is_text(value: object) -> bool:
    return isinstance(value, str)

"""Events with their pictures, kept across kills, power cuts and full disks."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from aae_detect.disk_trouble import is_disk_trouble
from aae_detect.errors import ConfigError
from aae_detect.store.database import StoreDiskError, is_full, open_database
from aae_detect.store.disk_room import DiskRoom
from aae_detect.store.picture_files import PictureFiles
from aae_detect.store.pruning import count_old, remove_old, remove_orphans, remove_surplus, shrink_pictures
from aae_detect.store.stored_event import COLUMNS, DamagedEventError, StoredEvent, read_event

DATABASE, PICTURES, RESERVE = "events.sqlite", "pictures", ".reserve"

LEAST_FREE_BYTES = 200 * 2**20
"""With less room than this on the disk, no pictures are kept: verdicts go on."""

_OPEN_AGAIN_S = 60.0
"""Between tries to open a store that could not be opened at the start."""


@dataclass(frozen=True)
class Retention:
    """How long events are kept; the oldest go first."""

    most_days: float = 90.0
    most_events: int = 200_000
    most_picture_bytes: int = 20 * 2**30


class EventStore:
    """One store; any number of processes may read, and others write beside the one that runs, now and then."""

    def __init__(
        self,
        folder: Path,
        read_only: bool = False,
        least_free_bytes: int = LEAST_FREE_BYTES,
        waits_for_disk: bool = False,
    ) -> None:
        """Open a store, made where there is none.

        Args:
            folder: Where it lies.
            read_only: Whether only to read, what another process may write.
            least_free_bytes: With less room on the disk, no pictures are kept.
            waits_for_disk: Whether a disk that is full, read-only or damaged is no error: it is not open then, and
                `append` tries again, once a minute.

        Raises:
            StoreDiskError: the disk is full, read-only or damaged.
            ConfigError: it cannot be opened or made for another reason.
        """
        self.folder = folder
        self.is_open = False
        self.problem = ""
        """Why pictures are not kept at the moment, or nothing at all; empty where they are."""

        self._pictures = PictureFiles(folder / PICTURES)
        self._room = DiskRoom(folder, folder / RESERVE, least_free_bytes)
        self._database: sqlite3.Connection
        self._lock = threading.Lock()
        self._committed = threading.Condition()
        if read_only:
            if not (folder / DATABASE).is_file():
                raise ConfigError(f"{folder} holds no {DATABASE}; give the folder that `aae-detect --store` wrote to")
            self._database = open_database(folder / DATABASE, read_only=True)
            self.is_open = True
            return
        try:
            self._open()
        except StoreDiskError as error:
            if not waits_for_disk:
                raise
            self.problem = str(error)
        self._next_try_s = time.monotonic() + _OPEN_AGAIN_S

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
        body = json.dumps(dict(event), allow_nan=False)
        with self._lock:
            self._open_late()
            names = self._write_pictures(key, at, pictures or {})
            size = sum(map(len, pictures.values())) if pictures and names else 0
            kinds = (str(event["type"]), str(event["source"]), str(event.get("verdict", "")))
            try:
                self._commit(key, at_ms, *kinds, body, json.dumps(names), size)
            except Exception as error:
                with suppress(OSError):  # what no event names is counted nowhere, and would fill the disk
                    self._pictures.remove(names)
                if isinstance(error, ConfigError):
                    raise
                raise ConfigError(f"{self.folder}: an event cannot be written ({error})") from error
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
        damaged: Callable[[DamagedEventError], None] | None = None,
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
            damaged: Told of each that cannot be read, and goes on; None: that is raised.

        Raises:
            DamagedEventError: one cannot be read.
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
        statement = f"SELECT {COLUMNS} FROM events WHERE {' AND '.join(wanted)} ORDER BY number {order} LIMIT ?"
        for row in self._database.execute(statement, (*parameters, limit)):
            try:
                yield read_event(self.folder, self._pictures, row)
            except DamagedEventError as error:
                if damaged is None:
                    raise
                damaged(error)

    def count(self, after: int = 0) -> int:
        """Count the events with a higher number."""
        return int(self._database.execute("SELECT COUNT(*) FROM events WHERE number > ?", (after,)).fetchone()[0])

    def find(self, key: str) -> StoredEvent:
        """Return the one event whose key begins so.

        Raises:
            ConfigError: there is none, or more than one.
        """
        found = self._database.execute(
            f"SELECT {COLUMNS} FROM events WHERE substr(key, 1, ?) = ? LIMIT 2", (len(key), key)
        ).fetchall()
        if len(found) != 1:
            what = "no event" if not found else "more than one event"
            raise ConfigError(f"{what} in {self.folder} has a key that begins with {key!r}; see `aae-events list`")
        return read_event(self.folder, self._pictures, found[0])

    def set_mark(self, key: str, mark: str) -> StoredEvent:
        """Keep what a person says of an event; returns it."""
        found = self.find(key)
        self._database.execute("UPDATE events SET mark = ? WHERE key = ?", (mark, found.key))
        return self.find(found.key)

    def prune(self, retention: Retention, orphans: bool = False, by_hand: bool = True) -> int:
        """Take out what is older or more than is to be kept; returns how many events. What a person has marked stays.

        Args:
            retention: What is to be kept.
            orphans: Whether to look for pictures that no event knows, file by file: a kill leaves them, so once after
                the start is enough.
            by_hand: Whether a person asked for it. Else most of a store that seems old all at once stays: it is more
                likely that the clock is wrong.

        Raises:
            ConfigError: not all of them could be taken out.
        """
        with self._lock:
            try:
                old, count = count_old(self._database, retention.most_days)
                doubtful = not by_hand and 2 * old > count
                gone = 0 if doubtful else remove_old(self._database, self._pictures, retention.most_days)
                gone += remove_surplus(self._database, self._pictures, retention.most_events)
                shrink_pictures(self._database, self._pictures, retention.most_picture_bytes)
                if orphans:
                    remove_orphans(self._database, self._pictures)
            except (sqlite3.Error, OSError) as error:
                raise ConfigError(f"{self.folder}: old events and pictures cannot be taken out ({error})") from error
        if doubtful:
            raise ConfigError(
                f"{self.folder}: {old} of {count} events seem to be older than {retention.most_days:g} days, and stay; "
                "is the clock right? If it is, take them out with `aae-events prune`"
            )
        return gone

    def close(self) -> None:
        """Close the file; may be called more than once."""
        if self.is_open:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> None:
        """Make the folder, and open the database in it, with the help of the reserve where the disk is full."""
        try:
            (self.folder / PICTURES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            kind = StoreDiskError if is_disk_trouble(error) else ConfigError
            raise kind(f"--store {self.folder} cannot be made: {error.strerror}") from error
        try:
            self._database = open_database(self.folder / DATABASE)
        except StoreDiskError as error:
            if not (error.is_full and self._room.give_up_reserve()):
                raise
            self._database = open_database(self.folder / DATABASE)
        self.is_open = True
        self._room.look()

    def _open_late(self) -> None:
        """Open what could not be opened at the start, if it is time to try."""
        if self.is_open:
            return
        if time.monotonic() < self._next_try_s:
            raise ConfigError(self.problem)
        self._next_try_s = time.monotonic() + _OPEN_AGAIN_S
        self._open()
        self.problem = ""

    def _commit(self, *row: str | int) -> None:
        """Insert an event, with the help of the reserve where the disk is full."""
        try:
            self._database.execute(
                "INSERT INTO events (key, at_ms, type, source, verdict, body, pictures, picture_bytes) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        except sqlite3.Error as error:
            if is_full(error) and self._room.give_up_reserve():
                self._commit(*row)  # once: now there is no reserve
                return
            remedy = "; make room" if is_full(error) else ""
            raise ConfigError(f"{self.folder}: an event cannot be written ({error}){remedy}") from error

    def _write_pictures(self, key: str, at: datetime, pictures: Mapping[str, bytes]) -> dict[str, str]:
        """Write files before the row that names them, so that no row names what is not there."""
        no_room = self._room.look()  # also for an event without any: the reserve is made again
        if not pictures:
            return {}
        if no_room:
            self.problem = no_room
            return {}
        try:
            names = self._pictures.write(key, at, pictures)
        except OSError as error:
            self.problem = f"pictures cannot be kept: {error.strerror}"
            return {}
        self.problem = ""
        return names

"""The database of events: its tables, and how older ones become new ones."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aae_detect.errors import ConfigError

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE events (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            at_ms INTEGER NOT NULL,
            type TEXT NOT NULL,
            source TEXT NOT NULL,
            verdict TEXT NOT NULL,
            body TEXT NOT NULL,
            pictures TEXT NOT NULL,
            picture_bytes INTEGER NOT NULL,
            mark TEXT NOT NULL DEFAULT ''
        )
        """,
        "CREATE INDEX events_by_time ON events (at_ms)",
    ),
    # How far each sink has got: the number of the last event that arrived there.
    ("CREATE TABLE cursors (sink TEXT PRIMARY KEY, number INTEGER NOT NULL)",),
)
"""What leads from each version of the tables to the next; never changed once released, only added to."""

_BUSY_MS = 5000
"""How long one process waits for another that writes."""

_LOG_PAGES = 100
"""The write-ahead log is carried over into the database when it is so long (400 KB; SQLite's own choice is 4 MB): on a
full disk it has to fit into the reserve many times."""

_OF_A_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CORRUPT}


class StoreDiskError(ConfigError):
    """The disk of a store is full, read-only or damaged; nobody asked for the wrong thing."""

    def __init__(self, message: str, is_full: bool = False) -> None:
        super().__init__(message)
        self.is_full = is_full


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk has no room; SQLite has another word for it where its file of shared memory cannot grow."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE


def open_database(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Open the file, made or brought up to date where it has to be.

    A commit is on the disk when it returns (WAL, synchronous FULL): what was told survives a kill and a power cut.

    Args:
        path: The file.
        read_only: Whether only to read, beside a process that writes.

    Raises:
        StoreDiskError: the disk is full, read-only or damaged.
        ConfigError: it is no database, of a newer version, or cannot be opened.
    """
    try:
        if read_only:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        else:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                raise ConfigError(
                    f"{path} has version {version} of the tables, this aae-detect knows up to {len(MIGRATIONS)}; "
                    "upgrade aae-detect on this machine"
                )
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
                _migrate(connection, version)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        if is_disks_fault(error, path.parent):
            raise StoreDiskError(
                f"{path}: the disk is full, read-only, damaged, or held by another process ({error})", is_full(error)
            ) from error
        raise ConfigError(
            f"{path} cannot be used as a store of events ({error}); is it one, and may it be written?"
        ) from error
    return connection


def is_disks_fault(error: sqlite3.Error, folder: Path) -> bool:
    """Whether what went wrong is the disk's fault, or that of another process which does not let go."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _OF_A_DISK or _is_read_only(folder)


def _is_read_only(folder: Path) -> bool:
    """Whether the file system is, as Linux makes one that it finds damaged; a folder of somebody else's is not."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (OSError, AttributeError):  # Windows has none
        return False


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Go from version to version, each whole or not at all."""
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        with transaction(connection):
            # Another process may have done it while this one waited.
            if int(connection.execute("PRAGMA user_version").fetchone()[0]) < number:
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do several statements, all or none of them; nobody else writes in between.

    Raises:
        sqlite3.Error: it cannot be begun or committed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after an error of the disk SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise

"""The database of events: its tables, and how older ones become new ones."""

from __future__ import annotations

import sqlite3
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


def open_database(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Open the file, made or brought up to date where it has to be.

    A commit is on the disk when it returns (WAL, synchronous FULL): what was told survives a kill and a power cut.

    Args:
        path: The file.
        read_only: Whether only to read, beside a process that writes.

    Raises:
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
                _migrate(connection, version)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise ConfigError(
            f"{path} cannot be used as a store of events ({error}); is it one, and may it be written?"
        ) from error
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Go from version to version, each whole or not at all."""
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done it while this one waited.
            if int(connection.execute("PRAGMA user_version").fetchone()[0]) < number:
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

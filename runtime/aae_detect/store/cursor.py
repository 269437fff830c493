"""How far somebody has got who is sent every event."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from aae_detect.errors import ConfigError
from aae_detect.store.database import StoreDiskError, is_disks_fault, open_database
from aae_detect.store.event_store import DATABASE


class Cursor:
    """The number of the last event that arrived at a sink, kept in the store; one thread uses it."""

    def __init__(self, folder: Path, sink: str) -> None:
        """Take the store's folder, where a store must be, and the sink's name; a new one begins with what comes now.

        Raises:
            StoreDiskError: the disk is full, read-only or damaged.
            ConfigError: the store cannot be opened for another reason.
        """
        self._folder, self._sink = folder, sink
        self._database = open_database(folder / DATABASE)
        try:
            # A power cut may take the last step back: then some events arrive twice, which their keys show.
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "INSERT INTO cursors SELECT ?, COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) "
                "WHERE NOT EXISTS (SELECT 1 FROM cursors WHERE sink = ?)",
                (sink, sink),
            )
            row = self._database.execute("SELECT number FROM cursors WHERE sink = ?", (sink,)).fetchone()
        except sqlite3.Error as error:
            self._database.close()
            kind = StoreDiskError if is_disks_fault(error, folder) else ConfigError
            raise kind(f"{folder}: it cannot be kept what {sink} has got ({error})") from error
        self.number = int(row[0])

    def move(self, number: int) -> None:
        """Keep that all events up to this one have arrived.

        Raises:
            ConfigError: it cannot be written.
        """
        self.number = number
        try:
            self._database.execute("UPDATE cursors SET number = ? WHERE sink = ?", (number, self._sink))
        except sqlite3.Error as error:
            raise ConfigError(f"{self._folder}: it cannot be kept what {self._sink} has got ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

"""The room that a store has on its disk, and the reserve that it keeps there."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 2 * 2**20
"""Given up when the disk is full, so that verdicts can still be written for a long time."""

_LOOK_S = 1.0
"""How often the room on the disk is looked at."""


class DiskRoom:
    """Looked at now and then; one thread at a time."""

    def __init__(self, folder: Path, reserve: Path, least_free_bytes: int) -> None:
        """Take where to look, the file of the reserve, and how much has to be free for pictures."""
        self._folder, self._reserve, self._least_free = folder, reserve, least_free_bytes
        self._looked_s, self._problem = float("-inf"), ""

    def look(self) -> str:
        """Say why there is no room for pictures; empty where there is.

        Where there is room for the reserve and it is not there, it is made, so that it is there for the next time.
        """
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self._looked_s = time.monotonic()
            self._problem = self._ask()
        return self._problem

    def give_up_reserve(self) -> bool:
        """Make the room that was reserved; returns whether there was any."""
        try:
            self._reserve.unlink()
        except OSError:  # it was given up before, or the disk takes no change at all
            return False
        return True

    def _ask(self) -> str:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            return f"pictures are not kept: the disk does not say how much is free ({error.strerror})"
        if free > 2 * self._least_free:
            self._make_reserve()
        if free >= self._least_free:
            return ""
        return (
            f"pictures are not kept: {free / 2**20:.0f} MB are free on the disk, less than "
            f"{self._least_free / 2**20:.0f}"
        )

    def _make_reserve(self) -> None:
        try:
            if not self._reserve.exists():
                self._reserve.write_bytes(bytes(RESERVE_BYTES))
        except OSError:  # there is no room to reserve
            with suppress(OSError):
                self._reserve.unlink()

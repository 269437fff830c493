"""The pictures of events: files in a folder for each day."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}/[0-9a-f-]+\.[a-z]+\.[a-z]+")

_ORPHAN_S = 3600.0
"""Pictures without an event that are older were left by a kill; younger ones may be just being written."""


class PictureFiles:
    """Files that events name, as `DAY/KEY.frame.png`."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which must be there before something is written."""
        self._folder = folder

    def write(self, key: str, at: datetime, pictures: Mapping[str, bytes]) -> dict[str, str]:
        """Write the pictures of one event; they are on the disk when this returns.

        Args:
            key: Of the event.
            at: When it happened.
            pictures: Encoded files, by name with extension, such as `frame.png`.

        Returns:
            Their names in the folder, by what they show: `frame`.

        Raises:
            OSError: not all could be written; none is left behind.
        """
        if not pictures:
            return {}
        day = at.astimezone(UTC).strftime("%Y-%m-%d")
        folder = self._folder / day
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
        except OSError:
            with suppress(OSError):  # the first error is the one that says what is wrong
                self.remove(names)
            raise
        return names

    def paths(self, names: Mapping[str, str]) -> dict[str, Path]:
        """Return where pictures lie; a name that leads out of the folder, which nobody here wrote, leads nowhere."""
        return {what: self._folder / name for what, name in names.items() if _NAME.fullmatch(name)}

    def remove(self, names: Mapping[str, str]) -> None:
        """Take pictures out.

        Raises:
            OSError: the disk does not let them go.
        """
        for path in self.paths(names).values():
            path.unlink(missing_ok=True)

    def remove_orphans(self, is_known: Callable[[str, str], bool]) -> None:
        """Take out pictures that no event knows.

        Args:
            is_known: Whether the event with a key knows a picture of that name, or cannot say.

        Raises:
            OSError: the disk does not let them go.
        """
        before_s = time.time() - _ORPHAN_S
        for folder in self._folder.iterdir():
            if not folder.is_dir():
                continue
            for path in _older(folder, before_s):
                if not is_known(path.name.partition(".")[0], f"{folder.name}/{path.name}"):
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or another process was faster
                folder.rmdir()


def _older(folder: Path, before_s: float) -> Iterator[Path]:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process takes out old ones, too
            if path.stat().st_mtime < before_s:
                yield path

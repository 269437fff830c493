"""Events as JSON Lines, in a file or on standard output."""

from __future__ import annotations

import errno
import json
import os
import sys
from io import FileIO, RawIOBase
from pathlib import Path
from typing import Any

from aae_detect.disk_trouble import is_disk_trouble
from aae_detect.errors import ConfigError


class EventLines:
    """Writes events as JSON Lines to a file, or to standard output where the name is `-`."""

    def __init__(self, target: str, append: bool = False) -> None:
        """Open the file.

        Args:
            target: Its name; `-`: standard output.
            append: Whether to add to what is there, instead of writing the file anew.

        Raises:
            ConfigError: it cannot be written. One on a disk that is full or fails is opened when a line is written.
        """
        self._target, self._mode = target, "ab" if append else "wb"
        self._file: RawIOBase | None = None
        self._half = False
        """Whether the last line in the file has no end."""

        try:
            self._open()
        except OSError as error:
            if not is_disk_trouble(error):
                raise ConfigError(f"--jsonl {target}: {error.strerror}; is {Path(target).parent} a folder?") from error

    def write(self, event: dict[str, Any]) -> None:
        """Write one line, in one piece: a reader that follows the file never sees half of it.

        What a full disk or a power cut left of an earlier line becomes a line of its own.

        Raises:
            OSError: it could not be written, or not all of it.
        """
        file = self._file or self._open()
        line = (json.dumps(event, allow_nan=False) + "\n").encode()
        left = b"\n" + line if self._half else line
        while left:
            if (written := file.write(left)) is None:  # standard output that was set not to wait
                raise BlockingIOError(errno.EAGAIN, "the reader is too slow")
            self._half = not left[:written].endswith(b"\n")
            left = left[written:]

    def close(self) -> None:
        """Close the file; standard output stays open.

        Raises:
            OSError: what was written did not arrive, as a server may say only now.
        """
        if self._file is not None:
            self._file.close()

    def _open(self) -> RawIOBase:
        # Without a buffer: what a full disk refused would lie in it and be tried again at the end.
        if self._target == "-":
            sys.stdout.flush()
            self._file = FileIO(sys.stdout.fileno(), "wb", closefd=False)
        else:
            self._half = self._mode == "ab" and _ends_half(Path(self._target))
            self._file = FileIO(self._target, self._mode)
        return self._file


def _ends_half(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"

"""Files that are whole whenever they are there, also for a reader in another process and after a kill."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from aae_detect.errors import ConfigError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it, also after a power cut.

    Text becomes UTF-8. What file names from old archives hold beside it is written as an escape of JSON, so that such
    a name is found again by whoever reads it there.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        replace_file(path, content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content, True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); choose another place") from error


def replace_file(path: Path, content: bytes, durable: bool = False) -> None:
    """As `write_whole`, for callers that know what to say of an error.

    Args:
        path: The file.
        content: All of it.
        durable: Whether to wait until it is on the disk. Else a power cut may leave an empty file: pictures of which
            many come in a second have no time for that.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if path.exists() and not path.is_file():  # a pipe or a device: nothing there to put in its place
        path.write_bytes(content)
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):  # the first error is the one that says what is wrong
            part.unlink()
        raise
    if durable:
        with suppress(OSError):  # Windows cannot; the file is whole in any case
            _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Have a new name in a folder on the disk, too."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def check_target(path: Path, option: str) -> None:
    """Refuse a file that cannot be written before the long work, not after.

    Raises:
        ConfigError: it is a folder, its folder does not exist, or it may not be written.
    """
    folder = path.parent
    if path.is_dir():
        raise ConfigError(f"{option} {path} is a folder; give a file name in it")
    if not folder.is_dir():
        raise ConfigError(f"{option} {path}: the folder {folder} does not exist; make it first")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(f"{option} {path} may not be written; choose another place")

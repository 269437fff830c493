"""Files that are whole whenever they are there, also for a reader in another process and after a kill."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from aae_detect.errors import ConfigError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        replace_file(path, content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); choose another place") from error


def replace_file(path: Path, content: bytes) -> None:
    """As `write_whole`, for callers that know what to say of an error.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if path.exists() and not path.is_file():  # a pipe or a device: nothing there to put in its place
        path.write_bytes(content)
        return
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        with suppress(OSError):  # the first error is the one that says what is wrong
            part.unlink()
        raise


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

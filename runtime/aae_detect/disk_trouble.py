"""Which errors say that a disk has had enough, and not that somebody asked for the wrong place."""

from __future__ import annotations

import errno

_OF_A_DISK = {errno.ENOSPC, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}


def is_disk_trouble(error: OSError) -> bool:
    """Whether a disk is full, damaged, or read-only since it was found damaged: a line must start and go on anyway."""
    return error.errno in _OF_A_DISK

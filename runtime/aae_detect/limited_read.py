"""Reading a file that anybody may have put there: it ends, it waits for nobody, and it fits into memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_limited(path: Path, most_bytes: int) -> bytes:
    """Read all of a regular file of at most so many bytes.

    A device such as /dev/zero has a size of 0 and never ends, and a pipe without a writer is waited for without end:
    neither may happen to a process that judges, so nothing but a regular file is read.

    Raises:
        OSError: it cannot be read, is no regular file, or has more bytes.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        held = os.open(path, flags)
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name holds a zero character") from error
    try:
        status = os.fstat(held)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device; expected a regular file")
        if status.st_size <= most_bytes:
            with open(held, "rb", closefd=False) as file:
                content = file.read(status.st_size + 1)
                if len(content) > status.st_size:  # it grows, or the system does not tell the size
                    content += file.read(most_bytes + 1 - len(content))
            if len(content) <= most_bytes:
                return content
    finally:
        os.close(held)
    raise OSError(errno.EFBIG, f"it has more than the {most_bytes} bytes that such a file may have")

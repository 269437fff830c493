"""Entries put into a site file beside what others write there at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from aae_detect.site_file import SiteEntry, SiteFile, read_site, write_site


def update_site(path: Path, entries: Sequence[SiteEntry]) -> None:
    """Put entries into a site file, made where there is none; what another process has written meanwhile stays.

    Args:
        path: The file.
        entries: Each takes the place of an older one of the same camera and product.

    Raises:
        ConfigError: the file cannot be read or written, or would be too large.
    """
    with _alone(path.parent):
        site = read_site(path) if path.exists() else SiteFile(())
        for entry in entries:
            site = site.with_entry(entry)
        write_site(path, site)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others of our kind out while the file is read and written; the folder is locked, so no file is left."""
    with ExitStack() as locked:
        # Windows and some network drives have no such lock; there, two would have to end in the same moment.
        with suppress(ImportError, OSError):
            import fcntl

            held = os.open(folder, os.O_RDONLY)
            locked.callback(os.close, held)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield

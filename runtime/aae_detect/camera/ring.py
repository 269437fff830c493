"""Memory that a capture process writes frames into and the detecting process reads them from."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any, cast

import numpy as np

from aae_detect.frames import Pixels

SLOTS = 3
"""One that is being read, one that waits to be read, one that is being written."""

_SLOT_BYTES = 128 << 20
"""Room for a frame of 8K. Only what frames really fill takes memory: the file behind it is sparse."""


class FrameRing:
    """A few frames' worth of memory that two processes share; who may touch which slot is agreed on elsewhere.

    It has no name in any folder, so nothing is left behind however the processes end.
    """

    def __init__(self, fd: int | None = None) -> None:
        """Make one, or map the one behind a descriptor that another process made."""
        self.fd = _make() if fd is None else fd
        try:
            self._memory = mmap.mmap(self.fd, SLOTS * _SLOT_BYTES)
        except OSError:
            os.close(self.fd)
            raise

    def put(self, slot: int, pixels: Pixels) -> None:
        """Copy a frame into a slot.

        Raises:
            ValueError: it is larger than a slot.
        """
        if pixels.nbytes > _SLOT_BYTES:
            raise ValueError(f"a frame of {pixels.nbytes >> 20} MB is larger than {_SLOT_BYTES >> 20} MB")
        np.copyto(self.view(slot, pixels.shape, pixels.dtype), pixels)

    def view(self, slot: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
        """Return a slot's memory as a frame; it changes when the slot is written again."""
        count = int(np.prod(shape))
        return cast(Pixels, np.frombuffer(self._memory, dtype, count, slot * _SLOT_BYTES).reshape(shape))

    def close(self) -> None:
        """Give the memory back; views of it must be gone."""
        self._memory.close()
        os.close(self.fd)


def _make() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("aae-detect frames")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, SLOTS * _SLOT_BYTES)
    except OSError:
        os.close(fd)
        raise
    return fd

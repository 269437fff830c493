"""Pictures a few at a time: how many are stacked hangs on their size, so that large ones fill no memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

CHUNK_PX = 8 * 256 * 256
"""What a detector looks at in one go."""


def in_chunks(
    pictures: Iterable[NDArray[np.uint8]], chunk_px: int = CHUNK_PX, most: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Stack pictures; no more of them are read than the next stack holds.

    Args:
        pictures: HxWx3 uint8 BGR, all of one size.
        chunk_px: Pixels of a stack, of which one picture may have more.
        most: Pictures of a stack at the most; None: any number.

    Yields:
        (N, H, W, 3) uint8, N at least 1.
    """
    waiting = iter(pictures)
    for first in waiting:
        count = max(1, chunk_px // (first.shape[0] * first.shape[1]))
        yield np.stack([first, *islice(waiting, (count if most is None else min(count, most)) - 1)])

"""Pictures that are made when asked for: what an export is measured with need not fit into memory at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

BUDGET_BYTES = 512 * 2**20
"""What is kept of one set of pictures; several are in use at a time."""


class OnDemand(Sequence[NDArray[np.uint8]]):
    """Pictures by number, HxWx3 uint8 BGR of one size; kept where all of them fit."""

    def __init__(self, count: int, make: Callable[[int], NDArray[np.uint8]], budget_bytes: int = BUDGET_BYTES) -> None:
        """Remember how pictures are made.

        Args:
            count: How many there are.
            make: Takes a number from 0 to count - 1; gives the same picture each time.
            budget_bytes: Memory that the pictures may take; above it, none is kept and each is made when asked for.
        """
        self._count, self._make, self._budget_bytes = count, make, budget_bytes
        self._kept: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> NDArray[np.uint8]:  # type: ignore[override]  # nobody takes slices
        """Return a picture; negative numbers count from the end.

        Raises:
            IndexError: there are not so many.
        """
        place = range(self._count)[number]
        picture = self._kept.get(place)
        if picture is None:
            picture = self._make(place)
            if self._count * picture.nbytes <= self._budget_bytes:
                self._kept[place] = picture
        return picture

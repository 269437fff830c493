"""How much memory processes hold, as the system tells it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def held_mib(pids: Sequence[int]) -> float | None:
    """Return what processes hold, MiB; pages that several share are shared out. None where the system does not tell."""
    total_kib = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            return None
        found = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
        if not found:  # it has just ended
            return None
        total_kib += found[0]
    return round(total_kib / 1024, 2)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that live; none where the system does not tell."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended since it was listed
            found += map(int, task.read_text(encoding="ascii").split())
    return found


def own_and_children_mib() -> tuple[float | None, float | None]:
    """Return what this process holds, and that with its children's."""
    own = os.getpid()
    return held_mib([own]), held_mib([own, *children_of(own)])

"""`--threads auto`: how many threads an inference takes on this machine, measured once and remembered.

More threads are not always faster: small models lose more by waiting for one another than they win, and a processor
with two threads a core has half of the cores that it seems to have. What was found is kept for model, provider, machine
and packages; where one of them changes, it is measured again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aae_detect.bench.machine import count_usable_cores, fingerprint
from aae_detect.golden import run_or_refuse
from aae_detect.graph_run import make_run
from aae_detect.model_file import ModelFile
from aae_detect.session import open_session
from aae_detect.whole_file import replace_file

_TURNS, _RUNS, _WARMUP = 5, 6, 3
"""Every number of threads is measured in turns, so that what else the machine does hits all alike."""

_WORTH = 0.05
"""Share of the time that more threads must save: a core that is left alone serves camera, disk and window."""

_MOST_KEPT = 200
"""Entries of the file; the oldest go first."""


def choose_threads(model: ModelFile, provider: str, options: Mapping[str, str] | None = None) -> int:
    """Return how many threads to take, from the file of what was measured before, or by measuring now (a second or so).

    Args:
        model: The model.
        provider: As `open_session` takes it.
        options: Of the provider.

    Raises:
        ModelError: the model does not run.
    """
    if (threads := remembered_threads(model, provider)) is not None:
        return threads
    chosen = pick(measure(model, provider, options, candidates(count_usable_cores())))
    if (path := memory_path()) is None:
        return chosen
    known, key = _read(path), _key(model, provider)
    known.pop(key, None)
    entries = [*known.items(), (key, chosen)][-_MOST_KEPT:]
    with suppress(OSError):  # a device without a place to write measures at every start
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, (json.dumps(dict(entries), indent=1) + "\n").encode())
    return chosen


def remembered_threads(model: ModelFile, provider: str) -> int | None:
    """Return what was measured before on this machine; None where nothing was."""
    path = memory_path()
    threads = None if path is None else _read(path).get(_key(model, provider))
    return threads if isinstance(threads, int) and 1 <= threads <= count_usable_cores() else None


def _key(model: ModelFile, provider: str) -> str:
    return f"{model.sha256[:16]} {provider} {fingerprint()}"


def memory_path() -> Path | None:
    """Return the file in which the choice is remembered: under XDG_CACHE_HOME, else ~/.cache; None without a home."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if root.startswith("~"):  # a user whom the system does not know
        return None
    return Path(root) / "aae-detect" / "threads.json"


def candidates(cores: int) -> list[int]:
    """Return the numbers worth trying: powers of two below the number of cores, half of the cores, and all of them."""
    powers = {2**power for power in range(cores.bit_length()) if 2**power <= cores}
    return sorted(powers | {max(1, cores // 2), cores})


def pick(times_ms: Mapping[int, float]) -> int:
    """Choose the fewest threads that are as fast as any, but for a twentieth."""
    fastest = min(times_ms.values())
    return min(threads for threads, ms in times_ms.items() if ms <= fastest * (1 + _WORTH))


def measure(
    model: ModelFile, provider: str, options: Mapping[str, str] | None, threads: Sequence[int]
) -> dict[int, float]:
    """Time an inference with each number of threads; returns medians of the turns' medians, milliseconds."""
    image = np.full((1, *model.spec.input_hw, 3), 128, np.uint8)
    runs: dict[int, Callable[[Any], Any]] = {}
    for count in threads:
        session, loaded, _ = open_session(model.content, provider, count, options)
        runs[count] = partial(run_or_refuse, make_run(session, loaded), provider=loaded)
    found: dict[int, list[float]] = {count: [] for count in threads}
    for _ in range(_TURNS):
        for count, run in runs.items():
            for _ in range(_WARMUP):
                run(image)
            found[count].append(float(np.median([_time(run, image) for _ in range(_RUNS)])))
    return {count: float(np.median(times)) for count, times in found.items()}


def _time(run: Callable[[Any], Any], image: Any) -> float:
    start = time.perf_counter_ns()
    run(image)
    return (time.perf_counter_ns() - start) * 1e-6


def _read(path: Path) -> dict[str, Any]:
    """Read what was measured before; a file that is damaged or not there is none."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}

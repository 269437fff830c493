"""Takes turns between models in two processes, of which only one computes at a time. Imported by `peers.py`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

WORKER = Path(__file__).with_name("peer_worker.py")

PERCENTILES = (50, 95, 99)

_REST_S = 0.05
"""Between blocks: the threads of the one before wait for work in a loop for some milliseconds before they sleep."""

_FEWEST_ROUNDS = 3
_FEWEST_RUNS, _MOST_RUNS = 2, 500
"""Of a block."""


class PeerError(Exception):
    """The peers' process refused a request, or ended."""


class PeerProcess:
    """`peer_worker.py` under the Python of another environment."""

    def __init__(self, python: Path | str, worker: Path = WORKER) -> None:
        """Start it.

        Raises:
            PeerError: there is no such Python.
        """
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        # Ours would lead its imports to this environment's packages.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        try:
            self._process = subprocess.Popen(
                [python, worker],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=environment,
            )
        except OSError as error:
            self._errors.close()
            raise PeerError(f"{python} cannot be started: {error.strerror}") from error

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            PeerError: it failed, or the process has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            last = [text.strip() for text in self._errors.read().splitlines() if text.strip()][-1:]
            raise PeerError(f"the peers' process ended with code {self._process.wait()}: {''.join(last) or 'silently'}")
        try:
            answer: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError as error:
            raise PeerError(f"the peers' process answered {line.strip()[:80]!r}; is that a Python?") from error
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()  # it ends by itself at the end of its input
        except BrokenPipeError:
            pass
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()


@dataclass(eq=False)
class Entry:
    """Something that is run in turn with others."""

    named: dict[str, Any]
    """What its row says of it beside the times: `model`, `runtime`, `precision`, `stage` and so on."""

    run: Callable[[int, int], list[float]]
    """(untimed runs, timed runs) -> milliseconds of each timed one."""

    blocks_ms: list[list[float]] = field(default_factory=list)
    """Times of each round."""

    def row(self) -> dict[str, Any]:
        """Describe what was measured."""
        times = np.concatenate([np.asarray(block) for block in self.blocks_ms])
        found = np.percentile(times, PERCENTILES)
        return {
            **self.named,
            "ms": {f"p{name}": round(float(value), 4) for name, value in zip(PERCENTILES, found, strict=True)},
            "round_medians_ms": [round(float(np.median(block)), 4) for block in self.blocks_ms],
            "runs": len(times),
        }


def take_turns(entries: Sequence[Entry], rounds: int, block_s: float, most_s: float, rest_s: float = _REST_S) -> None:
    """Run every entry once in each round: a block of runs in one go, the first ones untimed.

    Every other round goes backwards, so that what comes and goes with the time hits all alike.

    Args:
        entries: What to run; their `blocks_ms` are filled.
        rounds: How many there are at the most.
        block_s: A block lasts so long, but at least two runs.
        most_s: No round begins after so much time, once there are three.
        rest_s: Nothing runs for so long before each block.
    """
    began = time.perf_counter()
    turns = [(entry, count_runs(_try_run_ms(entry, block_s), block_s)) for entry in entries]
    for done in range(rounds):
        if done >= _FEWEST_ROUNDS and time.perf_counter() - began > most_s:
            return
        for entry, count in turns[:: -1 if done % 2 else 1]:
            time.sleep(rest_s)
            entry.blocks_ms.append(entry.run(warm_ups(count), count))


def _try_run_ms(entry: Entry, block_s: float) -> float:
    """Find about how long a run takes; the first ones of a quick one say little."""
    found = entry.run(1, 1)[0]
    return found if found > 100 * block_s else float(np.median(entry.run(2, 5)))


def count_runs(run_ms: float, block_s: float) -> int:
    """Return how many runs of such a length fill a block."""
    return min(_MOST_RUNS, max(_FEWEST_RUNS, math.ceil(1000 * block_s / max(run_ms, 1e-3))))


def warm_ups(repeats: int) -> int:
    """Return how many untimed runs come before so many timed ones: a fifth."""
    return max(1, repeats // 5)

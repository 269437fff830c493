"""How a run is doing, on one screen of a terminal: for tuning on the device."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TextIO

import numpy as np

from aae_detect.detection import Verdict
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.log_lines import write_text

_WINDOW_S = 2.0
"""Figures are of so many last seconds."""

_REPAINT_S, _LINE_S = 0.5, 10.0
"""How often the screen is painted; where there is none, how often a line is written per source."""

_LAST_S = 2.0
"""How long the last picture may take to be painted."""

_HEAD = f"{'source':<24}{'in/s':>7}{'judged/s':>9}{'dropped':>9}{'pre':>7}{'infer':>7}{'post':>7}"
_HEAD += f"{'age p50':>9}{'p95 ms':>8}{'OK':>9}{'NG':>7}{'UNKNOWN':>8}"


class StreamStats(Output):
    """Figures of one source."""

    def __init__(self, name: str, outputs: Sequence[Output], every: int = 1) -> None:
        """Take note of a source.

        Args:
            name: The source's.
            outputs: Its other outputs, whose drops are shown.
            every: Each so-many-th frame is judged; those between are not dropped.
        """
        self.name = name
        self._outputs, self._every = outputs, every
        self._verdicts: Counter[Verdict] = Counter()
        self._recent: deque[tuple[float, int, float, tuple[float, ...]]] = deque()
        self._lost: Signal | None = None
        self._dropped = 0
        self._last_index: int | None = None
        self._lock = threading.Lock()

    def take(self, judged: Judged) -> bool:
        """Note a frame."""
        latency = judged.event["latency_ms"]
        stages = (latency["preprocess"], latency["inference"], latency["postprocess"])
        now = time.monotonic()
        with self._lock:
            self._lost = None
            self._verdicts[judged.verdict] += 1
            if self._last_index is not None:
                self._dropped += max(0, judged.frame.index - self._last_index - self._every)
            self._last_index = judged.frame.index
            self._recent.append((now, judged.frame.index, judged.age_ms, stages))
            while self._recent[0][0] < now - _WINDOW_S:
                self._recent.popleft()
        return True

    def signal(self, signal: Signal) -> None:
        """Note that the camera is gone, until its next frame."""
        if signal.lost:
            with self._lock:
                self._lost = signal

    def close(self) -> None:
        """Nothing is held open."""

    def line(self) -> str:
        """Say it in one line, under `_HEAD`."""
        with self._lock:
            recent, lost, verdicts = list(self._recent), self._lost, Counter(self._verdicts)
            dropped = f"{self._dropped:>9}"
        name = f"{self.name[:23]:<24}"
        counts = f"{verdicts[Verdict.OK]:>9}{verdicts[Verdict.NG]:>7}{verdicts[Verdict.UNKNOWN]:>8}"
        if lost is not None:
            return f"{name}{f'no signal since {lost.at:%H:%M:%S}':<63}{counts}"
        if len(recent) < 2:
            return f"{name}{'waiting for frames':<63}{counts}"
        span_s = recent[-1][0] - recent[0][0] or 1e-9
        ages = [age for _, _, age, _ in recent]
        stages = np.median([times for *_, times in recent], axis=0)
        rates = f"{(recent[-1][1] - recent[0][1]) / span_s:>7.1f}{(len(recent) - 1) / span_s:>9.1f}"
        times = "".join(f"{stage:>7.2f}" for stage in stages)
        return f"{name}{rates}{dropped}{times}{np.median(ages):>9.1f}{np.percentile(ages, 95):>8.1f}{counts}"

    def drops(self) -> str:
        """Say which outputs could not keep up; empty where all could."""
        found = [f"{getattr(output, 'name', '')} {output.dropped}" for output in self._outputs if output.dropped]
        return f"{self.name}: frames too many for {', '.join(found)}" if found else ""


class StatsScreen:
    """A thread that paints the figures until it is closed: over and over in a terminal, else now and then a line."""

    def __init__(
        self,
        streams: Sequence[StreamStats],
        screen: TextIO | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Begin to paint.

        Args:
            streams: Whose figures.
            screen: Where to; standard error by default.
            say: Gets the lines instead, one by one; for programs that read what is said.
        """
        self._streams = streams
        self._screen: TextIO | None = screen or sys.stderr
        self._say = say
        self._terminal = say is None and self._screen is not None and self._screen.isatty()
        self._painted = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._paint_on, name="stats", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Paint once more, and end."""
        self._closing.set()
        self._thread.join(_LAST_S)  # a terminal that was stopped would never take the last picture

    def _paint_on(self) -> None:
        while not self._closing.wait(_REPAINT_S if self._terminal else _LINE_S):
            self._paint()
        self._paint()

    def _paint(self) -> None:
        lines = [_HEAD, *(stream.line() for stream in self._streams)]
        lines += [drops for stream in self._streams if (drops := stream.drops())]
        if self._say is not None:
            for line in lines:
                self._say(line)
            return
        # Up to where the last picture began, and clear from there: what was printed before stays.
        up = f"\x1b[{self._painted}F\x1b[J" if self._terminal and self._painted else ""
        self._painted = len(lines)
        write_text(self._screen, up + "\n".join(lines) + "\n")

"""What a person sees of a training run: a bar with losses and the time left, and a Ctrl-C that loses nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from aae_train.family import Losses
from aae_train.stage import Progress as StageProgress
from aae_train.stage import Stage

_LINE_SECONDS = 15.0
_SHORT = {
    "reconstruction": "rec",
    "discriminator": "disc",
    "generator": "gen",
    "mmd": "mmd",
    "kl": "kl",
    "head": "head",
}


class ProgressBar:
    """A bar on a terminal; a line now and then where the output goes to a file or a log."""

    def __init__(self, shown: bool = True) -> None:
        """Make a bar; one that is not shown says nothing, as in processes that do not lead."""
        console = Console(stderr=True, quiet=not shown)
        self._terminal = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn(
                "{task.percentage:>3.0f}% step {task.fields[step]}  {task.fields[losses]}  left {task.fields[left]}"
            ),
            console=console,
            disable=not self._terminal,
        )
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._next_line = 0.0

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, stage: Stage, done: float, losses: Losses, progress: StageProgress) -> None:
        """Show one step; see `aae_train.stage.Listener`."""
        left = _clock(progress.seconds * (1 - done) / done) if done > 0 else "?"
        shown = [f"{_SHORT[name]} {value:.3g}" for name, value in losses.items() if name in _SHORT]
        if progress.best_score is not None:
            shown.append(f"select {progress.best_score:.3f}")
        text = " ".join(shown)
        if self._terminal:
            if stage.name not in self._tasks:
                self._tasks[stage.name] = self._progress.add_task(stage.name, total=1.0, step=0, losses="", left="?")
            task = self._tasks[stage.name]
            self._progress.update(task, completed=min(1.0, done), step=progress.step, losses=text, left=left)
        elif time.monotonic() >= self._next_line or done >= 1:
            self._next_line = time.monotonic() + _LINE_SECONDS
            self._console.print(
                f"{stage.name} {done:4.0%} step {progress.step} {text} left {left}", highlight=False, soft_wrap=True
            )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop after the step; a second Ctrl-C stops at once."""
    wished: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if wished:
            raise KeyboardInterrupt
        wished.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(wished)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

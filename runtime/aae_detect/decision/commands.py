"""Programs that are run when something is decided: a rejector, a lamp, a script."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable

from aae_detect.decision.decision import Decision
from aae_detect.decision.rules import Command
from aae_detect.judged import Judged, Output
from aae_detect.news import News

_ROOM = 100
"""Decisions that wait while a program runs; more are counted as dropped, and said."""

_CLOSE_S = 10.0


class CommandOutput(Output):
    """Runs programs, one after the other and in order, in a thread of its own: a slow one never holds up a verdict."""

    name = "commands"

    def __init__(self, commands: tuple[Command, ...], say: Callable[[str], None]) -> None:
        """Take what to run, and who is told of what went wrong."""
        self._commands, self._say = commands, say
        self._waiting: queue.Queue[Decision | None] = queue.Queue(_ROOM)
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="commands", daemon=True)
        self._thread.start()

    def take(self, judged: Judged) -> bool:
        """Frames say nothing here."""
        return True

    def tell(self, news: News) -> None:
        """Queue what is to be run; other news run nothing."""
        if not isinstance(news, Decision):
            return
        try:
            self._waiting.put_nowait(news)
        except queue.Full:
            self.dropped += 1
            self._say(f"warning: {news.source}: {news.verdict} was not told, as {_ROOM} commands are waiting")

    def close(self) -> None:
        """Run what waits, and end."""
        self._waiting.put(None)
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while (decision := self._waiting.get()) is not None:
            for command in self._commands:
                if not decision.occasions.isdisjoint(command.on):
                    self._run(command, decision)

    def _run(self, command: Command, decision: Decision) -> None:
        arguments = [_filled(text, decision) for text in command.run]
        try:
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=command.timeout_s
            )
        except subprocess.TimeoutExpired:
            self._say(f"warning: {arguments[0]} did not end within {command.timeout_s:g} s, and was ended")
        except OSError as error:
            self._say(f"warning: {arguments[0]} cannot be run: {error.strerror}")
        except ValueError as error:  # a NUL in what a trigger said
            self._say(f"warning: {arguments[0]} cannot be run: {error}")
        else:
            if done.returncode:
                words = (done.stderr.strip().splitlines() or [""])[-1]
                self._say(f"warning: {arguments[0]} ended with code {done.returncode}{words and f': {words}'}")


def _filled(text: str, decision: Decision) -> str:
    """Fill in what is known of a decision; every other brace stays as it is."""
    score = "" if decision.score is None else f"{decision.score:.6g}"
    values = {"source": decision.source, "verdict": decision.verdict.value, "part": decision.part, "score": score}
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text

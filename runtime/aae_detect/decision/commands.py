"""Programs that are run when something is decided: a rejector, a lamp, a script."""

from __future__ import annotations

import os
import queue
import signal
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
"""How long what waits is run for when the end is near."""

_DEATH_S = 1.0
"""How long a program may take to end once it was killed; the next decision waits for it."""


class CommandOutput(Output):
    """Runs programs, one after the other and in order, in a thread of its own: a slow one never holds up a verdict."""

    name = "commands"

    def __init__(self, commands: tuple[Command, ...], say: Callable[[str], None]) -> None:
        """Take what to run, and who is told of what went wrong."""
        self._commands, self._say = commands, say
        # Room is counted by whoever puts, so that the end can always be put.
        self._waiting: queue.Queue[Decision | None] = queue.Queue()
        self._given_up = False
        self._left: list[subprocess.Popen[str]] = []
        """Programs that could not be ended; looked after when the next one runs, or they would stay as zombies."""

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
        if self._waiting.qsize() < _ROOM:
            self._waiting.put(news)
        else:
            self.dropped += 1
            self._say(f"warning: {news.source}: {news.verdict} was not told, as {_ROOM} commands are waiting")

    def close(self) -> None:
        """Run what waits, for a while, and end."""
        self._waiting.put(None)
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            self._given_up, left = True, max(0, self._waiting.qsize() - 1)  # less the end
            self.dropped += left
            self._say(
                f"warning: a command still runs {_CLOSE_S:g} s after the end, and is left alone; {left} decisions that "
                "wait behind it are not told. A shorter timeout_s ends it sooner"
            )

    def _work(self) -> None:
        while (decision := self._waiting.get()) is not None:
            for command in self._commands:
                if not decision.occasions.isdisjoint(command.on) and not self._given_up:
                    self._run(command, decision)

    def _run(self, command: Command, decision: Decision) -> None:
        self._left = [left for left in self._left if left.poll() is None]
        arguments = [_filled(text, decision) for text in command.run]
        try:
            running = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # with all that it starts it can be ended
            )
        except OSError as error:
            self._say(f"warning: {arguments[0]} cannot be run: {error.strerror}")
            return
        except ValueError as error:  # a NUL in what a trigger said
            self._say(f"warning: {arguments[0]} cannot be run: {error}")
            return
        # Not `with running`, whose end waits for the program without a limit.
        try:
            _, said = running.communicate(timeout=command.timeout_s)
        except subprocess.TimeoutExpired:
            what = f"{arguments[0]} did not end within {command.timeout_s:g} s"
            problem = self._end(running)
            self._say(f"warning: {what}, and {f'cannot be ended: {problem}; it goes on' if problem else 'was ended'}")
            return
        if running.returncode:
            words = (said.strip().splitlines() or [""])[-1]
            self._say(f"warning: {arguments[0]} ended with code {running.returncode}{words and f': {words}'}")

    def _end(self, running: subprocess.Popen[str]) -> str:
        """End a program with all that it started; returns why it goes on, or nothing."""
        problem = ""
        try:
            if os.name == "posix":
                os.killpg(running.pid, signal.SIGKILL)
            else:
                running.kill()
        except OSError as error:  # it may just have ended, or be another user's, by sudo
            problem = error.strerror or str(error)
        if running.stderr is not None:
            running.stderr.close()
        try:
            running.wait(0.0 if problem else _DEATH_S)
        except subprocess.TimeoutExpired:
            self._left.append(running)
            return problem or "it was killed, and does not die"
        return ""


def _filled(text: str, decision: Decision) -> str:
    """Fill in what is known of a decision; every other brace stays as it is."""
    score = "" if decision.score is None else f"{decision.score:.6g}"
    values = {"source": decision.source, "verdict": decision.verdict.value, "part": decision.part, "score": score}
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text

"""Lines of a GPIO chip: a light barrier that triggers, a lamp or an ejector that is switched (libgpiod, Linux)."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aae_detect.decision.decision import Decision
from aae_detect.decision.line_trigger import LineTrigger
from aae_detect.decision.rules import GpioLine
from aae_detect.errors import ConfigError, InstallError
from aae_detect.judged import Judged, Output
from aae_detect.news import News

if TYPE_CHECKING:
    from gpiod import LineRequest, LineSettings

_CONSUMER = "aae-detect"
_LOOK_S = 0.2
_CLOSE_S = 5.0
"""How much later than planned the last pulse may be when the end is near."""


class GpioOutput(Output):
    """Switches lines by what is decided, in a thread of its own; all of them are off before, and off in the end."""

    name = "gpio"

    def __init__(self, lines: Sequence[GpioLine], say: Callable[[str], None]) -> None:
        """Take the lines, which nobody else may have, and who is told of what went wrong.

        Raises:
            ConfigError: a line cannot be had.
            InstallError: the package gpiod is missing.
        """
        self._lines, self._say = tuple(lines), say
        self._requests = [request_output(line) for line in self._lines]
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, int, bool]] = []
        """When, in which order, which line, on or off."""

        self._order = itertools.count()
        self._until_s = [0.0] * len(self._lines)
        """Until when a pulse lasts."""

        self._closing, self._last_s = False, float("inf")
        self._thread = threading.Thread(target=self._work, name="gpio", daemon=True)
        self._thread.start()

    def take(self, judged: Judged) -> bool:
        """Frames switch nothing."""
        return True

    def tell(self, news: News) -> None:
        """Plan what a decision switches."""
        if not isinstance(news, Decision):
            return
        now = time.monotonic()
        with self._changed:
            for number, line in enumerate(self._lines):
                meant, at_s = not news.occasions.isdisjoint(line.on), now + line.delay_s
                if line.pulse_s and meant:
                    self._plan(at_s, number, True)
                    self._plan(at_s + line.pulse_s, number, False)
                elif not line.pulse_s:
                    self._plan(at_s, number, meant)
            self._changed.notify()

    def close(self) -> None:
        """Give the pulses that are planned, however late they are due, and let go of the lines.

        A part that was decided on may be on its way to the ejector.
        """
        with self._changed:
            now = time.monotonic()
            planned_s = max((at_s for at_s, _, number, _ in self._due if self._lines[number].pulse_s), default=now)
            self._closing, self._last_s = True, max(now, planned_s) + _CLOSE_S
            self._changed.notify()
        self._thread.join(self._last_s - now + _CLOSE_S)

    def _plan(self, at_s: float, number: int, on: bool) -> None:
        heapq.heappush(self._due, (at_s, next(self._order), number, on))

    def _work(self) -> None:
        while (step := self._next()) is not None:
            at_s, number, on = step
            pulse_s = self._lines[number].pulse_s
            if on and pulse_s:
                self._until_s[number] = at_s + pulse_s
            if on or not pulse_s or at_s >= self._until_s[number]:  # a later pulse goes on where an earlier one ends
                self._switch(number, on)
        for number, request in enumerate(self._requests):
            self._switch(number, False)
            request.release()

    def _next(self) -> tuple[float, int, bool] | None:
        """Wait for what is due; None once closed, when all pulses have been given or time is up."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    at_s, _, number, on = heapq.heappop(self._due)
                    return at_s, number, on
                if now >= self._last_s or (
                    self._closing and not any(self._lines[n].pulse_s for _, _, n, _ in self._due)
                ):
                    return None
                wake_s = min(self._due[0][0] if self._due else float("inf"), self._last_s)
                self._changed.wait(None if wake_s == float("inf") else wake_s - now)

    def _switch(self, number: int, on: bool) -> None:
        from gpiod.line import Value

        line = self._lines[number]
        try:
            self._requests[number].set_value(line.offset, Value.ACTIVE if on else Value.INACTIVE)
        except OSError as error:
            self.dropped += 1
            self._say(f"warning: {line.line} could not be switched {'on' if on else 'off'}: {error.strerror}")


class GpioTrigger(LineTrigger):
    """Each time that a line becomes active, a part is there."""

    def __init__(self, line: GpioLine, say: Callable[[str], None]) -> None:
        """Begin to listen; `say` is told when the line cannot be heard.

        Raises:
            ConfigError: the line cannot be had.
            InstallError: the package gpiod is missing.
        """
        super().__init__(say=say)
        self._line = line
        self._request = request_input(line)
        self._thread = threading.Thread(target=self._listen, name="gpio trigger", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        heard = True
        while True:
            try:
                if self._request.wait_edge_events(_LOOK_S):
                    for edge in self._request.read_edge_events():
                        self.put("", edge.timestamp_ns / 1e9)  # when it was, however late it is read
                heard = True
            except OSError as error:  # a trigger that fell silent unnoticed would let every part pass
                if heard:
                    self._say(f"warning: {self._line.line} cannot be heard: {error.strerror}; parts are missed")
                heard = False
                time.sleep(_LOOK_S)


def request_output(line: GpioLine) -> LineRequest:
    """Have a line for switching, off.

    Raises:
        ConfigError: it cannot be had.
        InstallError: the package gpiod is missing.
    """
    _require_gpiod()
    from gpiod import LineSettings
    from gpiod.line import Direction, Value

    return _request(
        line, LineSettings(direction=Direction.OUTPUT, active_low=line.active_low, output_value=Value.INACTIVE)
    )


def request_input(line: GpioLine) -> LineRequest:
    """Have a line for listening to what makes it active.

    Raises:
        ConfigError: it cannot be had.
        InstallError: the package gpiod is missing.
    """
    _require_gpiod()
    from gpiod import LineSettings
    from gpiod.line import Clock, Direction, Edge

    settings = LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edge.RISING,
        active_low=line.active_low,
        debounce_period=timedelta(seconds=line.debounce_s),
        event_clock=Clock.MONOTONIC,  # the clock of frames
    )
    return _request(line, settings)


def _request(line: GpioLine, settings: LineSettings) -> LineRequest:
    import gpiod

    try:
        return gpiod.request_lines(line.chip, {line.offset: settings}, consumer=_CONSUMER)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        there = ", ".join(sorted(path.name for path in Path("/dev").glob("gpiochip*"))) or "none"
        raise ConfigError(
            f"GPIO line {line.line} cannot be had: {why}; chips that are there: {there}. `gpioinfo` shows their lines "
            "and who has them; the user must be in the group gpio"
        ) from error


def _require_gpiod() -> None:
    try:
        import gpiod  # noqa: F401
    except ImportError as error:
        raise InstallError("GPIO needs the package gpiod; install it with `pip install 'aae-detect[gpio]'`") from error

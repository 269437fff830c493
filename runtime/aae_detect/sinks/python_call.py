"""Events to a function of the user's own."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aae_detect.errors import ConfigError
from aae_detect.sinks.settings import PythonSettings
from aae_detect.sinks.sink import SinkError
from aae_detect.store.stored_event import StoredEvent


class PythonCall:
    """Calls a function with the event and its pictures; what it raises means that the event has not arrived."""

    def __init__(self, settings: PythonSettings) -> None:
        """Load the function.

        Raises:
            ConfigError: there is none, or its file cannot be run.
        """
        self.name = settings.name
        self._types = settings.types
        self._call = load_function(settings.call)

    def deliver(self, events: Sequence[StoredEvent], stop: threading.Event) -> int:
        """See `Sink`."""
        for arrived, stored in enumerate(events):
            if self._types and stored.event.get("type") not in self._types:
                continue
            if arrived and stop.is_set():
                return arrived
            try:
                self._call({"key": stored.key, "number": stored.number, **stored.event}, dict(stored.pictures))
            except Exception as error:  # it is the user's code, and may raise anything
                if arrived:
                    return arrived
                raise SinkError(f"raised {type(error).__name__}: {error}") from error
        return len(events)

    def close(self) -> None:
        """Nothing is held open."""


def load_function(named: str) -> Callable[[dict[str, Any], dict[str, Path]], object]:
    """Load `FILE.py:FUNCTION`.

    Raises:
        ConfigError: the file cannot be run, or holds no such function.
    """
    file, _, name = named.rpartition(":")
    path = Path(file)
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ConfigError(f'call = "{named}"; expected "FILE.py:FUNCTION"')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except Exception as error:  # it is the user's code, and may raise anything
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{path} has no function {name!r}; expected one that takes an event and its pictures")
    return function  # type: ignore[no-any-return]

"""A source that was opened with secrets, which nobody is to read in what it says."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from aae_detect.errors import SourceError
from aae_detect.frames import Frame, FrameSource, Signal
from aae_detect.source_secrets import without_secrets


class SecretSource(FrameSource):
    """Gives what the inner source gives, with `***` where names and errors hold one of its secrets."""

    def __init__(self, source: FrameSource, secrets: Collection[str]) -> None:
        self.name, self.live, self.fps = source.name, source.live, source.fps
        self.notes: tuple[str, ...] = getattr(source, "notes", ())
        self._source, self._secrets = source, secrets

    def read(self) -> Frame | Signal | None:
        """Return the inner source's next.

        Raises:
            SourceError: whatever the inner source raises.
        """
        with hiding(self._secrets):
            item = self._source.read()
        if not isinstance(item, Frame) or (item.source == self.name and not item.problem):
            return item
        # A picture has its own path for a source.
        source, problem = (without_secrets(text, self._secrets) for text in (item.source, item.problem))
        return replace(item, source=source, problem=problem)

    def close(self) -> None:
        """Close the inner source."""
        self._source.close()


@contextmanager
def hiding(secrets: Collection[str]) -> Iterator[None]:
    """Have errors say `***` for secrets: they reach logs, brokers and whoever reads events.

    Raises:
        SourceError: in place of any error inside the block, where there are secrets.
    """
    try:
        yield
    except Exception as error:
        if not secrets:
            raise
        raise SourceError(without_secrets(str(error) or type(error).__name__, secrets)) from None

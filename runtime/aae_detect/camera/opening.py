"""How every command opens what it is to look at: cameras watched, in a process of their own, and files here."""

from __future__ import annotations

from collections.abc import Callable

from aae_detect.camera.watched import WatchedCamera
from aae_detect.frames import FrameSource
from aae_detect.source_settings import SourceSettings, open_with


def open_asked(settings: SourceSettings, say: Callable[[str], None]) -> FrameSource:
    """Open a source; a camera opens while the caller goes on, and `connect` waits for it.

    Args:
        settings: What to look at.
        say: Told what a camera does not take of what it is asked for, see `WatchedCamera`.

    Raises:
        SourceError: a file cannot be opened.
        ConfigError: a secret is missing.
    """
    return WatchedCamera(settings, say) if settings.live else open_with(settings)


def connect(source: FrameSource, wait: bool = False) -> None:
    """See that a camera is there.

    Args:
        source: From `open_asked`; closed where it is not there.
        wait: Whether a camera that is not there yet is waited for, by whoever reads.

    Raises:
        SourceError: it is not there, and not waited for.
    """
    if wait or not isinstance(source, WatchedCamera):
        return
    try:
        source.connect()
    except BaseException:
        source.close()
        raise

"""What `aae-capture` does once its options are known."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import click

from aae_detect.camera.opening import connect, open_asked
from aae_detect.capture.hints import Hints
from aae_detect.errors import ConfigError, FrameError, SourceError
from aae_detect.feed import Feed, FileFeed, LiveFeed
from aae_detect.frame_statistics import measure_frame
from aae_detect.frames import Frame, Pixels, Signal
from aae_detect.picture_bytes import encode_picture
from aae_detect.preprocess import prepare
from aae_detect.stop_signals import stop_on_signals
from aae_detect.stream_settings import StreamSettings
from aae_detect.whole_file import replace_file

_LOOKED_AT_HW = (256, 256)
_LINE_S = 0.5
"""How often the line of hints is written."""

_STOPPED = 130


@dataclass
class _Tally:
    kept: int = 0
    alike: int = 0
    unreadable: int = 0


def run(stream: StreamSettings, out: Path, count: int, keep_alike: bool) -> int:
    """Take pictures until there are enough, the source ends, or somebody stops it; returns the exit code.

    Raises:
        AaeDetectError: the source or the folder cannot be used.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be made: {error.strerror}") from error
    asked = stream.source
    source = open_asked(asked, _say)
    connect(source)
    changed, stop = threading.Condition(), threading.Event()
    feed: Feed = LiveFeed(source, changed) if source.live else FileFeed(source)
    tally = _Tally()
    try:
        with stop_on_signals(stop):
            _take(feed, stream, out, count, keep_alike, tally, changed, stop)
    finally:
        feed.close()
    _say(_sentence(tally, out))
    if tally.kept == 0 and not stop.is_set():
        raise SourceError(f"{asked.shown_name} gave no picture that could be kept")
    return _STOPPED if stop.is_set() else 0


def _take(
    feed: Feed,
    stream: StreamSettings,
    out: Path,
    count: int,
    keep_alike: bool,
    tally: _Tally,
    changed: threading.Condition,
    stop: threading.Event,
) -> None:
    hints, asked, live = Hints(), stream.source, stream.source.live
    next_index, due_s, line_s = 0, 0.0, 0.0
    while not stop.is_set() and tally.kept < count and not feed.ended:
        if not feed.ready:
            with changed:
                changed.wait(0.1)
            continue
        item = feed.take()
        if isinstance(item, Signal):
            _say(f"{item.source}: {f'no signal, {item.reason}' if item.lost else 'back'}")
        now = time.monotonic()
        if not isinstance(item, Frame) or item.index < next_index or (live and now < due_s):
            continue
        next_index = item.index + asked.every
        due_s = now + 1 / asked.most_fps if asked.most_fps else now
        try:
            if item.image is None:
                raise FrameError(item.problem)
            frame = measure_frame(prepare(item.image, _LOOKED_AT_HW, "stretch", asked.camera.bits)[0])
        except FrameError:
            tally.unreadable += 1
            continue
        problems = hints.look(frame)
        if keep_alike or hints.is_new(frame):
            _save(out, item.image)
            hints.keep(frame)
            tally.kept += 1
        else:
            tally.alike += 1
        if now >= line_s or tally.kept == count:
            line_s = now + _LINE_S
            light = f"brightest {frame.light.brightest:.0f}, sharpness {frame.sharpness:+.2f}"
            advice = "; ".join(problems) or "fine"
            _say(f"{tally.kept}/{count} kept, {tally.alike} alike; {light}: {advice}", again=True)
    if sys.stderr.isatty():
        _say("")


def _save(folder: Path, image: Pixels) -> None:
    """Write a picture as the camera gave it, under the next free number."""
    number = 1 + max((int(path.stem) for path in folder.glob("*.png") if path.stem.isdigit()), default=0)
    try:
        replace_file(folder / f"{number:06d}.png", encode_picture(".png", image))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error


def _sentence(tally: _Tally, out: Path) -> str:
    words = f"{tally.kept} pictures kept in {out}, {tally.alike} left out as alike"
    if tally.unreadable:
        words += f", {tally.unreadable} could not be read"
    return f"{words}; next: look through them, then aae-train {out}"


def _say(text: str, again: bool = False) -> None:
    """Write a line on standard error; where that is a terminal, over the one before it."""
    if again and sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{text}", err=True, nl=False)
    else:
        click.echo(text, err=True)

"""What `aae-detect` does once its options are known: put the parts together, run the loop, say what happened."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from aae_detect import __version__
from aae_detect.camera.opening import connect, open_asked
from aae_detect.decision.commands import CommandOutput
from aae_detect.decision.decider import Decider
from aae_detect.decision.rules import Command
from aae_detect.demo import DemoCamera
from aae_detect.demo_tally import DemoTally
from aae_detect.display import window_problem
from aae_detect.drawer import Drawer
from aae_detect.errors import ConfigError
from aae_detect.frames import FrameSource
from aae_detect.judged import Output
from aae_detect.last_words import exit_code, last_words
from aae_detect.live_stats import StatsScreen, StreamStats
from aae_detect.loop import Stream, Summary, run_loop
from aae_detect.outputs import EventOutput, NewsLines, NgOutput, SignalLines, VideoOutput
from aae_detect.queued_output import QueuedOutput
from aae_detect.reload import reload_on_sighup
from aae_detect.service_notify import ServiceNotify
from aae_detect.session import AUTO
from aae_detect.stop_signals import stop_on_signals
from aae_detect.store.event_store import EventStore, Retention
from aae_detect.store.store_output import StoreOutput, run_event
from aae_detect.stream_judges import Judges, Models, load_deciders, load_judges
from aae_detect.stream_settings import StreamSettings
from aae_detect.window import KEYS_HELP
from aae_detect.window_output import EveryFrame, LiveWindow, Newest

_DEFAULT_FPS = 25.0
"""Of a saved video, where the source does not tell its own."""

_ROOM, _LINES_ROOM = 2, 1000
"""Frames that may wait for a slow disk: pictures are large, event lines are not."""


@dataclass(frozen=True)
class Settings:
    """The options of `aae-detect`; see its help."""

    streams: tuple[StreamSettings, ...]
    demo: bool = False
    provider: str = AUTO
    provider_options: Mapping[str, str] = field(default_factory=dict)
    threads: int | Literal["auto"] = 0
    window: bool = True
    save_video: Path | None = None
    jsonl: str | None = None
    save_ng: Path | None = None
    store: Path | None = None
    show_reconstruction: bool = True
    max_frames: int | None = None
    stats: bool = False
    wait: bool = False
    """Whether to wait for a camera that is not there at the start, as for one that is lost later."""


def run(settings: Settings) -> int:
    """Run until the end; returns the exit code.

    Raises:
        AaeDetectError: before the first frame: a setting, the model or the source cannot be used.
    """
    with ExitStack() as closing:
        window = settings.window and _can_open_window()
        sources = []
        for stream in settings.streams:  # cameras open in processes of their own, while the models load
            sources.append(_open(settings, stream, watched=window))
            closing.callback(sources[-1].close)
        default = demo_model_path() if settings.demo else None
        make_models = partial(Models, settings.provider, settings.threads, settings.provider_options, default, _say)
        load = partial(load_judges, settings.streams, make_models)
        judges, deciders = load(), load_deciders(settings.streams)
        for source in sources:
            connect(source, _say, settings.wait)
        store = _open_store(settings, judges, closing)
        streams, live_window, tally = _put_together(settings, sources, judges, deciders, window, store)
        if settings.stats:
            closing.callback(_show_stats(streams).close)
        service = ServiceNotify()
        with reload_on_sighup(streams, load):
            service.ready()
            summaries = _run(settings, streams, live_window, service)
        service.stopping()
    for line in last_words(streams, summaries):
        _say(line)
    if tally is not None:
        _say(tally.sentence())
    _say_where(settings)
    for summary in summaries:
        if summary.failure is not None:
            _say(f"error: {summary.failure}")
    return exit_code(summaries)


def _open_store(settings: Settings, judges: Sequence[Judges], closing: ExitStack) -> EventStore | None:
    """Open the store of events, which notes when the run begins and when it ends."""
    if settings.store is None:
        return None
    store = EventStore(settings.store)
    names = ", ".join(stream.source.shown_name for stream in settings.streams)
    models = sorted({of_source.detector.model_sha256 for of_source in judges})

    def keep(kind: str, **details: Any) -> None:
        try:
            store.append(run_event(kind, names, **details))
        except ConfigError as error:  # a full disk must neither keep a line from starting nor hide how it ended
            _say(f"warning: {error}")

    keep("start", models=models, version=__version__)
    closing.callback(store.close)
    closing.callback(keep, "stop")
    return store


def demo_model_path() -> Path:
    """Return where the shipped demo model lies."""
    return Path(str(files("aae_detect") / "data" / "demo.onnx"))


def _can_open_window() -> bool:
    problem = window_problem()
    if problem:
        _say(f"no window: {problem}")
    return problem is None


def _open(settings: Settings, stream: StreamSettings, watched: bool) -> FrameSource:
    if settings.demo:
        return DemoCamera(live=watched)  # paced for a person who watches, as fast as it goes for a file
    return open_asked(stream.source)


def _put_together(
    settings: Settings,
    sources: Sequence[FrameSource],
    judges: Sequence[Judges],
    deciders: Sequence[tuple[Decider | None, tuple[Command, ...]]],
    window: bool,
    store: EventStore | None,
) -> tuple[list[Stream], LiveWindow | None, DemoTally | None]:
    """Give each source its detector and its outputs."""
    live = any(source.live for source in sources)
    events = _queued(EventOutput(settings.jsonl), live, pictures=False) if settings.jsonl is not None else None
    streams, newest, tally = [], [], None
    for wanted, source, of_source, (decider, commands) in zip(settings.streams, sources, judges, deciders, strict=True):
        detector = of_source.detector
        note = source.name if len(sources) > 1 else ""
        drawer = Drawer(detector.colour_scale, inset=settings.show_reconstruction, note=note, mask=detector.mask)
        outputs: list[Output] = [SignalLines(_say)] if live else []
        if isinstance(source, DemoCamera):
            tally = DemoTally(source)
            outputs.append(tally)
        if events is not None:
            outputs.append(events)
        if settings.save_video is not None:
            path = _path_of(settings.save_video, source, len(sources))
            outputs.append(_queued(VideoOutput(path, source.fps or _DEFAULT_FPS, drawer), live))
        if settings.save_ng is not None:
            folder = settings.save_ng if len(sources) == 1 else settings.save_ng / _slug(source.name)
            outputs.append(_queued(NgOutput(folder, drawer), live))
        if store is not None:
            outputs.append(_queued(StoreOutput(store, Retention(), drawer, _say), live, events_room=_LINES_ROOM))
        if window and live:
            newest.append(Newest(drawer))
            outputs.append(newest[-1])
        elif window:
            outputs.append(EveryFrame(f"aae-detect {source.name}", drawer, snapshots=Path.cwd()))
        height, width = detector.spec.input_hw
        model = f"{detector.spec.family} {width}x{height} on {detector.provider}"
        _say(f"{source.name}: {model}, NG above {detector.threshold:.4g}")
        asked = wanted.source
        outputs.append(NewsLines(_say))
        if commands:
            outputs.append(CommandOutput(commands, _say))
        streams.append(
            Stream(
                source,
                detector,
                outputs,
                checks=of_source.checks,
                bits=asked.camera.bits,
                every=asked.every,
                most_fps=asked.most_fps,
                decider=decider,
                drift=of_source.drift,
            )
        )
    if window:
        _say(f"keys: {KEYS_HELP}")
    title = f"aae-detect {sources[0].name}" if len(sources) == 1 else f"aae-detect: {len(sources)} sources"
    return streams, LiveWindow(title, newest, Path.cwd()) if newest else None, tally


def _queued(output: Output, live: bool, pictures: bool = True, events_room: int = 0) -> Output:
    """Keep a slow disk from holding up cameras; files wait for it, because each of their frames counts."""
    return QueuedOutput(output, _ROOM if pictures else _LINES_ROOM, pictures, events_room) if live else output


def _path_of(path: Path, source: FrameSource, count: int) -> Path:
    return path if count == 1 else path.with_stem(f"{path.stem}-{_slug(source.name)}")


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "source"


def _run(
    settings: Settings, streams: Sequence[Stream], window: LiveWindow | None, service: ServiceNotify
) -> list[Summary]:
    """Run the loop; beside a window for cameras in a thread, because windows need the main one."""
    stop = threading.Event()
    with stop_on_signals(stop):
        if window is None:
            return run_loop(streams, stop, settings.max_frames, service.alive)
        return _run_beside(window, streams, stop, settings.max_frames, service)


def _run_beside(
    window: LiveWindow,
    streams: Sequence[Stream],
    stop: threading.Event,
    max_frames: int | None,
    service: ServiceNotify,
) -> list[Summary]:
    done = threading.Event()
    summaries: list[Summary] = []
    failures: list[BaseException] = []

    def judge() -> None:
        try:
            summaries.extend(run_loop(streams, stop, max_frames, service.alive))
        except BaseException as error:  # raised again below
            failures.append(error)
        done.set()

    judging = threading.Thread(target=judge, name="judge")
    judging.start()
    try:
        window.show_until(done)
        window.close()
    finally:
        stop.set()
        judging.join()
    if failures:
        raise failures[0]
    return summaries


def _show_stats(streams: Sequence[Stream]) -> StatsScreen:
    figures = [StreamStats(stream.source.name, stream.outputs) for stream in streams]
    for stream, of_stream in zip(streams, figures, strict=True):
        stream.outputs = [*stream.outputs, of_stream]
    return StatsScreen(figures)


def _say_where(settings: Settings) -> None:
    """Say where to look."""
    for what, path in (
        ("overlay video", settings.save_video),
        ("events", settings.jsonl),
        ("NG frames", settings.save_ng),
        ("store", settings.store),
    ):
        if path is not None and str(path) != "-":
            _say(f"{what}: {path}")


def _say(text: str) -> None:
    """Print on standard error, because standard output may carry events."""
    print(text, file=sys.stderr, flush=True)

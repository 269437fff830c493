"""What `aae-detect` does once its options are known: put the parts together, run the loop, say what happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from aae_detect import __version__
from aae_detect.camera.opening import connect, open_asked
from aae_detect.demo import DemoCamera
from aae_detect.display import window_problem
from aae_detect.errors import ConfigError
from aae_detect.frames import FrameSource
from aae_detect.last_words import exit_code, last_words
from aae_detect.live_stats import StatsScreen, StreamStats
from aae_detect.log_lines import log_lines
from aae_detect.loop import Stream, run_loop
from aae_detect.reload import reload_on_sighup
from aae_detect.run_settings import Settings
from aae_detect.run_streams import put_together
from aae_detect.service_notify import ServiceNotify
from aae_detect.side_by_side import share_cores
from aae_detect.signature import OwnerKey
from aae_detect.sinks.opening import Sinks
from aae_detect.sinks.settings import SinkSettings, read_sinks, require_store
from aae_detect.stop_signals import stop_on_signals
from aae_detect.store.event_store import EventStore
from aae_detect.store.store_output import run_event
from aae_detect.stream_judges import Judges, Models, load_deciders, load_judges
from aae_detect.stream_settings import StreamSettings
from aae_detect.summary import Summary
from aae_detect.window_output import LiveWindow


def run(settings: Settings) -> int:
    """Run until the end; returns the exit code.

    Raises:
        AaeDetectError: before the first frame: a setting, the model or the source cannot be used.
    """
    with log_lines(settings.log) as say:
        return _run_and_say(settings, say)


def _run_and_say(settings: Settings, say: Callable[[str], None]) -> int:
    stop = threading.Event()
    with ExitStack() as closing:
        sinks = _make_sinks(settings, say)
        closing.callback(sinks.close)  # last of all: how the run ended is told, too
        window = settings.window and _can_open_window(say)
        sources = []
        for stream in settings.streams:  # cameras open in processes of their own, while the models load
            sources.append(_open(settings, stream, say, watched=window))
            closing.callback(sources[-1].close)
        default = demo_model_path() if settings.demo else None
        owner = None if settings.require_signature is None else OwnerKey(settings.require_signature)
        models = {stream.model or default for stream in settings.streams}
        threads, at_once = share_cores(len(settings.streams), len(models), settings.threads, settings.provider)
        make_models = partial(Models, settings.provider, threads, settings.provider_options, default, say, owner)
        load = partial(load_judges, settings.streams, make_models)
        judges, deciders = load(), load_deciders(settings.streams, say, sinks.link)
        for source in sources:
            connect(source, settings.wait)
        store = _open_store(settings.store, sources, judges, sinks, say, closing)
        streams, live_window, tally = put_together(settings, sources, judges, deciders, window, store, sinks, say, stop)
        del judges  # kept here, a model would stay in memory after another one was taken
        if settings.stats:
            closing.callback(_show_stats(streams, say if settings.log == "json" else None).close)
        service = ServiceNotify()
        with reload_on_sighup(streams, load):
            service.ready()
            summaries = _run(settings, streams, live_window, service, stop, at_once)
        service.stopping()
    for line in last_words(streams, summaries):
        say(line)
    if tally is not None:
        say(tally.sentence())
    _say_where(settings, say)
    for summary in summaries:
        if summary.failure is not None:
            say(f"error: {summary.failure}")
    return exit_code(summaries)


def _make_sinks(settings: Settings, say: Callable[[str], None]) -> Sinks:
    """Read who is told; who is to get every event needs a store."""
    if settings.sinks is None:
        return Sinks(SinkSettings(), say)
    asked = read_sinks(settings.sinks)
    require_store(settings.sinks, asked, settings.store)
    return Sinks(asked, say)


def _open_store(
    folder: Path | None,
    sources: Sequence[FrameSource],
    judges: Sequence[Judges],
    sinks: Sinks,
    say: Callable[[str], None],
    closing: ExitStack,
) -> EventStore | None:
    """Open the store of events, which notes when the run begins and when it ends, and have it forwarded."""
    names = [source.name for source in sources]
    if folder is None:
        sinks.start(None, names)
        return None
    store = EventStore(folder, waits_for_disk=True)  # such a disk must not keep a line from starting
    if not store.is_open:
        say(f"warning: {store.problem}; no event is kept until it works, which is tried every minute; verdicts go on")
    sinks.start(store, names)
    models = sorted({of_source.detector.model_sha256 for of_source in judges})

    def keep(kind: str, **details: Any) -> None:
        try:
            store.append(run_event(kind, ", ".join(names), **details))
        except ConfigError as error:  # nor may it hide how the line ended
            say(f"warning: {error}")

    if store.is_open:
        keep("start", models=models, version=__version__)
    closing.callback(store.close)
    closing.callback(keep, "stop")
    return store


def demo_model_path() -> Path:
    """Return where the shipped demo model lies."""
    return Path(str(files("aae_detect") / "data" / "demo.onnx"))


def _can_open_window(say: Callable[[str], None]) -> bool:
    problem = window_problem()
    if problem:
        say(f"no window: {problem}")
    return problem is None


def _open(settings: Settings, stream: StreamSettings, say: Callable[[str], None], watched: bool) -> FrameSource:
    if settings.demo:
        return DemoCamera(live=watched)  # paced for a person who watches, as fast as it goes for a file
    return open_asked(stream.source, say)


def _run(
    settings: Settings,
    streams: Sequence[Stream],
    window: LiveWindow | None,
    service: ServiceNotify,
    stop: threading.Event,
    at_once: int,
) -> list[Summary]:
    """Run the loop; beside a window for cameras in a thread, because windows need the main one."""
    judge = partial(run_loop, streams, stop, settings.max_frames, service.alive, at_once)
    with stop_on_signals(stop):
        return judge() if window is None else _run_beside(window, judge, stop)


def _run_beside(window: LiveWindow, judge: Callable[[], list[Summary]], stop: threading.Event) -> list[Summary]:
    done = threading.Event()
    summaries: list[Summary] = []
    failures: list[BaseException] = []

    def judge_all() -> None:
        try:
            summaries.extend(judge())
        except BaseException as error:  # raised again below
            failures.append(error)
        done.set()

    judging = threading.Thread(target=judge_all, name="judge")
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


def _show_stats(streams: Sequence[Stream], say: Callable[[str], None] | None) -> StatsScreen:
    figures = [StreamStats(stream.source.name, stream.outputs, stream.every) for stream in streams]
    for stream, of_stream in zip(streams, figures, strict=True):
        stream.outputs = [*stream.outputs, of_stream]
    return StatsScreen(figures, say=say)


def _say_where(settings: Settings, say: Callable[[str], None]) -> None:
    """Say where to look."""
    for what, path in (
        ("overlay video", settings.save_video),
        ("events", settings.jsonl),
        ("NG frames", settings.save_ng),
        ("store", settings.store),
    ):
        if path is not None and str(path) != "-":
            say(f"{what}: {path}")

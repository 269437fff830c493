"""The streams of a run: each source with its detector and with all who hear of its frames."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from aae_detect.decision.commands import CommandOutput
from aae_detect.decision.decider import Decider
from aae_detect.decision.rules import Rules
from aae_detect.demo import DemoCamera
from aae_detect.demo_tally import DemoTally
from aae_detect.drawer import Drawer
from aae_detect.frames import FrameSource
from aae_detect.judged import Output
from aae_detect.loop import Stream
from aae_detect.outputs import EventOutput, NewsLines, NgOutput, SignalLines, VideoOutput
from aae_detect.queued_output import QueuedOutput
from aae_detect.run_settings import Settings
from aae_detect.sinks.opening import Sinks
from aae_detect.store.event_store import EventStore, Retention
from aae_detect.store.store_output import StoreOutput
from aae_detect.stream_judges import Judges
from aae_detect.window import KEYS_HELP
from aae_detect.window_output import EveryFrame, LiveWindow, Newest

_ROOM, _LINES_ROOM = 2, 1000
"""Frames that may wait for a slow disk: pictures are large, event lines are not."""


def put_together(
    settings: Settings,
    sources: Sequence[FrameSource],
    judges: Sequence[Judges],
    deciders: Sequence[tuple[Decider, Rules] | None],
    window: bool,
    store: EventStore | None,
    sinks: Sinks,
    say: Callable[[str], None],
    stop: threading.Event,
) -> tuple[list[Stream], LiveWindow | None, DemoTally | None]:
    """Give each source its detector and its outputs; also the window for live ones, and who tallies the demo.

    A window that holds a picture lets go of it when `stop` is set.
    """
    live = any(source.live for source in sources)
    events = None
    if settings.jsonl is not None:
        # A service that is started again must not empty its log; who looks at files again wants only what is new.
        lines = EventOutput(settings.jsonl, say, append=live and not settings.demo)
        events = _queued(lines, live, say, pictures=False)
    streams, newest, tally = [], [], None
    names = file_names([source.name for source in sources])
    for wanted, source, of_source, decider, name in zip(
        settings.streams, sources, judges, deciders, names, strict=True
    ):
        detector = of_source.detector
        note = source.name if len(sources) > 1 else ""
        drawer = Drawer(inset=settings.show_reconstruction, note=note)
        outputs: list[Output] = [SignalLines(say)] if source.live else []
        if isinstance(source, DemoCamera):
            tally = DemoTally(source)
            outputs.append(tally)
        if events is not None:
            outputs.append(events)
        if settings.save_video is not None:
            path = settings.save_video
            path = path.with_stem(f"{path.stem}-{name}") if name else path
            outputs.append(_queued(VideoOutput(path, source, drawer), source.live, say))
        if settings.save_ng is not None:
            outputs.append(_queued(NgOutput(settings.save_ng / name, drawer, say), source.live, say))
        if store is not None:
            kept = StoreOutput(store, Retention(), drawer, say)
            outputs.append(_queued(kept, source.live, say, events_room=_LINES_ROOM))
        if window and live:
            newest.append(Newest(drawer))
            outputs.append(newest[-1])
        elif window:
            outputs.append(EveryFrame(f"aae-detect {source.name}", drawer, Path.cwd(), say, stop))
        height, width = detector.spec.input_hw
        model = f"{detector.spec.family} {width}x{height} on {detector.provider}"
        say(f"{source.name}: {model}, NG above {detector.threshold:.4g}")
        asked = wanted.source
        if decider is not None:  # the rejector hears of it before the people
            outputs += _line_outputs(decider[1], say)
        outputs.append(NewsLines(say))
        outputs += sinks.outputs(source.name, detector, outputs)
        streams.append(
            Stream(
                source,
                detector,
                outputs,
                checks=of_source.checks,
                every=asked.every,
                most_fps=asked.most_fps,
                decider=None if decider is None else decider[0],
                drift=of_source.drift,
            )
        )
    if window:
        say(f"keys: {KEYS_HELP}")
    title = f"aae-detect {sources[0].name}" if len(sources) == 1 else f"aae-detect: {len(sources)} sources"
    return streams, LiveWindow(title, newest, Path.cwd(), say) if newest else None, tally


def _line_outputs(rules: Rules, say: Callable[[str], None]) -> list[Output]:
    """Make who acts on decisions."""
    made: list[Output] = [CommandOutput(rules.commands, say)] if rules.commands else []
    if rules.gpio:
        from aae_detect.decision.gpio import GpioOutput

        made.append(GpioOutput(rules.gpio, say))
    return made


def _queued(
    output: Output, live: bool, say: Callable[[str], None], pictures: bool = True, events_room: int = 0
) -> Output:
    """Keep a slow disk from holding up cameras; files wait for it, because each of their frames counts."""
    return QueuedOutput(output, _ROOM if pictures else _LINES_ROOM, pictures, events_room, say) if live else output


def file_names(sources: Sequence[str]) -> list[str]:
    """Name the files of each source; that of one alone is empty, and no two are the same, whatever letters are lost."""
    if len(sources) == 1:
        return [""]
    found: list[str] = []
    taken: set[str] = set()
    for source in sources:
        plain = re.sub(r"[^\w.-]+", "-", source).strip("-") or "source"
        name, number = plain, 1
        while name.casefold() in taken:  # there are disks for which capitals are the same letters
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        found.append(name)
    return found

"""Where judged frames go: a file of events, a video, a folder of NG pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aae_detect.decision.decision import Decision
from aae_detect.detection import Verdict
from aae_detect.drawer import Drawer
from aae_detect.drift import Advice, Drift
from aae_detect.event_lines import EventLines
from aae_detect.events import news_event, signal_event
from aae_detect.frames import FrameSource, Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import News
from aae_detect.ng_folder import NgFolder
from aae_detect.video_writer import VideoFile


class SignalLines(Output):
    """Says in a line when a camera is lost, and when it is back."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def take(self, judged: Judged) -> bool:
        """Frames say nothing here."""
        return True

    def signal(self, signal: Signal) -> None:
        """Say it."""
        moment = signal.at.strftime("%H:%M:%S")
        if signal.lost:
            self._say(f"{moment} {signal.source}: no signal, {signal.reason}; trying again until it is back")
        else:
            self._say(f"{moment} {signal.source}: back after {signal.outage_s:.1f} s")

    def close(self) -> None:
        """Nothing is held open."""


class NewsLines(Output):
    """Says in a line what the line is told, what drifts, and which model judges."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def take(self, judged: Judged) -> bool:
        """Frames say nothing here."""
        return True

    def tell(self, news: News) -> None:
        """Say it."""
        if isinstance(news, Decision):
            words = _decided(news)
        elif isinstance(news, Drift):
            words = _ADVICE[news.advice].format(news)
        else:
            words = f" new model, NG above {news.threshold:.4g}" if news.loaded else f" the model stays: {news.reason}"
        self._say(f"{news.at.strftime('%H:%M:%S')} {news.source}:{words}")

    def close(self) -> None:
        """Nothing is held open."""


def _decided(decision: Decision) -> str:
    part = f" part {decision.part}" if decision.part else ""
    told = "stop" if decision.stop else "pass"
    seen = f"{decision.ng_frames} of {decision.frames} frames NG" if decision.frames else "nobody saw it"
    return f"{part} {decision.verdict}, {seen}: {told}"


_ADVICE: dict[Advice, str] = {
    "recalibrate": " drift: the light is another ({0.light_shift:+.1f} spreads); recalibrate with aae-calibrate",
    "retrain": " drift: the scores of good parts have moved ({0.shift:+.2f} standard deviations), and the light has "
    "not; if the parts are others now, retrain",
    "none": " drift: over",
}


class EventOutput(Output):
    """One JSON line per frame; a disk that is full costs lines, which are counted, and no verdicts."""

    def __init__(self, target: str, say: Callable[[str], None], append: bool = False) -> None:
        """Take where to and whether to add to it, see `EventLines`, and who is told of trouble.

        Raises:
            ConfigError: the file cannot be written.
        """
        self._lines = EventLines(target, append)
        self._name, self._say = f"--jsonl {target}", say
        self._missing = 0
        """Lines that could not be written since the last one that could."""

    def take(self, judged: Judged) -> bool:
        """Write the frame's line."""
        self._write(judged.event)
        return True

    def signal(self, signal: Signal) -> None:
        """Write the signal's line."""
        self._write(signal_event(signal))

    def tell(self, news: News) -> None:
        """Write the news' line."""
        self._write(news_event(news))

    def close(self) -> None:
        """Close the file, and say so where lines are missing at its end."""
        try:
            self._lines.close()
        except OSError as error:
            self._say(f"warning: {self._name}: the last lines may be missing ({error.strerror})")
        if self._missing:
            self._say(f"warning: {self._name}: the last {self._missing} lines are missing")

    def _write(self, event: dict[str, Any]) -> None:
        """Write a line.

        Raises:
            BrokenPipeError: whoever read the lines has gone; then a program in a pipe ends.
        """
        try:
            self._lines.write(event)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._missing += 1
            if self._missing == 1:
                self._say(
                    f"warning: {self._name}: a line cannot be written ({error.strerror}), and later ones are tried; "
                    "verdicts go on"
                )
            return
        if self._missing:
            self._say(f"{self._name}: lines are written again, {self._missing} are missing")
            self._missing = 0


class VideoOutput(Output):
    """A video of the overlays."""

    def __init__(self, path: Path, source: FrameSource, drawer: Drawer) -> None:
        """Take where to, whose frames, and who draws overlays.

        Raises:
            ConfigError: as `VideoFile`.
        """
        self._video = VideoFile(path, source.fps)
        self._source, self._drawer = source, drawer

    def take(self, judged: Judged) -> bool:
        """Append the frame's overlay."""
        if self._video.frame_count == 0:  # a camera that was waited for tells its rate once it is there
            self._video.play_at(self._source.fps)
        self._video.write(self._drawer.draw(judged))
        return True

    def close(self) -> None:
        """Finish the file, so that it plays."""
        self._video.close()


class NgOutput(Output):
    """A folder that gets every NG frame, with its overlay."""

    def __init__(self, folder: Path, drawer: Drawer, say: Callable[[str], None]) -> None:
        """Take where to, who draws overlays, and who is told of trouble.

        Raises:
            ConfigError: the folder cannot be made or written.
        """
        self._folder = NgFolder(folder)
        self._drawer, self._say = drawer, say
        if self._folder.trouble:
            say(f"warning: {self._folder.trouble}; verdicts go on")
        self._told = 0
        """Frames that could not be saved when that was last said."""

    def wants(self, judged: Judged) -> bool:
        """NG frames only."""
        return judged.verdict is Verdict.NG

    def take(self, judged: Judged) -> bool:
        """Save the frame if it is NG."""
        if judged.verdict is Verdict.NG and judged.image_bgr is not None and judged.detection is not None:
            self._folder.save(judged.frame, judged.image_bgr, judged.detection, self._drawer.draw(judged))
            if not self._told:
                self._tell_problem()
        return True

    def close(self) -> None:
        """Say how many pictures could not be saved, where not all of them were told of."""
        self._tell_problem()

    def _tell_problem(self) -> None:
        if self._folder.failed > self._told:
            self._told = self._folder.failed
            self._say(f"warning: {self._folder.problem}")

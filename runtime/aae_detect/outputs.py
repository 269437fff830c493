"""Where judged frames go: a file of events, a video, a folder of NG pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from aae_detect.decision.decision import Decision
from aae_detect.detection import Verdict
from aae_detect.drawer import Drawer
from aae_detect.drift import Advice, Drift
from aae_detect.events import EventLines, news_event, signal_event
from aae_detect.frames import Signal
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
    return f"{part} {decision.verdict}, {decision.ng_frames} of {decision.frames} frames NG: {told}"


_ADVICE: dict[Advice, str] = {
    "recalibrate": " drift: the light is another ({0.light_shift:+.1f} spreads); recalibrate with aae-calibrate",
    "retrain": " drift: the scores of good parts have moved ({0.shift:+.2f} standard deviations), and the light has "
    "not; if the parts are others now, retrain",
    "none": " drift: over",
}


class EventOutput(Output):
    """One JSON line per frame."""

    def __init__(self, target: str) -> None:
        self._lines = EventLines(target)

    def take(self, judged: Judged) -> bool:
        """Write the frame's line."""
        self._lines.write(judged.event)
        return True

    def signal(self, signal: Signal) -> None:
        """Write the signal's line."""
        self._lines.write(signal_event(signal))

    def tell(self, news: News) -> None:
        """Write the news' line."""
        self._lines.write(news_event(news))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class VideoOutput(Output):
    """A video of the overlays."""

    def __init__(self, path: Path, fps: float, drawer: Drawer) -> None:
        self._video = VideoFile(path, fps)
        self._drawer = drawer

    def take(self, judged: Judged) -> bool:
        """Append the frame's overlay."""
        self._video.write(self._drawer.draw(judged))
        return True

    def close(self) -> None:
        """Finish the file, so that it plays."""
        self._video.close()


class NgOutput(Output):
    """A folder that gets every NG frame, with its overlay."""

    def __init__(self, folder: Path, drawer: Drawer) -> None:
        self._folder = NgFolder(folder)
        self._drawer = drawer

    def take(self, judged: Judged) -> bool:
        """Save the frame if it is NG."""
        if judged.verdict is Verdict.NG and judged.image_bgr is not None and judged.detection is not None:
            self._folder.save(judged.frame, judged.image_bgr, judged.detection, self._drawer.draw(judged))
        return True

    def close(self) -> None:
        """Say so where pictures could not be saved."""
        if self._folder.problem:
            print(f"warning: {self._folder.problem}", file=sys.stderr)

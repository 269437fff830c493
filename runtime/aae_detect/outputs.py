"""Where judged frames go: a file of events, a video, a folder of NG pictures, a window."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.detection import Verdict
from aae_detect.events import EventLines
from aae_detect.loop import Judged
from aae_detect.ng_folder import NgFolder
from aae_detect.overlay import annotate, annotate_unknown
from aae_detect.video_writer import VideoFile
from aae_detect.window import Action, Window


class Drawer:
    """Draws each frame's overlay once, however many outputs want it, and not at all when none does."""

    def __init__(self, colour_scale: tuple[float, float], heat_map: bool = True, inset: bool = True) -> None:
        """Fix the colours.

        Args:
            colour_scale: The model's, so that colours mean the same in every frame.
            heat_map: Whether the heat map is drawn; a window may change it while it runs.
            inset: Whether the reconstruction is drawn in a corner.
        """
        self.heat_map = heat_map
        self._colour_scale = colour_scale
        self._inset = inset
        self._last: tuple[Judged, bool, NDArray[np.uint8]] | None = None

    def draw(self, judged: Judged) -> NDArray[np.uint8]:
        """Return the overlay, HxWx3 uint8 BGR; do not write into it."""
        if self._last is None or self._last[0] is not judged or self._last[1] != self.heat_map:
            self._last = (judged, self.heat_map, self._draw(judged))
        return self._last[2]

    def _draw(self, judged: Judged) -> NDArray[np.uint8]:
        if judged.detection is None or judged.image_bgr is None:
            return annotate_unknown(judged.image_bgr, judged.reason)
        return annotate(
            judged.image_bgr,
            judged.detection,
            colour_scale=self._colour_scale,
            fps=judged.fps,
            heat_map=self.heat_map,
            inset=self._inset,
        )


class EventOutput:
    """One JSON line per frame."""

    def __init__(self, target: str) -> None:
        self._lines = EventLines(target)

    def take(self, judged: Judged) -> bool:
        """Write the frame's line."""
        self._lines.write(judged.event)
        return True

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class VideoOutput:
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


class NgOutput:
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


class WindowOutput:
    """A window with the overlay, and the keys that a person presses in it."""

    def __init__(self, title: str, drawer: Drawer, snapshots: Path) -> None:
        self._window = Window(title)
        self._drawer = drawer
        self._snapshots = snapshots

    def take(self, judged: Judged) -> bool:
        """Show the frame; returns False when the user quits."""
        action = self._window.show(self._drawer.draw(judged))
        if action is Action.PAUSE:
            action = self._hold(judged)
        self._react(action, judged)
        return action is not Action.QUIT

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def _hold(self, judged: Judged) -> Action | None:
        """Keep the picture until the user lets it go on, or quits; the other keys work meanwhile."""
        while True:
            action = self._window.show(self._drawer.draw(judged), wait_ms=50)
            if action in (Action.PAUSE, Action.QUIT):
                return Action.QUIT if action is Action.QUIT else None
            self._react(action, judged)

    def _react(self, action: Action | None, judged: Judged) -> None:
        if action is Action.HEAT_MAP:
            self._drawer.heat_map = not self._drawer.heat_map
        elif action is Action.SNAPSHOT:
            name = f"snapshot_{time.strftime('%Y%m%d_%H%M%S')}_{judged.frame.index:06d}.png"
            try:
                (self._snapshots / name).write_bytes(cv2.imencode(".png", self._drawer.draw(judged))[1].tobytes())
            except OSError as error:  # no reason to stop judging
                print(f"warning: snapshot not saved: {error}", file=sys.stderr)

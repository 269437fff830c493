"""Windows as outputs: one that shows every frame of a file, and one for cameras that shows what is newest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect.drawer import Drawer
from aae_detect.errors import FrameError
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.mosaic import mosaic
from aae_detect.overlay import annotate_unknown
from aae_detect.picture_bytes import encode_picture
from aae_detect.window import Action, Window

_LOOK_MS = 15
"""How long a window waits for keys before it looks for something new to show."""


class EveryFrame(Output):
    """A window that shows every frame before the next is judged, and the keys that a person presses in it."""

    def __init__(
        self, title: str, drawer: Drawer, snapshots: Path, say: Callable[[str], None], stop: threading.Event
    ) -> None:
        """Open nothing yet; the first frame opens the window.

        Args:
            title: See `Window`.
            drawer: Draws overlays.
            snapshots: The folder for them.
            say: Told where one cannot be saved.
            stop: Once it is set, no frame is held.

        Raises:
            ConfigError: no window can be opened here.
        """
        self._window = Window(title)
        self._drawer = drawer
        self._snapshots, self._say = snapshots, say
        self._stop = stop

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
        """Keep the picture until the user lets it go on, or quits, or somebody stops it; other keys work meanwhile."""
        while not self._stop.is_set():
            action = self._window.show(self._drawer.draw(judged), wait_ms=50)
            if action in (Action.PAUSE, Action.QUIT):
                return Action.QUIT if action is Action.QUIT else None
            self._react(action, judged)
        return None

    def _react(self, action: Action | None, judged: Judged) -> None:
        if action is Action.HEAT_MAP:
            self._drawer.heat_map = not self._drawer.heat_map
        elif action is Action.SNAPSHOT:
            save_snapshot(self._snapshots, self._drawer.draw(judged), self._say)


class Newest(Output):
    """What is newest of one camera, for a window in another thread."""

    def __init__(self, drawer: Drawer) -> None:
        self.drawer = drawer
        self.quit = False
        self.count = 0
        """Changes when there is something new to see."""
        self._judged: Judged | None = None
        self._lost: Signal | None = None

    def take(self, judged: Judged) -> bool:
        """Keep the frame until the next."""
        self._judged, self._lost = judged, None
        self.count += 1
        return not self.quit

    def signal(self, signal: Signal) -> None:
        """Keep in mind that the camera is gone, until its next frame."""
        if signal.lost:
            self._lost = signal
            self.count += 1

    def close(self) -> None:
        """Nothing is held open."""

    def newest(self) -> Judged | Signal | None:
        """Return what there is to see: a frame, or that the camera is gone."""
        return self._lost or self._judged

    def draw(self, item: Judged | Signal | None) -> NDArray[np.uint8] | None:
        """Draw what `newest` returned, HxWx3 uint8 BGR; None where it was nothing."""
        if isinstance(item, Signal):
            image = self._judged.image_bgr if self._judged is not None else None
            return annotate_unknown(image, f"no signal: {item.reason}. Trying again.")
        return self.drawer.draw(item) if item is not None else None


class LiveWindow:
    """A window for the main thread, over what several cameras show; judging goes on however slow it is."""

    def __init__(self, title: str, cameras: list[Newest], snapshots: Path, say: Callable[[str], None]) -> None:
        """Open nothing yet; `say` is told where a snapshot cannot be saved.

        Raises:
            ConfigError: no window can be opened here.
        """
        self._window = Window(title)
        self._cameras = cameras
        self._snapshots, self._say = snapshots, say

    def show_until(self, done: threading.Event) -> None:
        """Show what comes until `done` is set or the user quits; space holds the picture, not the judging."""
        items: list[Judged | Signal | None] = []
        shown: NDArray[np.uint8] | None = None
        seen, held, stale = -1, False, True
        while not done.is_set():
            count = sum(camera.count for camera in self._cameras)
            if not held and count != seen:
                items, seen, stale = [camera.newest() for camera in self._cameras], count, True
            if stale:
                shown = mosaic([camera.draw(item) for camera, item in zip(self._cameras, items, strict=True)])
                stale = False
            if shown is None:
                done.wait(_LOOK_MS / 1000)
                continue
            action = self._window.show(shown, wait_ms=_LOOK_MS)
            if action is Action.QUIT:
                for camera in self._cameras:
                    camera.quit = True
                return
            held ^= action is Action.PAUSE
            if action is Action.HEAT_MAP:
                stale = True
                for camera in self._cameras:
                    camera.drawer.heat_map = not camera.drawer.heat_map
            elif action is Action.SNAPSHOT:
                save_snapshot(self._snapshots, shown, self._say)

    def close(self) -> None:
        """Close the window."""
        self._window.close()


def save_snapshot(folder: Path, picture_bgr: NDArray[np.uint8], say: Callable[[str], None]) -> None:
    """Save what is on the screen; says so where that fails, which is no reason to stop judging."""
    name = f"snapshot_{time.strftime('%Y%m%d_%H%M%S')}_{time.time_ns() // 1_000_000 % 1000:03d}.png"
    try:
        (folder / name).write_bytes(encode_picture(".png", picture_bgr))
    except (OSError, FrameError) as error:
        say(f"warning: snapshot not saved: {error}")

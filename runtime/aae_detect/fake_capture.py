"""A camera that can be unplugged by a program, to rehearse what happens then: `--source fake:FILE`.

Behaves as `cv2.VideoCapture` does. FILE says how the camera is, and may be changed at any time:

    here      gives frames of the demo camera at 640x480 and 30 frames per second, numbered (`read_counter`)
    gone      does not open; `read` returns False
    silent    opens; `read` does not return, as with a driver that hangs

A file that is missing means gone. Behind the first word, `WIDTHxHEIGHT` and `@FPS` may follow.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.demo import DemoCamera
from aae_detect.errors import SourceError

FAKE = "fake:"

_WORDS = re.compile(r"(?P<state>here|gone|silent)(?:\s+(?P<width>\d+)x(?P<height>\d+))?(?:\s*@(?P<fps>[\d.]+))?")
_LOOK_S = 0.02


class FakeCapture:
    """Stands where a `cv2.VideoCapture` of a camera would."""

    def __init__(self, control: Path) -> None:
        """Open the camera that a file describes.

        Raises:
            SourceError: the file says something else.
        """
        self._control = control
        self._camera: DemoCamera | None = None
        self._asked: dict[int, float] = {}
        if self._state()["state"] != "gone":
            self._plug_in()

    def isOpened(self) -> bool:  # OpenCV's name
        """Whether the camera was there when it was opened."""
        return self._camera is not None

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Wait for the next frame."""
        while self._camera is not None and (state := self._state()["state"]) != "gone":
            if state == "here":
                frame = self._camera.read()
                if frame is None or frame.image is None:
                    break
                return True, np.asarray(frame.image, np.uint8)
            time.sleep(_LOOK_S)
        return False, None

    def get(self, prop: int) -> float:
        """Return what the camera is set to, 0 where it has no such setting."""
        if self._camera is None:
            return 0.0
        height, width = self._camera.size_hw
        own = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FPS: self._camera.fps}
        own[cv2.CAP_PROP_FOURCC] = cv2.VideoWriter.fourcc(*"BGR3")
        return float(own.get(prop, 0.0))

    def set(self, prop: int, value: float) -> bool:
        """Take a size or a rate, as a camera that has them all; nothing else."""
        if self._camera is None or prop not in (
            cv2.CAP_PROP_FRAME_WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT,
            cv2.CAP_PROP_FPS,
        ):
            return False
        self._asked[prop] = value
        self._plug_in()
        return True

    def release(self) -> None:
        """Let the camera go."""
        self._camera = None

    def _plug_in(self) -> None:
        state = self._state()
        width = int(self._asked.get(cv2.CAP_PROP_FRAME_WIDTH, state["width"] or 640))
        height = int(self._asked.get(cv2.CAP_PROP_FRAME_HEIGHT, state["height"] or 480))
        fps = float(self._asked.get(cv2.CAP_PROP_FPS, state["fps"] or 30))
        self._camera = DemoCamera(size_hw=(height, width), fps=fps, live=True, counter=True)

    def _state(self) -> dict[str, str | None]:
        try:
            # Whoever writes the file empties it first.
            while not (text := self._control.read_text(encoding="utf-8").strip()):
                time.sleep(_LOOK_S)
        except FileNotFoundError:
            text = "gone"
        words = _WORDS.fullmatch(text)
        if words is None:
            raise SourceError(
                f"{FAKE}{self._control} says {text!r}; expected here, gone or silent, as in here 640x480 @30"
            )
        return words.groupdict()

"""Video files, by OpenCV."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from aae_detect._opencv import cv2
from aae_detect.errors import SourceError
from aae_detect.frames import Frame, FrameSource
from aae_detect.network_stream import open_stream, sane_fps
from aae_detect.quiet_opencv import quiet_opencv
from aae_detect.source_names import mask_password, require_utf8


class VideoSource(FrameSource):
    """Gives every frame of a video file.

    Args:
        path: a file, or the address of one.
        fps: nominal frames per second, instead of the file's own.
        shown: for people, in place of the path; see `open_source`.

    Raises:
        SourceError: the file is missing, or OpenCV cannot decode it or take its name.
    """

    live = False

    def __init__(self, path: str | os.PathLike[str], fps: float | None = None, shown: str = "") -> None:
        text = os.fspath(path)
        self.name = shown or mask_password(text)
        require_utf8(text)
        if "://" in text:
            capture = open_stream(text)
        else:
            if not Path(text).is_file():
                raise SourceError(f"video {self.name} does not exist or is no file; check the path")
            with quiet_opencv():
                capture = cv2.VideoCapture(text)
        self._capture = capture
        self._next = 0
        first = self._decode() if capture.isOpened() else None
        if first is None:
            capture.release()
            raise SourceError(
                f"video {self.name} cannot be decoded: it is no video, is damaged, or is of a kind that OpenCV does "
                "not read here; convert it, for example to MP4 with H.264"
            )
        self._first: Frame | None = first
        # Read after the first frame: some containers know their rate only then.
        self.fps = fps if fps is not None else sane_fps(capture.get(cv2.CAP_PROP_FPS))
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(announced) if math.isfinite(announced) and 0 < announced < 1e9 else None
        """Frames that the file announces; some announce an estimate, some nothing (None)."""

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end.

        Raises:
            SourceError: the file ends long before the end that it announces.
        """
        frame, self._first = self._first, None
        if frame is None:
            seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            frame = self._decode()
            if frame is None:
                self._refuse_cut_off(seconds)
            return frame
        return replace(frame, source=self.name)  # it may be called otherwise since

    def close(self) -> None:
        """Release the file."""
        self._capture.release()
        self._first = None

    def _decode(self) -> Frame | None:
        found, image = self._capture.read()
        if not found or image is None:
            return None
        frame = Frame(np.asarray(image, np.uint8), self._next, datetime.now(UTC).astimezone(), self.name)
        self._next += 1
        return frame

    def _refuse_cut_off(self, seconds: float) -> None:
        """A file that was cut off must not pass for one that was judged to its end.

        Time decides, not the number of frames: where frames have no steady rate, the announced number is a guess.
        """
        rate = sane_fps(self._capture.get(cv2.CAP_PROP_FPS))
        if self.frame_count is None or rate == 0.0 or not self._capture.isOpened():
            return
        announced = self.frame_count / rate
        if max(seconds, self._next / rate) < 0.8 * announced - 0.5:
            raise SourceError(
                f"video {self.name} stops after {self._next} frames, at {seconds:.1f} s of {announced:.1f} s: it is "
                "cut off or damaged; copy it again"
            )

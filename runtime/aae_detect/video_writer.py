"""An overlay video, written frame by frame.

Until `close` the video lies beside its final name, `line.mp4` as `line.partial.mp4`: a video under the final name is
whole, and the last good one stays until then. What a killed process leaves depends on the container: `.avi` and `.mkv`
play up to the last few seconds, while `.mp4` and `.mov` keep their index at the end and do not play without it.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import AaeDetectError, ConfigError, FrameError
from aae_detect.geometry import fit_image, place
from aae_detect.source_names import printable

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Container by file name extension, to the codec that every OpenCV wheel can write into it."""

DEFAULT_FPS = 25.0
"""For sources that do not tell their frame rate."""

_FPS_RANGE = (0.1, 600.0)


class VideoFile:
    """A video of frames of one size.

    The file is opened at the first frame and takes its size, made even, as the codecs want it. Later frames of another
    size are scaled into it, with black bars.

    Args:
        path: Where the video shall lie; the folder is made where it does not exist, an existing file is replaced.
        fps: Frames per second at which it plays; `DEFAULT_FPS` where not above 0.

    Raises:
        ConfigError: the extension is none of `CODECS`, the path is no UTF-8, or the place cannot be written.
    """

    def __init__(self, path: Path | str, fps: float) -> None:
        self.path = Path(path)
        """The final name."""

        self.frame_count = 0
        """Frames written so far."""

        suffix = self.path.suffix.lower()
        if suffix not in CODECS:
            raise ConfigError(
                f"{self.path}: {f'the extension {suffix}' if suffix else 'a name without extension'} says no kind of "
                f"video that can be written; expected one of {', '.join(CODECS)}"
            )
        if (shown := printable(str(self.path))) != str(self.path):
            raise ConfigError(f"{shown}: the path is no UTF-8, as OpenCV needs it to write a video; choose another one")
        self.play_at(fps)
        self.partial_path = self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")
        """Where the video lies until it is closed."""

        self._fourcc = cv2.VideoWriter.fourcc(*CODECS[suffix])
        self._writer: cv2.VideoWriter | None = None
        self._size_hw = (0, 0)
        self._is_closed = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError("it is a folder")
            self.partial_path.write_bytes(b"")
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written ({error.strerror or error}); choose another file"
            ) from error

    def play_at(self, fps: float) -> None:
        """Have it play at another rate, as the argument of the same name; before the first frame."""
        fps = fps if math.isfinite(fps) and fps > 0 else DEFAULT_FPS
        # MPEG-4 refuses rates that need a large denominator, such as 123.4567.
        self.fps = round(min(max(fps, _FPS_RANGE[0]), _FPS_RANGE[1]), 2)

    def write(self, picture_bgr: NDArray[np.uint8]) -> None:
        """Add a frame.

        Args:
            picture_bgr: HxWx3 uint8 BGR.

        Raises:
            FrameError: not such a picture.
            ConfigError: OpenCV cannot write a video of this size here; told at the first frame.
            AaeDetectError: the video has been closed.
        """
        if self._is_closed:
            raise AaeDetectError(f"{self.path}: the video has been closed; open another VideoFile")
        if picture_bgr.ndim != 3 or picture_bgr.shape[2] != 3 or picture_bgr.dtype != np.uint8 or not picture_bgr.size:
            raise FrameError(
                f"{self.path}: found a frame of shape {picture_bgr.shape} and type {picture_bgr.dtype}, "
                "expected HxWx3 uint8 BGR"
            )
        if self._writer is None:
            self._writer = self._open(picture_bgr.shape[0], picture_bgr.shape[1])
        self._writer.write(self._fitted(picture_bgr))
        self.frame_count += 1

    def _open(self, height: int, width: int) -> cv2.VideoWriter:
        self._size_hw = (height + height % 2, width + width % 2)
        writer = cv2.VideoWriter(str(self.partial_path), self._fourcc, self.fps, self._size_hw[::-1])
        if not writer.isOpened():
            self._is_closed = True
            self.partial_path.unlink(missing_ok=True)
            raise ConfigError(
                f"{self.path}: OpenCV {cv2.__version__} cannot write a {self._size_hw[1]}x{self._size_hw[0]} video of "
                f"this kind here; try another extension ({', '.join(CODECS)}), or a smaller size"
            )
        return writer

    def _fitted(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring a frame to the video's size: the odd last row or column is repeated, other sizes get bars."""
        height, width = picture.shape[:2]
        more_h, more_w = self._size_hw[0] - height, self._size_hw[1] - width
        if more_h in (0, 1) and more_w in (0, 1):
            if more_h or more_w:
                return np.pad(picture, ((0, more_h), (0, more_w), (0, 0)), mode="edge")
            return np.ascontiguousarray(picture)
        return fit_image(picture, place((height, width), self._size_hw, "letterbox"))

    def close(self) -> None:
        """Finish the video and give it its final name; may be called more than once. Without frames there is no file.

        Raises:
            AaeDetectError: the video does not play, as happens when the disk is full.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._writer is None:
            self.partial_path.unlink(missing_ok=True)
            return
        self._writer.release()
        self._writer = None
        # OpenCV does not tell when a write fails.
        reader = cv2.VideoCapture(str(self.partial_path))
        plays = reader.isOpened() and reader.read()[0]
        reader.release()
        if not plays:
            raise AaeDetectError(
                f"{self.path}: {self.frame_count} frames were written, but the video does not play; see whether the "
                f"disk is full. What there is lies in {self.partial_path}"
            )
        try:
            self.partial_path.replace(self.path)
        except OSError as error:
            raise AaeDetectError(
                f"{self.path} cannot be replaced ({error.strerror or error}); the video lies in {self.partial_path}"
            ) from error

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

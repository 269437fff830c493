"""Video files, cameras and network streams, by OpenCV."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from aae_detect._opencv import cv2
from aae_detect.errors import SourceError
from aae_detect.frames import Frame, FrameSource
from aae_detect.quiet_opencv import quiet_opencv
from aae_detect.source_names import mask_password

OPEN_TIMEOUT_MS = 10_000
"""How long a network stream may take to answer."""

READ_TIMEOUT_MS = 10_000
"""How long a network stream may take for one frame."""


class VideoSource(FrameSource):
    """Gives every frame of a video file.

    Args:
        path: a file, or the address of one.
        fps: nominal frames per second, instead of the file's own.

    Raises:
        SourceError: the file is missing, or OpenCV cannot decode it.
    """

    live = False

    def __init__(self, path: str | os.PathLike[str], fps: float | None = None) -> None:
        text = os.fspath(path)
        self.name = mask_password(text)
        if "://" in text:
            capture = _open_stream(text)
        else:
            if not Path(text).is_file():
                raise SourceError(f"video {text} does not exist or is no file; check the path")
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
        self.fps = fps if fps is not None else _sane_fps(capture.get(cv2.CAP_PROP_FPS))
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
        rate = _sane_fps(self._capture.get(cv2.CAP_PROP_FPS))
        if self.frame_count is None or rate == 0.0 or not self._capture.isOpened():
            return
        announced = self.frame_count / rate
        if max(seconds, self._next / rate) < 0.8 * announced - 0.5:
            raise SourceError(
                f"video {self.name} stops after {self._next} frames, at {seconds:.1f} s of {announced:.1f} s: it is "
                "cut off or damaged; copy it again"
            )


class CameraSource(FrameSource):
    """Gives frames of a camera at this machine or of a network stream, as they come.

    Args:
        device: camera index, device path (`/dev/video0`), or the address of a stream.
        fps: frames per second to ask a camera for.
        bits: 10, 12 or 16 asks a camera at this machine for gray pictures of 16 bits (V4L2 `Y16`).
        open_timeout_ms: for streams.
        read_timeout_ms: for streams.

    Raises:
        SourceError: the camera or stream is not there or gives nothing.
    """

    live = True

    def __init__(
        self,
        device: int | str,
        fps: float | None = None,
        bits: int | None = None,
        open_timeout_ms: int = OPEN_TIMEOUT_MS,
        read_timeout_ms: int = READ_TIMEOUT_MS,
    ) -> None:
        self._is_stream = isinstance(device, str) and "://" in device
        self.name = mask_password(device) if isinstance(device, str) else f"camera {device}"
        if self._is_stream:
            self._capture = _open_stream(str(device), open_timeout_ms, read_timeout_ms)
        else:
            self._capture = _open_device(device, fps, bits)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(self._not_there())
        self.fps = _sane_fps(self._capture.get(cv2.CAP_PROP_FPS))
        if self.fps == 0.0 and fps is not None:
            self.fps = fps
        self._next = 0

    def read(self) -> Frame | None:
        """Wait for the next frame; None once closed.

        Raises:
            SourceError: the camera or stream gives no more frames.
        """
        if not self._capture.isOpened():
            return None
        found, image = self._capture.read()
        captured_at = datetime.now(UTC).astimezone()
        if not found or image is None:
            self._capture.release()
            what = "stream" if self._is_stream else "camera"
            hint = "is the sender still running?" if self._is_stream else "is it unplugged, or used by another program?"
            raise SourceError(f"{what} {self.name.removeprefix('camera ')} stopped after {self._next} frames; {hint}")
        wide = image.dtype == np.uint16  # only a camera that was asked for it
        pixels = np.asarray(image, np.uint16) if wide else np.asarray(image, np.uint8)
        frame = Frame(pixels, self._next, captured_at, self.name)
        self._next += 1
        return frame

    def close(self) -> None:
        """Release the device or connection; not while another thread is inside `read`."""
        self._capture.release()

    def _not_there(self) -> str:
        if self._is_stream:
            return f"stream {self.name} does not answer or is no video; check address, name and password, and network"
        return f"{self.name} does not open: another program uses it, or it is no camera; {found_cameras()}"


def found_cameras() -> str:
    """Say which cameras this machine has, for a message."""
    if not sys.platform.startswith("linux"):
        return "try another index"
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    return f"cameras here: {', '.join(devices)}" if devices else "this machine has no /dev/video* at all"


def _open_device(device: int | str, fps: float | None, bits: int | None) -> cv2.VideoCapture:
    backend = cv2.CAP_ANY
    if sys.platform.startswith("linux"):
        # Asked first, because OpenCV tries every backend it has on a device that is not there, and each one complains.
        path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
        if not path.exists():
            raise SourceError(f"camera {device} is not there (no {path}); {found_cameras()}")
        if not os.access(path, os.R_OK | os.W_OK):
            raise SourceError(f"camera {device}: no permission for {path}; add this user to the group 'video'")
        backend = cv2.CAP_V4L2
    with quiet_opencv():
        capture = cv2.VideoCapture(device, backend)
        if bits is not None and bits > 8 and capture.isOpened():
            wanted = cv2.VideoWriter.fourcc(*"Y16 ")
            capture.set(cv2.CAP_PROP_FOURCC, wanted)
            if int(capture.get(cv2.CAP_PROP_FOURCC)) != wanted:
                capture.release()
                raise SourceError(f"camera {device} gives no gray pictures of 16 bits (V4L2 Y16); leave out the bits")
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        if fps is not None:
            capture.set(cv2.CAP_PROP_FPS, fps)
    return capture


def _open_stream(
    address: str, open_timeout_ms: int = OPEN_TIMEOUT_MS, read_timeout_ms: int = READ_TIMEOUT_MS
) -> cv2.VideoCapture:
    timeouts: Sequence[int] = (
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        open_timeout_ms,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        read_timeout_ms,
    )
    with quiet_opencv():
        return cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)


def _sane_fps(fps: float) -> float:
    """Return a frame rate, or 0.0 where a container's figure is none."""
    return float(fps) if math.isfinite(fps) and 0.5 <= fps <= 1000 else 0.0

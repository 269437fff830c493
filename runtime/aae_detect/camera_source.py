"""Cameras at this machine, network streams and GStreamer pipelines, by OpenCV: frames as they come."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from aae_detect._opencv import cv2
from aae_detect.errors import ConfigError, SourceError
from aae_detect.fake_capture import FAKE, FakeCapture
from aae_detect.frames import Frame, FrameSource
from aae_detect.network_stream import OPEN_TIMEOUT_MS, READ_TIMEOUT_MS, open_stream, sane_fps
from aae_detect.quiet_opencv import quiet_opencv
from aae_detect.source_names import GSTREAMER, mask_password, require_utf8
from aae_detect.spec import BITS

_MANUAL_EXPOSURE = 1
"""V4L2's number for a camera that leaves its exposure alone."""


@dataclass(frozen=True)
class CameraOptions:
    """What to ask a camera at this machine for, and how long to wait for a stream."""

    size_hw: tuple[int, int] | None = None
    fps: float | None = None
    exposure: float | None = None
    """In the camera's own units: 100 microseconds with V4L2. Turns its automatic exposure off."""

    gain: float | None = None
    pixel_format: str | None = None
    """V4L2's four letters, such as MJPG: USB 2 carries 1920x1080 at 30 frames per second only compressed."""

    bits: int | None = None
    """10, 12 or 16 asks for gray pictures of 16 bits (V4L2 `Y16`)."""

    open_timeout_ms: int = OPEN_TIMEOUT_MS
    read_timeout_ms: int = READ_TIMEOUT_MS

    def __post_init__(self) -> None:
        if self.pixel_format is not None and not re.fullmatch(r"[\x20-\x7e]{4}", self.pixel_format):
            raise ConfigError(f"pixel format {self.pixel_format!r}; expected V4L2's four letters, such as MJPG or YUYV")
        for name, value in (("fps", self.fps), ("size", self.size_hw and min(self.size_hw))):
            if value is not None and value <= 0:
                raise ConfigError(f"camera {name} is {value}, expected more than 0")
        if self.bits is not None and self.bits not in BITS:
            raise ConfigError(f"bits: {self.bits}; expected {', '.join(map(str, BITS[:-1]))} or {BITS[-1]}")


class CameraSource(FrameSource):
    """Gives frames of a camera at this machine, of a network stream or of a GStreamer pipeline, as they come.

    Args:
        device: camera index, device path (`/dev/video0`), address of a stream, `gst:` and a pipeline that ends in
            `appsink`, or `fake:` and a file, see `FakeCapture`.
        options: What to ask for.
        shown: For people, in place of the device; see `open_source`.

    Raises:
        SourceError: the camera or stream is not there or gives nothing.
    """

    live = True

    def __init__(self, device: int | str, options: CameraOptions | None = None, shown: str = "") -> None:
        options = options or CameraOptions()
        self._device = device
        self._is_stream = isinstance(device, str) and "://" in device and not device.startswith((GSTREAMER, FAKE))
        self.name = shown or (mask_password(device) if isinstance(device, str) else f"camera {device}")
        self._capture = _open(device, options, self.name)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(self._not_there())
        self.notes = () if self._is_stream else _ask_for(self._capture, options)
        """What was asked for and not taken, for people."""
        self.fps = sane_fps(self._capture.get(cv2.CAP_PROP_FPS)) or options.fps or 0.0
        self._next = 0

    def read(self) -> Frame | None:
        """Wait for the next frame; None once closed.

        Raises:
            SourceError: the camera or stream gives no more frames.
        """
        if not self._capture.isOpened():
            return None
        found, image = self._capture.read()
        read_ns, captured_at = time.monotonic_ns(), datetime.now(UTC).astimezone()
        if not found or image is None:
            self._capture.release()
            what = "stream" if self._is_stream else "camera"
            hint = "is the sender still running?" if self._is_stream else "is it unplugged, or used by another program?"
            raise SourceError(f"{what} {self.name.removeprefix('camera ')} stopped after {self._next} frames; {hint}")
        wide = image.dtype == np.uint16  # only a camera that was asked for it
        pixels = np.asarray(image, np.uint16) if wide else np.asarray(image, np.uint8)
        frame = Frame(pixels, self._next, captured_at, self.name, read_ns=read_ns)
        self._next += 1
        return frame

    def close(self) -> None:
        """Release the device or connection; not while another thread is inside `read`."""
        self._capture.release()

    def _not_there(self) -> str:
        if self._is_stream:
            return f"stream {self.name} does not answer or is no video; check address, name and password, and network"
        if self.name.startswith(GSTREAMER):
            return f"{self.name} does not start; try it with gst-launch-1.0, and end it in appsink"
        return f"{self.name} does not open: another program uses it, or it is no camera; {found_cameras()}"


def found_cameras() -> str:
    """Say which cameras this machine has, for a message."""
    if not sys.platform.startswith("linux"):
        return "try another index"
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    return f"cameras here: {', '.join(devices)}" if devices else "this machine has no /dev/video* at all"


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer; the wheels are not."""
    return re.search(r"^\s*GStreamer:\s*YES", cv2.getBuildInformation(), re.MULTILINE) is not None


def _open(device: int | str, options: CameraOptions, shown: str) -> cv2.VideoCapture | FakeCapture:
    if isinstance(device, str):
        if device.startswith(FAKE):
            return FakeCapture(Path(device.removeprefix(FAKE)))
        require_utf8(device)
        if device.startswith(GSTREAMER):
            return _open_pipeline(device, options, shown)
        if "://" in device:
            return open_stream(device, options.open_timeout_ms, options.read_timeout_ms)
    if not sys.platform.startswith("linux"):
        with quiet_opencv():
            return cv2.VideoCapture(device)
    # Asked first, because OpenCV tries every backend it has on a device that is not there, and each one complains.
    path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
    if not path.exists():
        raise SourceError(f"camera {device} is not there (no {path}); {found_cameras()}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(f"camera {device}: no permission for {path}; add this user to the group 'video'")
    with quiet_opencv():
        return cv2.VideoCapture(device, cv2.CAP_V4L2)


def _open_pipeline(device: str, options: CameraOptions, shown: str) -> cv2.VideoCapture:
    if not has_gstreamer():
        raise SourceError(
            f"{shown}: this OpenCV ({cv2.__version__}) has no GStreamer, as none of the wheels has; "
            "use one that does (Debian: python3-opencv), or rtsp:// and http://, which need none"
        )
    timeouts: Sequence[int] = (
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        options.open_timeout_ms,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        options.read_timeout_ms,
    )
    with quiet_opencv():
        return cv2.VideoCapture(device.removeprefix(GSTREAMER), cv2.CAP_GSTREAMER, timeouts)


def _ask_for(capture: cv2.VideoCapture | FakeCapture, options: CameraOptions) -> tuple[str, ...]:
    """Set what was asked for; returns what the camera did not take.

    Raises:
        SourceError: it gives no 16 bits; whoever asked for them would misread what comes instead.
    """
    wanted: list[tuple[str, int, float]] = []
    if options.size_hw is not None:
        wanted.append(("width", cv2.CAP_PROP_FRAME_WIDTH, options.size_hw[1]))
        wanted.append(("height", cv2.CAP_PROP_FRAME_HEIGHT, options.size_hw[0]))
    if options.fps is not None:
        wanted.append(("frames per second", cv2.CAP_PROP_FPS, options.fps))
    if options.exposure is not None:
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE)
        wanted.append(("exposure", cv2.CAP_PROP_EXPOSURE, options.exposure))
    if options.gain is not None:
        wanted.append(("gain", cv2.CAP_PROP_GAIN, options.gain))
    notes: list[str] = []
    with quiet_opencv():
        if options.pixel_format is not None:  # first: sizes and rates depend on it
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*options.pixel_format))
        for _, prop, value in wanted:
            capture.set(prop, value)
        if (options.bits or 8) > 8:
            gray16 = cv2.VideoWriter.fourcc(*"Y16 ")
            capture.set(cv2.CAP_PROP_FOURCC, gray16)
            if int(capture.get(cv2.CAP_PROP_FOURCC)) != gray16:
                capture.release()
                raise SourceError("the camera gives no gray pictures of 16 bits (V4L2 Y16); leave out the bits")
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        if options.pixel_format is not None:
            letters = _letters(capture.get(cv2.CAP_PROP_FOURCC))
            if letters != options.pixel_format:
                notes.append(f"asked for pixel format {options.pixel_format}, the camera is at {letters}")
        notes += [
            f"asked for {name} {value:g}, the camera is at {found:g}"
            for name, prop, value in wanted
            if abs((found := capture.get(prop)) - value) > 0.01 * abs(value)
        ]
    return tuple(notes)


def _letters(fourcc: float) -> str:
    """Spell a pixel format as OpenCV gives it, four letters in a number; what spells nothing stays a number."""
    letters = (int(fourcc) & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1")
    return letters if letters.isascii() and letters.isprintable() else f"{fourcc:g}"

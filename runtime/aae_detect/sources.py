"""From what a person types to a source of frames."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, unquote

from aae_detect._opencv import cv2
from aae_detect.camera_source import CameraOptions, CameraSource, found_cameras
from aae_detect.errors import AaeDetectError, SourceError
from aae_detect.fake_capture import FAKE
from aae_detect.frames import FrameSource
from aae_detect.picture_source import PICTURE_SUFFIXES, PictureSource, list_pictures, natural_key
from aae_detect.source_names import GSTREAMER, mask_password, printable
from aae_detect.video_source import VideoSource

__all__ = ["is_live", "mask_password", "open_source"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "udp", "tcp", "srt")
_VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm")
_DEMO = re.compile(r"demo:(?:(?P<width>\d+)x(?P<height>\d+))?(?:@(?P<fps>\d+(?:\.\d+)?))?(?:\?(?P<options>.*))?")
_DEMO_HELP = "expected demo:[WIDTHxHEIGHT][@FPS][?seed=3&frames=100&defects=0.2&noise=2&live=1&counter=1]"


def open_source(
    text: str, *, fps: float | None = None, camera: CameraOptions | None = None, shown: str = ""
) -> FrameSource:
    """Open a source of frames.

    Args:
        text: camera index (`0`), device (`/dev/video0`), video file, picture file, folder of pictures (nested; in
            natural order), glob, stream (`rtsp://`, `http://`), GStreamer pipeline (`gst:... ! appsink`), or `demo:`,
            also with size, rate and options as in `demo:1920x1080@60?seed=3&frames=100&defects=0.2`. A folder whose
            name is a number is written `./0`.
        fps: nominal frames per second of files that do not tell their own.
        camera: What to ask a camera for; files say their own.
        shown: What people are to see in place of the text, which holds secrets that no one can tell by looking at it.

    Raises:
        SourceError: there is no such source, or it gives nothing; says what to do.
    """
    if not text.strip():
        raise SourceError("the source is empty; expected a camera index, a file, a folder, a stream, or demo:")
    if text.startswith("demo:"):
        return _open_demo(text, fps)
    if is_local_camera(text):
        return CameraSource(int(text) if text.isdigit() else text, camera, shown)
    scheme, separator, _ = text.partition("://")
    if separator and _SCHEME.fullmatch(scheme):
        return _open_address(text, scheme.lower(), fps, camera, shown)
    path = os.path.expanduser(text)
    if os.path.isdir(path):
        return PictureSource(list_pictures(path), shown or text, fps or 0.0)
    if os.path.isfile(path):
        return _open_file(Path(path), fps, shown)
    if glob.has_magic(text):
        return _open_glob(text, fps, shown)
    raise SourceError(
        f"source {shown or mask_password(text)} does not exist: it is no file, no folder, and no camera "
        f"({found_cameras()})"
    )


def is_live(text: str) -> bool:
    """Whether time passes outside a source that `open_source` would open: a camera or a stream, and no file."""
    if text.startswith("demo:"):
        return "1" in parse_qs(text.partition("?")[2]).get("live", [])
    return is_local_camera(text) or ("://" in text and not text.startswith("file:") and not _is_remote_file(text))


def is_local_camera(text: str) -> bool:
    """Whether it is a camera at this machine, or a pipeline of GStreamer."""
    number = text.isascii() and text.isdigit()
    return number or text.startswith((GSTREAMER, FAKE)) or re.fullmatch(r"/dev/(video\d+|v4l/.+)", text) is not None


def _is_remote_file(address: str) -> bool:
    """Whether an address names a video that lies on a server."""
    scheme = address.partition("://")[0].lower()
    return scheme in ("http", "https") and Path(_path_of(address)).suffix.lower() in _VIDEO_SUFFIXES


def _path_of(address: str) -> str:
    """Return the path of an address; `urlsplit` refuses some that streams are read by, as with a `[` in a password."""
    rest = re.split(r"[?#]", address.partition("://")[2], maxsplit=1)[0]
    return "".join(rest.partition("/")[1:])


def _open_file(path: Path, fps: float | None, shown: str) -> FrameSource:
    name = str(path)
    is_utf8 = name == printable(name)  # of anything else OpenCV must not be asked
    if path.suffix.lower() in PICTURE_SUFFIXES or (is_utf8 and cv2.haveImageReader(name)):
        return PictureSource([path], shown, fps or 0.0)
    return VideoSource(path, fps, shown)


def _open_glob(pattern: str, fps: float | None, shown: str) -> FrameSource:
    """Open what a pattern finds: pictures, folders of pictures, or a single video."""
    found = [Path(match) for match in glob.glob(os.path.expanduser(pattern), recursive=True)]
    files = [path for path in found if path.is_file()]
    pictures = {path for path in files if path.suffix.lower() in PICTURE_SUFFIXES}
    for folder in (path for path in found if path.is_dir()):
        try:
            pictures.update(list_pictures(folder))
        except SourceError:  # a folder without pictures among others is no mistake
            continue
    if pictures:
        return PictureSource(sorted(pictures, key=natural_key), shown or pattern, fps or 0.0)
    if len(files) == 1:
        return _open_file(files[0], fps, shown)
    shown = shown or mask_password(pattern)
    if files:
        raise SourceError(f"{shown} finds {len(files)} files and no picture; give one video, or a pattern for pictures")
    raise SourceError(f"{shown} finds nothing; check the pattern, and put it in quotes so that the shell leaves it")


def _open_address(text: str, scheme: str, fps: float | None, camera: CameraOptions | None, shown: str) -> FrameSource:
    if scheme == "file":
        return open_source(unquote(_path_of(text)), fps=fps, shown=shown)
    if scheme not in _STREAM_SCHEMES:
        raise SourceError(
            f"{shown or mask_password(text)}: unknown kind of address; expected one of {', '.join(_STREAM_SCHEMES)}"
        )
    return VideoSource(text, fps, shown) if _is_remote_file(text) else CameraSource(text, camera, shown)


def _open_demo(text: str, fps: float | None) -> FrameSource:
    from aae_detect.demo import DemoCamera

    match = _DEMO.fullmatch(text)
    if match is None:
        raise SourceError(f"{text} is not understood; {_DEMO_HELP}")
    options = {"seed": "0", "frames": "", "defects": "0.15", "noise": "2", "live": "0", "counter": "0"}
    for name, value in parse_qsl(match["options"] or "", keep_blank_values=True):
        if name not in options:
            raise SourceError(f"{text}: unknown option {name!r}; {_DEMO_HELP}")
        options[name] = value
    if fps is None:
        fps = float(match["fps"] or 30)
    try:
        return DemoCamera(
            seed=int(options["seed"]),
            size_hw=(int(match["height"] or 480), int(match["width"] or 640)),
            fps=fps,
            defect_rate=float(options["defects"]),
            frame_count=int(options["frames"]) if options["frames"] else None,
            live=bool(int(options["live"])),
            noise=float(options["noise"]),
            counter=bool(int(options["counter"])),
        )
    except (ValueError, AaeDetectError) as error:
        raise SourceError(f"{text}: {error}; {_DEMO_HELP}") from error

"""What is asked of each source, from options of the command line or from a file.

[defaults]                     # for every source below
model = "detector.onnx"        # beside this file
site = "site.json"

[[source]]
name = "line 1"
source = "rtsp://viewer:${CAMERA_PASSWORD}@10.0.0.5/stream"

[[source]]
name = "line 2"
source = "/dev/video0"
size = "1920x1080"
fps = 30
crop = "200,0,1400,1080"
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aae_detect.camera_source import CameraOptions
from aae_detect.checked_toml import read_toml
from aae_detect.errors import ConfigError
from aae_detect.frame_view import FrameView
from aae_detect.source_settings import SourceSettings


@dataclass(frozen=True)
class StreamSettings:
    """A source and the model that judges it."""

    source: SourceSettings
    model: Path | None = None
    threshold: float | None = None
    """Instead of the model's own, and of the site's."""

    site: Path | None = None
    """File of `aae-calibrate` that holds an entry for this source."""

    product: str = ""
    """What is looked at, where a site has several."""

    mask: Path | None = None
    """Where in the frame to look."""

    decide: Path | None = None
    """Rules for what the line is told."""


def read_stream(values: Mapping[str, Any]) -> StreamSettings:
    """Make settings from what a user wrote.

    Args:
        values: By the names in `KEYS`; a None counts as not given.

    Raises:
        ConfigError: an unknown name, or a value of the wrong kind; names it.
    """
    given = {name: value for name, value in values.items() if value is not None}
    for name in given:
        if name not in KEYS:
            raise ConfigError(f"{name}: unknown; expected one of {', '.join(KEYS)}")
    if "source" not in given:
        raise ConfigError('a source has no address; write source = "0", "rtsp://...", or a file')
    read = {name: _read(name, value) for name, value in given.items()}
    camera = {name: read[key] for key, name in _OF_CAMERA.items() if key in read}
    view = {name: read[key] for key, name in _OF_VIEW.items() if key in read}
    rest = {name: read[key] for key, name in _OF_SOURCE.items() if key in read}
    source = SourceSettings(**rest, camera=CameraOptions(**camera), view=FrameView(**view))
    files = {name: Path(read[name]) for name in _FILES if name in read}
    return StreamSettings(source, **files, threshold=read.get("threshold"), product=read.get("product", ""))


def read_config(path: Path, options: Mapping[str, Any]) -> tuple[StreamSettings, ...]:
    """Read a file of sources.

    Args:
        path: The file.
        options: What holds for each source, whatever the file says, by the names in `KEYS`; None: not given.

    Raises:
        ConfigError: it cannot be read or holds something else; says in which line.
    """
    document, text = read_toml(path, "sources")
    defaults, sources = document.pop("defaults", {}), document.pop("source", [])
    are_tables = isinstance(sources, list) and all(isinstance(values, dict) for values in sources)
    if document or not are_tables or not isinstance(defaults, dict):
        name = next(iter(document), "source")
        raise ConfigError(
            f"{path}:{_line(text, name)}: {name} is not expected here; expected [defaults] and [[source]]"
        )
    if not sources:
        raise ConfigError(f'{path} names no source; write [[source]] and under it source = "rtsp://..."')
    given = {name: value for name, value in options.items() if value is not None}
    streams = []
    for number, values in enumerate(sources):
        try:
            written = {**defaults, **values}
            for name in (name for name in _FILES if name in written):  # they lie beside this file
                written[name] = str(path.parent / _read(name, written[name]))
            streams.append(read_stream({**written, **given}))
        except ConfigError as error:
            name = str(error).partition(":")[0]
            raise ConfigError(f"{path}:{_line(text, name, number)}: {error}") from error
    names = [stream.source.shown_name for stream in streams]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f'{path}: two sources are called "{name}"; give each a name = "..." of its own')
    return tuple(streams)


def _read(name: str, value: Any) -> Any:
    kind, expected = KEYS[name]
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name}: {value!r:.80}; expected {expected}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return float(value)


def _whole(value: Any) -> int:
    if _number(value) != int(value):
        raise ValueError
    return int(value)


def _size(value: Any) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", _text(value))
    if found is None:
        raise ValueError
    return int(found[2]), int(found[1])


def _crop(value: Any) -> tuple[int, ...]:
    numbers = tuple(int(number) for number in _text(value).split(","))
    if len(numbers) != 4:
        raise ValueError
    return numbers


KEYS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "source": (lambda value: _text(str(value)), 'a text such as "0", "rtsp://..." or a file'),
    "name": (_text, "a text"),
    "model": (_text, "the path of a detector.onnx"),
    "threshold": (_number, "a number"),
    "site": (_text, "the path of a file of aae-calibrate"),
    "product": (_text, "a text"),
    "mask": (_text, "the path of a mask: polygons (.json) or a picture"),
    "decide": (_text, "the path of a TOML file of rules"),
    "size": (_size, '"WIDTHxHEIGHT", such as "1920x1080"'),
    "fps": (_number, "frames per second"),
    "exposure": (_number, "a number in the camera's units"),
    "gain": (_number, "a number in the camera's units"),
    "pixel_format": (_text, "V4L2's four letters, such as MJPG"),
    "bits": (_whole, "10, 12 or 16"),
    "rotate": (_whole, "0, 90, 180 or 270 degrees clockwise"),
    "flip": (_text, "horizontal, vertical or both"),
    "crop": (_crop, '"LEFT,TOP,WIDTH,HEIGHT" in pixels'),
    "every": (_whole, "a whole number from 1"),
    "most_fps": (_number, "frames per second"),
    "lost_after": (_number, "seconds; 0: never"),
}
"""What may be said of a source: how it is read, and what is expected."""

_FILES = ("model", "site", "mask", "decide")

_OF_SOURCE = {
    "source": "source",
    "name": "name",
    "every": "every",
    "most_fps": "most_fps",
    "lost_after": "lost_after_s",
}
_OF_VIEW = {"rotate": "rotate_deg", "flip": "flip", "crop": "crop_xywh"}
_OF_CAMERA = {
    "size": "size_hw",
    "fps": "fps",
    "exposure": "exposure",
    "gain": "gain",
    "pixel_format": "pixel_format",
    "bits": "bits",
}


def _line(text: str, name: str, source_number: int | None = None) -> int:
    """Find where a name stands, inside one of the sources if a number is given; else where that source begins."""
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if re.match(r"\s*\[\[\s*source\s*\]\]", line)]
    first, last = 0, len(lines)
    if source_number is not None and source_number < len(heads):
        first = heads[source_number]
        last = heads[source_number + 1] if source_number + 1 < len(heads) else len(lines)
    named = re.compile(rf"\s*\[*\s*{re.escape(name)}\s*[\]=.]")
    places = [*range(first, last), *range(len(lines))]
    return next((number for number in places if named.match(lines[number])), first) + 1

"""Options of the command line that say what to look at, shared by all commands that open a camera."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aae_detect.errors import ConfigError

if TYPE_CHECKING:
    from aae_detect.stream_settings import StreamSettings

ENVIRONMENT = "AAE_DETECT_"

VIEW_NAMES = ("size", "fps", "exposure", "gain", "pixel_format", "bits", "rotate", "flip", "crop")
"""What may be said of a camera and its picture, and not of the camera of `--demo`."""


class _SourceText(click.types.StringParamType):
    """What `--source` takes; the environment says several on a line each, as paths and pipelines hold spaces."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Take the lines that say something."""
        return [line.strip() for line in rv.splitlines() if line.strip()]


_ASKED_ONCE = ("demo", "doctor", "check_config", "version", "help")

_OPTIONS = (
    click.option(
        "--camera", type=click.IntRange(min=0), metavar="N", help="Camera by its number; the same as --source N."
    ),
    click.option(
        "--source",
        "sources",
        type=_SourceText(),
        multiple=True,
        metavar="WHAT",
        help="Device number, video, picture, folder, glob, rtsp:// or http:// stream, gst: pipeline, or demo:; "
        "aae-detect and aae-calibrate take several. ${NAME} stands for a variable of the environment, "
        "${file:PATH} for what a file holds.",
    ),
    click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="TOML file of sources, each with its own model and camera settings; see docs/cameras.md.",
    ),
    click.option("--only", metavar="NAME", help="Of the file of --config, the source of this name only."),
)

_VIEW_OPTIONS = (
    click.option("--size", metavar="WxH", help="Ask the camera for this resolution, such as 1920x1080."),
    click.option("--fps", type=float, help="Ask the camera for this rate; nominal for pictures."),
    click.option("--exposure", type=float, help="Ask the camera for this exposure, in its own units."),
    click.option("--gain", type=float, help="Ask the camera for this gain, in its own units."),
    click.option("--pixel-format", metavar="FOURCC", help="Ask the camera for this format, such as MJPG."),
    click.option(
        "--bits",
        type=click.Choice(["10", "12", "16"]),
        help="Depth of 16-bit frames, which a camera is then asked for.  [default: of files, the model's, or 16]",
    ),
    click.option("--rotate", type=click.Choice(["90", "180", "270"]), help="Turn the picture clockwise, degrees."),
    click.option("--flip", type=click.Choice(["horizontal", "vertical", "both"]), help="Mirror the picture."),
    click.option("--crop", metavar="L,T,W,H", help="Look only at this part of the turned picture, pixels."),
)

_RATE_OPTIONS = (
    click.option("--every", type=click.IntRange(min=1), metavar="N", help="Take each N-th frame only."),
    click.option(
        "--most-fps",
        type=float,
        metavar="F",
        help="Take at most F frames per second of a camera; of files, --every leaves some out.",
    ),
)


_PLACE_OPTIONS = (
    click.option("--product", metavar="NAME", help="The product that is looked at, where a site has several."),
    click.option(
        "--mask",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Look only here: polygons in frame coordinates (.json, by aae-roi), or a picture that is black elsewhere.",
    ),
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--camera`, `--source`, `--config` and `--only`."""
    return _with_options(command, _OPTIONS)


def camera_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what may be said of each source; the names are those of `stream_settings.KEYS`."""
    return _with_options(command, (*_VIEW_OPTIONS, *_RATE_OPTIONS))


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what may be said of a source of which it takes one frame."""
    return _with_options(command, _VIEW_OPTIONS)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what is said of what a camera looks at; the names are those of `stream_settings.KEYS`."""
    return _with_options(command, _PLACE_OPTIONS)


def _with_options(command: Callable[..., Any], options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def model_of_environment() -> Path | None:
    """Return the model that AAE_DETECT_MODEL names, or None."""
    named = os.environ.get(f"{ENVIRONMENT}MODEL", "")
    return Path(named) if named else None


def from_environment(command: click.Command) -> click.Command:
    """Let the environment set every option that says how to run: `--save-ng` by AAE_DETECT_SAVE_NG.

    Options win over it, and it over the file of `--config`. What is asked for once, such as `--doctor`, stays out, and
    so does an empty variable.
    """
    for parameter in command.params:
        longest = max(parameter.opts, key=len)
        if isinstance(parameter, click.Option) and parameter.name not in _ASKED_ONCE:
            parameter.envvar = ENVIRONMENT + longest.lstrip("-").replace("-", "_").upper()
    return command


def read_streams(
    camera: int | None,
    sources: Sequence[str],
    config: Path | None,
    demo: bool | None,
    options: Mapping[str, Any],
    only: str | None = None,
) -> tuple[StreamSettings, ...]:
    """Make out what is to be looked at; options hold for each source, also for those of a file.

    Args:
        camera: Of `--camera`.
        sources: Of `--source`.
        config: Of `--config`.
        demo: Of `--demo`; None: the command has no such option.
        options: By the names in `stream_settings.KEYS`.
        only: Of `--only`.

    Raises:
        ConfigError: nothing is named, or in two ways; a value cannot be used, or nothing in the file has that name.
    """
    from aae_detect.stream_settings import read_config, read_stream

    ways = {"--camera": camera is not None, "--source": bool(sources), "--config": config is not None}
    given = [name for name, is_given in ways.items() if is_given]
    if demo:
        given += [f"--{name.replace('_', '-')}" for name in VIEW_NAMES if options.get(name) is not None]
    if demo and given:
        raise ConfigError(f"--demo brings its own camera; leave {' and '.join(given)} out")
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} both name a source; give one of them")
    if not demo and not given:
        others = "or --config FILE" if demo is None else "--config FILE, or --demo"
        raise ConfigError(f"no source; give --camera 0, --source WHAT, {others}")
    values = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    for name in ("bits", "rotate"):
        values[name] = int(values[name]) if values.get(name) else None
    if only is not None and config is None:
        raise ConfigError(f"--only {only} picks a source of a file, and there is no --config; leave it out")
    if config is not None:
        return _named(read_config(config, values), only, config)
    addresses = ["demo:"] if demo else [str(camera)] if camera is not None else sources
    return tuple(read_stream({"source": address, **values}) for address in addresses)


def _named(streams: tuple[StreamSettings, ...], only: str | None, config: Path) -> tuple[StreamSettings, ...]:
    """Keep the source that is asked for."""
    kept = tuple(stream for stream in streams if only in (None, stream.source.shown_name))
    if not kept:
        names = ", ".join(stream.source.shown_name for stream in streams)
        raise ConfigError(f"--only {only}: {config} has no source of this name, but {names}")
    return kept

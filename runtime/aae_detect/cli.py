"""`aae-detect`: a camera and a model in, verdicts out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.errors import ConfigError
from aae_detect.provider_option import provider_option, provider_options_option, threads_option

if TYPE_CHECKING:
    from aae_detect.stream_settings import StreamSettings

_EPILOG = """\b
Examples:
  aae-detect --demo                                          see it work, with nothing of your own
  aae-detect --camera 0 --model detector.onnx                a camera, in a window
  aae-detect --source rtsp://host/line1 --model detector.onnx --no-window --jsonl - --save-ng ng/
  aae-detect --source 'parts/*.png' --model detector.onnx --save-video overlay.mp4
  aae-detect --source 0 --source 1 --model detector.onnx     two cameras, one model
  aae-detect --config line.toml --no-window --jsonl -        each camera as the file says
  aae-detect --doctor --model detector.onnx                  what this machine has, and whether the model runs on it

\b
Keys in the window: q or Esc quit, space pause, s snapshot, h heat map on/off.

\b
Exit codes: 0 every frame was OK; 3 something was NG; 4 the source failed; 5 the model was refused; 2 wrong usage;
1 anything else, a frame that could not be judged among it.
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="detector.onnx, from aae-export.  [default: what AAE_DETECT_MODEL names]",
)
@click.option("--camera", type=click.IntRange(min=0), metavar="N", help="Camera by its number; the same as --source N.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="WHAT",
    help="Device number, video, picture, folder, glob, rtsp:// or http:// stream, gst: pipeline, or demo:. May be "
    "repeated. ${NAME} stands for a variable of the environment, ${file:PATH} for what a file holds.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file of sources, each with its own model and camera settings; see docs/cameras.md.",
)
@click.option(
    "--demo", is_flag=True, help="The built-in demo camera, with the shipped demo model unless --model is given."
)
@provider_option
@provider_options_option
@threads_option
@click.option("--threshold", type=float, help="NG above this score, instead of the model's own threshold.")
@click.option("--size", metavar="WxH", help="Ask the camera for this resolution, such as 1920x1080.")
@click.option("--fps", type=float, help="Ask the camera for this rate; nominal for pictures.")
@click.option("--exposure", type=float, help="Ask the camera for this exposure, in its own units.")
@click.option("--gain", type=float, help="Ask the camera for this gain, in its own units.")
@click.option("--pixel-format", metavar="FOURCC", help="Ask the camera for this format, such as MJPG.")
@click.option("--bits", type=click.Choice(["10", "12", "16"]), help="Depth that 16-bit frames carry.  [default: 16]")
@click.option("--rotate", type=click.Choice(["90", "180", "270"]), help="Turn the picture clockwise, degrees.")
@click.option("--flip", type=click.Choice(["horizontal", "vertical", "both"]), help="Mirror the picture.")
@click.option("--crop", metavar="L,T,W,H", help="Look only at this part of the turned picture, pixels.")
@click.option("--every", type=click.IntRange(min=1), metavar="N", help="Judge each N-th frame only.")
@click.option("--most-fps", type=float, metavar="F", help="Judge at most F frames per second.")
@click.option(
    "--lost-after",
    type=float,
    metavar="S",
    help="A camera that is silent for S seconds is lost and opened again; 0: never.  [default: 1.5]",
)
@click.option("--wait", is_flag=True, help="Wait for a camera that is not there at the start. With --config always.")
@click.option("--no-window", is_flag=True, help="Open no window, also where there is a display.")
@click.option(
    "--save-video",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the overlays to a video (.mp4, .avi, .mkv).",
)
@click.option("--jsonl", metavar="FILE|-", help="Write one JSON line per frame; - is standard output.")
@click.option(
    "--save-ng",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Save every NG frame with its overlay.",
)
@click.option(
    "--show-reconstruction/--hide-reconstruction",
    default=True,
    show_default=True,
    help="Inset: what it should look like.",
)
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option("--stats", is_flag=True, help="Show rates, times and drops while it runs.")
@click.option("--doctor", is_flag=True, help="Say what this machine has, check the model if one is given, and stop.")
@click.version_option(__version__, prog_name="aae-detect")
def main(
    model: Path | None,
    camera: int | None,
    sources: tuple[str, ...],
    config: Path | None,
    demo: bool,
    provider: str,
    provider_options: dict[str, str],
    threads: int | Literal["auto"],
    no_window: bool,
    save_video: Path | None,
    jsonl: str | None,
    save_ng: Path | None,
    show_reconstruction: bool,
    max_frames: int | None,
    stats: bool,
    wait: bool,
    doctor: bool,
    **of_source: Any,
) -> None:
    """Find anomalies in what a camera sees, and show where they are.

    Frames go through the model; a frame whose score lies above the threshold is NG. Everything that is asked for by an
    option is written while it runs, and is whole when it ends, by Ctrl-C and SIGTERM too. A camera that is lost is
    opened again for as long as it takes.
    """
    with cli_errors():
        if doctor:
            from aae_detect.doctor import report

            text, healthy = report(model)
            click.echo(text)
            sys.exit(0 if healthy else 1)
        from aae_detect.app import Settings, run

        named = model or _model_of_environment(demo)
        settings = Settings(
            streams=_streams(camera, sources, config, demo, {"model": named, **of_source}),
            demo=demo,
            provider=provider,
            provider_options=provider_options,
            threads=threads,
            window=not no_window,
            save_video=save_video,
            jsonl=jsonl,
            save_ng=save_ng,
            show_reconstruction=show_reconstruction,
            max_frames=max_frames,
            stats=stats,
            wait=wait or config is not None,
        )
        sys.exit(run(settings))


def _model_of_environment(demo: bool) -> Path | None:
    """Read AAE_DETECT_MODEL; the demo leaves it alone, because it shows the shipped model."""
    named = os.environ.get("AAE_DETECT_MODEL", "")
    return Path(named) if named and not demo else None


def _streams(
    camera: int | None, sources: tuple[str, ...], config: Path | None, demo: bool, options: dict[str, Any]
) -> tuple[StreamSettings, ...]:
    """Make out what is to be looked at; options hold for each source, and for those of a file that say nothing else."""
    from aae_detect.stream_settings import read_config, read_stream

    ways = {"--camera": camera is not None, "--source": bool(sources), "--config": config is not None}
    given = [name for name, is_given in ways.items() if is_given]
    if demo and given:
        raise ConfigError(f"--demo brings its own camera; leave {' and '.join(given)} out")
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} both name a source; give one of them")
    if not demo and not given:
        raise ConfigError("no source; give --camera 0, --source WHAT, or --demo")
    values = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    for name in ("bits", "rotate"):
        values[name] = values[name] and int(values[name])
    if config is not None:
        return read_config(config, values)
    addresses = ["demo:"] if demo else [str(camera)] if camera is not None else sources
    return tuple(read_stream({"source": address, **values}) for address in addresses)

"""`aae-detect`: a camera and a model in, verdicts out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.provider_option import provider_option, provider_options_option, signature_option, threads_option
from aae_detect.source_options import (
    camera_options,
    from_environment,
    place_options,
    read_streams,
    source_options,
)

_EPILOG = """\b
Examples:
  aae-detect --demo                                          see it work, with nothing of your own
  aae-detect --camera 0 --model detector.onnx                a camera, in a window
  aae-detect --source rtsp://host/line1 --model detector.onnx --no-window --jsonl - --save-ng ng/
  aae-detect --source 'parts/*.png' --model detector.onnx --save-video overlay.mp4
  aae-detect --source 0 --source 1 --model detector.onnx     two cameras, one model
  aae-detect --config line.toml --no-window --jsonl -        each camera as the file says
  aae-detect --camera 0 --model detector.onnx --site site.json   by what aae-calibrate has learned here
  aae-detect --doctor --model detector.onnx                  what this machine has, and whether the model runs on it

\b
The environment sets options too: AAE_DETECT_SAVE_NG=ng is --save-ng ng. Options win over it, and it over --config.

\b
Keys in the window: q or Esc quit, space pause, s snapshot, h heat map on/off.

\b
Exit codes: 0 every frame was OK; 3 something was NG; 4 a source failed, or a picture could not be read and nothing
was NG; 1 a frame was UNKNOWN and none of these, or anything else; 5 the model was refused; 2 wrong usage.
"""


@from_environment
@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="detector.onnx, from aae-export.",
)
@source_options
@click.option(
    "--demo", is_flag=True, help="The built-in demo camera, with the shipped demo model unless --model is given."
)
@provider_option
@provider_options_option
@threads_option
@signature_option
@click.option("--threshold", type=float, help="NG above this score, instead of the model's own threshold.")
@click.option(
    "--site",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What aae-calibrate has learned in front of this camera: threshold, and what is usual at each place.",
)
@place_options
@click.option(
    "--decide",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file of rules: what the line is told, once for each part or when it changes; see docs/decisions.md.",
)
@camera_options
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
@click.option(
    "--jsonl",
    metavar="FILE|-",
    help="Write one JSON line per frame; - is standard output. With cameras, lines are added to the file; else it is "
    "written anew.",
)
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
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep NG, UNKNOWN, decisions, drift and lost cameras with their pictures, safely; see aae-events.",
)
@click.option(
    "--sinks",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file of who else is told: MQTT, webhooks, Python, Prometheus; see docs/sinks.md.",
)
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option("--stats", is_flag=True, help="Show rates, times and drops while it runs.")
@click.option(
    "--log",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What is said on standard error: lines for people (with levels for the journal of systemd), or JSON.",
)
@click.option(
    "--check-config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read a file for --config and all that it names, with the options and the environment of the run, "
    "--sinks and --store among them; say what is wrong, and stop.",
)
@click.option("--doctor", is_flag=True, help="Say what this machine has, check the model if one is given, and stop.")
@click.version_option(__version__, prog_name="aae-detect")
def main(
    model: Path | None,
    camera: int | None,
    sources: tuple[str, ...],
    config: Path | None,
    only: str | None,
    demo: bool,
    provider: str,
    provider_options: dict[str, str],
    threads: int | Literal["auto"],
    require_signature: Path | None,
    no_window: bool,
    save_video: Path | None,
    jsonl: str | None,
    save_ng: Path | None,
    store: Path | None,
    sinks: Path | None,
    show_reconstruction: bool,
    max_frames: int | None,
    stats: bool,
    wait: bool,
    log: Literal["text", "json"],
    check_config: Path | None,
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
        if check_config is not None:
            from aae_detect.config_check import check_config as check

            lines, healthy = check(check_config, sinks, require_signature, {"model": model, **of_source}, store)
            click.echo("\n".join(lines), err=not healthy)
            sys.exit(0 if healthy else 2)
        from aae_detect.app import run
        from aae_detect.run_settings import Settings

        # What is looked at comes from one place: who names it on the command line means that, and the demo its own.
        if demo or any(_given(name) is ParameterSource.COMMANDLINE for name in ("camera", "sources", "config")):
            camera = None if _given("camera") is ParameterSource.ENVIRONMENT else camera
            sources = () if _given("sources") is ParameterSource.ENVIRONMENT else sources
            config = None if _given("config") is ParameterSource.ENVIRONMENT else config
            if config is None:
                only = None if _given("only") is ParameterSource.ENVIRONMENT else only
        if demo:
            model = None if _given("model") is ParameterSource.ENVIRONMENT else model
            for name in (name for name in of_source if _given(name) is ParameterSource.ENVIRONMENT):
                of_source[name] = None
        settings = Settings(
            streams=read_streams(camera, sources, config, demo, {"model": model, **of_source}, only),
            demo=demo,
            provider=provider,
            provider_options=provider_options,
            threads=threads,
            require_signature=require_signature,
            window=not no_window,
            save_video=save_video,
            jsonl=jsonl,
            save_ng=save_ng,
            store=store,
            sinks=sinks,
            show_reconstruction=show_reconstruction,
            max_frames=max_frames,
            stats=stats,
            log=log,
            wait=wait or config is not None,
        )
        sys.exit(run(settings))


def _given(name: str) -> ParameterSource | None:
    """Say where a parameter's value comes from."""
    return click.get_current_context().get_parameter_source(name)


if __name__ == "__main__":
    main()

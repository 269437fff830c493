"""`aae-calibrate`: good parts in front of a camera in, a site file out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.provider_option import provider_option, provider_options_option, signature_option, threads_option
from aae_detect.source_options import camera_options, model_of_environment, place_options, read_streams, source_options

_EPILOG = """\b
Examples:
  aae-calibrate detector.onnx --camera 0 --out site.json               300 frames of good parts, as they come
  aae-calibrate detector.onnx --camera 0 --most-fps 1 --out site.json  over five minutes: more different parts
  aae-calibrate detector.onnx --source good/ --for 'camera 0' --out site.json
  aae-calibrate --config line.toml --product lid --out site.json       every camera of the file
  aae-calibrate --config line.toml --only 'line 2' --out site.json     one of them

\b
Then:
  aae-detect --camera 0 --model detector.onnx --site site.json

\b
Exit codes: 0 done; 4 the source failed, or gave too few frames; 5 the model was refused; 2 wrong usage; 130 stopped
by Ctrl-C, nothing written; 1 anything else.
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("model", type=click.Path(path_type=Path), required=False)
@source_options
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Site file; an entry of the same camera and product is replaced, others stay.",
)
@click.option("--count", type=click.IntRange(min=10), default=300, show_default=True, help="Good frames to look at.")
@click.option(
    "--target-frr",
    type=click.FloatRange(0, 1, True, True),
    default=0.01,
    show_default=True,
    help="Share of good frames that the threshold may reject.",
)
@click.option(
    "--for",
    "camera_name",
    metavar="NAME",
    help="The source that this is for, as aae-detect names it, where the frames come from elsewhere.",
)
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Store of events that shall remember this calibration: that of aae-detect, which may be running.",
)
@place_options
@camera_options
@provider_option
@provider_options_option
@threads_option
@signature_option
@click.version_option(__version__, prog_name="aae-calibrate")
def main(
    model: Path | None,
    camera: int | None,
    sources: tuple[str, ...],
    config: Path | None,
    only: str | None,
    out: Path,
    count: int,
    target_frr: float,
    camera_name: str | None,
    store: Path | None,
    provider: str,
    provider_options: dict[str, str],
    threads: int | Literal["auto"],
    require_signature: Path | None,
    **of_source: Any,
) -> None:
    """Set a model's threshold for one camera and its light, from good parts in front of it.

    MODEL is a detector.onnx. Let good parts pass, as different as they come, and no defective ones. What the map shows
    at a place in every good frame, such as a reflection, is taken out; the threshold is set for the rate that is asked
    for; and what that rate can be in the worst case is said. Needs no torch and takes seconds.
    """
    with cli_errors():
        from aae_detect.calibrate.run import Settings, run

        settings = Settings(
            streams=read_streams(
                camera, sources, config, None, {"model": model or model_of_environment(), **of_source}, only
            ),
            out=out,
            count=count,
            target_frr=target_frr,
            camera_name=camera_name,
            store=store,
            provider=provider,
            provider_options=provider_options,
            threads=threads,
            require_signature=require_signature,
        )
        sys.exit(run(settings))


if __name__ == "__main__":
    main()

"""`aae-capture`: a camera in, a folder of good pictures out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.errors import ConfigError
from aae_detect.source_options import camera_options, read_streams, source_options

_MOST_FPS = 2.0
"""Pictures per second that are looked at where neither an option nor the file says it."""

_EPILOG = """\b
Examples:
  aae-capture --camera 0 --out good --count 200                two pictures a second, those that differ
  aae-capture --source rtsp://host/line1 --out good --most-fps 0.5
  aae-capture --source film.mp4 --out good --every 10

\b
Then: look through the folder, take out what is not good, and type aae-train good

\b
Exit codes: 0 done; 4 the source failed; 2 wrong usage; 130 stopped by Ctrl-C, what was kept stays; 1 anything else.
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@source_options
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR")
@click.option("--count", type=click.IntRange(min=1), default=200, show_default=True, help="Pictures to keep.")
@click.option("--keep-alike", is_flag=True, help="Keep also those that show the same as one before.")
@camera_options
@click.version_option(__version__, prog_name="aae-capture")
def main(
    camera: int | None,
    sources: tuple[str, ...],
    config: Path | None,
    only: str | None,
    out: Path,
    count: int,
    keep_alike: bool,
    **of_camera: Any,
) -> None:
    """Take pictures of good parts.

    Let good parts pass, as different as they come, and no defective ones. While it runs a line says how bright and how
    sharp the picture is, and what to do about it. Pictures that show the same as one that was kept are left out; they
    are kept as the camera gave them, in PNG, and no file is ever overwritten. Unless --most-fps or the file says
    otherwise, at most two a second are looked at.
    """
    with cli_errors():
        from aae_detect.capture.run import run

        streams = read_streams(camera, sources, config, None, of_camera, only)
        if len(streams) > 1:
            how = "" if config is None else "; name one with --only"
            raise ConfigError(f"{len(streams)} sources are given; take pictures of one after the other{how}")
        asked = streams[0].source
        if asked.most_fps is None:
            asked = replace(asked, most_fps=_MOST_FPS)
        sys.exit(run(replace(streams[0], source=asked), out, count, keep_alike))


if __name__ == "__main__":
    main()

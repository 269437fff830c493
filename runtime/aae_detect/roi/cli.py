"""`aae-roi`: draws, shows and edits masks."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.errors import ConfigError, SourceError
from aae_detect.source_names import printable
from aae_detect.source_options import read_streams, view_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aae_detect.frame_mask import Polygon
    from aae_detect.roi.sketch import Sketch

_EPILOG = """\b
Examples:
  aae-roi mask.json --source 0                                 draw on a picture of camera 0, in a window
  aae-roi mask.json --frame 1920x1080 --look '200,100 1700,100 1700,980 200,980'
  aae-roi mask.json --ignore '900,500 1000,500 1000,600'       one more polygon; --remove ignore:1 takes it out
  aae-roi mask.json --source 0 --show mask.jpg                 the mask over a picture, for a machine without a monitor
  aae-roi mask.json                                            what is in it

\b
Then: aae-detect --camera 0 --model detector.onnx --mask mask.json

\b
Exit codes: 0 done; 1 left without saving; 2 wrong usage or a damaged mask; 4 the source failed.
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("mask", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--source", metavar="WHAT", help="Where a frame comes from: camera, stream, video, picture.")
@click.option("--frame", metavar="WxH", help="Size of the frame that the points lie in, where there is no --source.")
@click.option("--look", multiple=True, metavar="'X,Y X,Y X,Y'", help="Add a polygon of what counts.")
@click.option("--ignore", multiple=True, metavar="'X,Y X,Y X,Y'", help="Add a polygon of what does not count.")
@click.option("--remove", multiple=True, metavar="look:N|ignore:N", help="Take the N-th polygon out, from 1.")
@click.option(
    "--show", type=click.Path(dir_okay=False, path_type=Path), metavar="PICTURE", help="Write the mask over the frame."
)
@view_options
@click.version_option(__version__, prog_name="aae-roi")
def main(
    mask: Path,
    source: str | None,
    frame: str | None,
    look: tuple[str, ...],
    ignore: tuple[str, ...],
    remove: tuple[str, ...],
    show: Path | None,
    **of_camera: Any,
) -> None:
    """Say where in a frame to look, and what to ignore.

    MASK is a JSON file of polygons in frame coordinates, made or changed. With --source and nothing to add or to show,
    a window opens: click points, Enter closes a polygon, i changes between what to look at and what to ignore, u takes
    back, s saves. A picture that is turned or cut (--rotate, --flip, --crop) is drawn on as it is judged.
    """
    with cli_errors():
        from aae_detect.frame_mask import read_mask, write_polygons

        picture = _read_frame(source, of_camera) if source is not None else None
        sketch = _begin(mask, frame, picture)
        changes = bool(look or ignore or remove)
        for text in remove:
            _remove(sketch, text)
        sketch.look += [_read_polygon(text, "--look") for text in look]
        sketch.ignore += [_read_polygon(text, "--ignore") for text in ignore]
        if picture is not None and not changes and show is None:
            from aae_detect.roi.edit_window import HELP, edit

            click.echo(HELP)
            if not edit(sketch, picture, f"aae-roi {printable(str(mask))}"):
                click.echo("left without saving")
                sys.exit(1)
            changes = True
        if changes:
            try:
                write_polygons(mask, sketch.polygons())
            except ValueError as error:
                raise ConfigError(f"this is no mask: {error}") from error
            read_mask(mask)  # says so where nothing is left to look at
        _tell(mask, sketch)
        if show is not None:
            _show(sketch, picture, show)


def _read_frame(source: str, of_camera: dict[str, Any]) -> NDArray[np.uint8]:
    """Take the first frame that can be read, turned and cut as aae-detect would."""
    from aae_detect.frames import Frame
    from aae_detect.preprocess import to_bgr8
    from aae_detect.source_settings import open_with

    (stream,) = read_streams(None, [source], None, False, of_camera)
    opened, problem = open_with(stream.source), ""
    try:
        while (item := opened.read()) is not None:
            if isinstance(item, Frame):
                if item.image is not None:
                    return to_bgr8(item.image, stream.source.camera.bits)
                problem = item.problem
    finally:
        opened.close()
    raise SourceError(problem or f"{stream.source.shown_name} gave no frame; is it connected?")


def _begin(mask: Path, frame: str | None, picture: NDArray[np.uint8] | None) -> Sketch:
    """Open the mask, or begin one."""
    from aae_detect.frame_mask import read_polygons
    from aae_detect.roi.sketch import Sketch

    if mask.suffix.lower() != ".json":
        raise ConfigError(f"{mask}: the name of a mask of polygons ends in .json; pictures are drawn elsewhere")
    if mask.exists():
        if frame is not None:
            raise ConfigError(f"--frame: {mask} exists and says its own frame; leave it out, or remove the file")
        return Sketch.of(read_polygons(mask))
    if frame is not None:
        found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", frame)
        if found is None:
            raise ConfigError(f"--frame: {frame!r}; expected WIDTHxHEIGHT, such as 1920x1080")
        return Sketch((int(found[1]), int(found[2])))
    if picture is not None:
        return Sketch((picture.shape[1], picture.shape[0]))
    raise ConfigError(
        f"{mask} does not exist; give --source to draw it on a frame, or --frame WxH and --look to write it"
    )


def _read_polygon(text: str, option: str) -> Polygon:
    try:
        points = [point.split(",") for point in text.split()]
        polygon = tuple((float(x), float(y)) for x, y in points)
    except ValueError:
        raise ConfigError(f"{option}: {text!r:.80}; expected points as 'X,Y X,Y X,Y' in pixels") from None
    if len(polygon) < 3:
        raise ConfigError(f"{option}: {text!r:.80} has {len(polygon)} points; a polygon has three or more")
    return polygon


def _remove(sketch: Sketch, text: str) -> None:
    found = re.fullmatch(r"(look|ignore):(\d{1,4})", text)
    polygons = getattr(sketch, found[1]) if found else []
    if found is None or not 1 <= int(found[2]) <= len(polygons):
        raise ConfigError(
            f"--remove: {text!r:.40}; there are {len(sketch.look)} look and {len(sketch.ignore)} ignore polygons, "
            "counted from 1, such as look:1"
        )
    del polygons[int(found[2]) - 1]


def _tell(mask: Path, sketch: Sketch) -> None:
    """Say what is in the mask."""
    from aae_detect.frame_mask import FrameMask

    width, height = sketch.frame_wh
    share = float(FrameMask(sketch.polygons()).inside((height, width)).mean())
    click.echo(f"{mask}: frame {width}x{height}, {share:.1%} of it counts")
    for name, polygons in (("look", sketch.look), ("ignore", sketch.ignore)):
        for number, polygon in enumerate(polygons, start=1):
            click.echo(f"{name}:{number}  " + " ".join(f"{x:g},{y:g}" for x, y in polygon))


def _show(sketch: Sketch, picture: NDArray[np.uint8] | None, path: Path) -> None:
    """Write the mask over a frame, or over gray."""
    import numpy as np

    from aae_detect._opencv import cv2

    if picture is None:
        picture = np.full((sketch.frame_wh[1], sketch.frame_wh[0], 3), 200, np.uint8)
    try:
        written, data = cv2.imencode(path.suffix, sketch.draw(picture))
        if written:
            path.write_bytes(data.tobytes())  # by Python: OpenCV takes no name that is no UTF-8
    except (cv2.error, OSError):
        written = False
    if not written:
        raise ConfigError(
            f"--show {path} cannot be written; give a name that ends in .jpg or .png, in a folder that exists"
        )
    click.echo(f"written to {path}")


if __name__ == "__main__":
    main()

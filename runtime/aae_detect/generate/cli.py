"""`aae-generate`: an export in, a sheet of what its model believes a good part looks like out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.errors import ConfigError
from aae_detect.provider_option import provider_option
from aae_detect.whole_file import check_target, write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_EPILOG = """\b
Examples:
  aae-generate runs/bottle/export --out sheet.png
  aae-generate runs/bottle/export --out sheet.png --count 100 --seed 7
  aae-generate runs/bottle/export --out sheet.png --picture parts/0001.png

\b
Exit codes: 0 the sheet was written; 2 wrong usage, or it cannot be written;
4 the picture cannot be read; 5 the model was refused; 1 anything else.
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The sheet, a .png; an earlier one is replaced.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 400),
    default=40,
    show_default=True,
    metavar="N",
    help="Samples from the prior to show.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show what becomes of this picture, too: several reconstructions where the encoder is stochastic.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed gives the same sheet.",
)
@click.option(
    "--bits", type=click.Choice(["10", "12", "16"]), help="Depth that a 16-bit picture carries.  [default: the model's]"
)
@provider_option
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    default=0,
    show_default=True,
    help="Threads for the model; 0: one per core.",
)
@click.version_option(__version__, prog_name="aae-generate")
def main(
    folder: Path,
    out: Path,
    count: int,
    picture: Path | None,
    seed: int,
    bits: str | None,
    provider: str,
    threads: int,
) -> None:
    """Draw what the model in DIR believes a good part looks like.

    DIR is a folder that aae-export wrote. The sheet shows samples from the model's prior, ways from one sample to
    another, and with --picture what becomes of a picture of yours.
    """
    with cli_errors():
        from aae_detect.generate.contents import draw_contents, picture_section, samples_section, ways_section
        from aae_detect.generate.generator import Generator
        from aae_detect.generate.part_model import require_one_export
        from aae_detect.generate.reconstructor import Reconstructor
        from aae_detect.picture_source import read_picture

        _check_out(out)
        generator = Generator.load(folder, provider, threads)
        sections = []
        if picture is not None:  # first of all: it is where a mistake shows, and samples may take a while
            reconstructor = Reconstructor.load(folder, provider, threads)
            require_one_export([generator.model, reconstructor.encoder])
            prepared = reconstructor.prepare(read_picture(picture), int(bits) if bits else None)
            sections.append(picture_section(reconstructor, prepared, picture.name, seed))
        sections = [samples_section(generator, count, seed), ways_section(generator, count, seed), *sections]
        _warn(generator.model.warnings)
        _write_png(out, draw_contents(generator.model.note, seed, sections))
    samples = "1 sample" if count == 1 else f"{count} samples"
    click.echo(f"{samples} of {generator.model.note.family}, prior {generator.prior.name}: written to {out}")


def _check_out(out: Path) -> None:
    """Refuse a file that cannot be written before the work, not after."""
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out} does not end in .png; give a name that does")
    check_target(out, "--out")


def _write_png(out: Path, sheet: NDArray[np.uint8]) -> None:
    from aae_detect._opencv import cv2
    from aae_detect.picture_bytes import encode_picture

    write_whole(out, encode_picture(".png", sheet, [cv2.IMWRITE_PNG_COMPRESSION, 6]))


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


if __name__ == "__main__":
    main()

"""`aae-export`: a run folder in, ONNX files out."""

from __future__ import annotations

from pathlib import Path

import click

from aae_detect.cli_errors import cli_errors

_EPILOG = """\b
Examples:
  aae-export runs/good-1                     writes runs/good-1/export/detector.onnx and its parts
  aae-export runs/good-1 --out /opt/models/bottle
  aae-export runs/good-1 --precision int8    writes detector.int8.onnx beside it, if that costs little
  aae-detect --camera 0 --model runs/good-1/export/detector.onnx

\b
Exit codes: 0 done; 2 wrong usage or run; 5 the exported model does not answer like the trained one; 1 anything else.
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write.  [default: RUN/export]")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Where the run's pictures lie now, if they were moved.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Write detector.PRECISION.onnx too: int8 for processors, fp16 for GPUs.",
)
@click.option("--force", is_flag=True, help="Write it also where it costs more accuracy than is allowed.")
def main(run: Path, out: Path | None, data: Path | None, precision: str, force: bool) -> None:
    """Export the trained model in RUN to ONNX.

    Writes encoder.onnx, decoder.onnx, generator.onnx and detector.onnx. Each is compared with the trained model on real
    pictures, number for number; where one differs too much, nothing is written. Only detector.onnx has to travel to the
    device.

    Another precision is measured against fp32 on pictures that training did not see, or on the labelled ones where DATA
    has a test folder; it gets a threshold of its own, and is refused where it costs more than a point of image AUROC.
    """
    with cli_errors():
        from aae_export.export import export_run

        other = None if precision == "fp32" else precision
        report = export_run(run, out if out is not None else run / "export", data, other, force)  # type: ignore[arg-type]
    click.echo(f"{'graph':<10} {'output':<15} {'batch':>5} {'largest difference':>19}  relative")
    for row in report.differences:
        click.echo(f"{row.graph:<10} {row.output:<15} {row.batch:>5} {row.largest:>19.3g}  {row.largest_relative:.1e}")
    click.echo(f"all within tolerance; wrote {report.folder}")
    name = "detector.onnx"
    if (cost := report.cost) is not None:
        name = f"detector.{cost.precision}.onnx"
        click.echo(cost.describe())
    click.echo(f"next: aae-detect --camera 0 --model {report.folder / name}")


if __name__ == "__main__":
    main()

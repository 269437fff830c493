"""`aae-export`: a run folder in, ONNX files out."""

from __future__ import annotations

from pathlib import Path

import click

from aae_detect.cli_errors import cli_errors

_EPILOG = """\b
Examples:
  aae-export runs/good-1                     writes runs/good-1/export/detector.onnx and its parts
  aae-export runs/good-1 --out /opt/models/bottle
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
def main(run: Path, out: Path | None, data: Path | None) -> None:
    """Export the trained model in RUN to ONNX.

    Writes encoder.onnx, decoder.onnx, generator.onnx and detector.onnx. Each is compared with the trained model on real
    pictures, number for number; where one differs too much, nothing is written. Only detector.onnx has to travel to the
    device.
    """
    with cli_errors():
        from aae_export.export import export_run

        report = export_run(run, out if out is not None else run / "export", data)
    click.echo(f"{'graph':<10} {'output':<15} {'batch':>5} {'largest difference':>19}  relative")
    for row in report.differences:
        click.echo(f"{row.graph:<10} {row.output:<15} {row.batch:>5} {row.largest:>19.3g}  {row.largest_relative:.1e}")
    click.echo(f"all within tolerance; wrote {report.folder}")
    click.echo(f"next: aae-detect --camera 0 --model {report.folder / 'detector.onnx'}")


if __name__ == "__main__":
    main()

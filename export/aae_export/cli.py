"""`aae-export`: a run folder in, ONNX files out."""

from __future__ import annotations

from pathlib import Path

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors

_EPILOG = """\b
Examples:
  aae-export runs/good-1                     writes runs/good-1/export/detector.onnx and its parts
  aae-export runs/good-1 --out /opt/models/bottle
  aae-export runs/good-1 --precision int8    writes detector.int8.onnx beside it, if that costs little
  aae-export runs/good-1 --sign owner.pem    for devices that run aae-detect --require-signature owner.pub
  aae-export runs/good-1 --budget-ms 5 --threads 2      what holds 5 ms on this machine, at which cost?
  aae-detect --camera 0 --model runs/good-1/export/detector.onnx

\b
Exit codes: 0 done; 2 wrong usage or run; 5 the exported model does not answer like the trained one, or the precision
costs too much; 6 exported, but nothing holds --budget-ms; 1 anything else.
"""

NOTHING_HOLDS = 6
"""Exit code; `aae-bench latency --against` ends with it, too, where something is slower than allowed."""


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
@click.option(
    "--budget-ms",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MS",
    help="Choose precision and threads that hold this time for one inference, on this machine, in 95 of 100.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads that --budget-ms may take.  [default: all usable cores]",
)
@click.option(
    "--sign",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Sign each file with this private key (Ed25519, PEM), for devices that run `--require-signature`.",
)
@click.version_option(__version__, prog_name="aae-export")
@click.pass_context
def main(
    ctx: click.Context,
    run: Path,
    out: Path | None,
    data: Path | None,
    precision: str,
    force: bool,
    budget_ms: float | None,
    threads: int | None,
    sign: Path | None,
) -> None:
    """Export the trained model in RUN to ONNX.

    Writes encoder.onnx, decoder.onnx, generator.onnx and detector.onnx. Each is compared with the trained model on real
    pictures, number for number; where one differs too much, nothing is written. Only detector.onnx has to travel to the
    device.

    Another precision is measured against fp32 on pictures that training did not see, or on the labelled ones where DATA
    has a test folder; it gets a threshold of its own, and is refused where it costs more than a point of image AUROC:
    then detector.onnx is written without it, and the exit code is 5.

    With --budget-ms, fp32 and int8 (and fp16 where CUDA is) are measured in turns with several numbers of threads; of
    those that hold it, the one that costs the least accuracy is chosen. Where none does, the answer is the input size
    that should, and how to train it.
    """
    if budget_ms is None and threads is not None:
        raise click.UsageError("--threads goes with --budget-ms; a detector gets its threads from aae-detect --threads")
    if budget_ms is not None and precision != "fp32":
        raise click.UsageError(f"--budget-ms chooses the precision itself; leave --precision {precision} out")
    with cli_errors():
        from aae_detect.signature import SigningKey
        from aae_export.budget import Budget
        from aae_export.export import export_run

        other = None if precision == "fp32" else precision
        budget = None if budget_ms is None else Budget(budget_ms, threads)
        key = None if sign is None else SigningKey(sign)
        folder = out if out is not None else run / "export"
        report = export_run(run, folder, data, other, force, budget, key)  # type: ignore[arg-type]
    click.echo(f"{'graph':<10} {'output':<15} {'batch':>5} {'largest difference':>19}  relative")
    for row in report.differences:
        click.echo(f"{row.graph:<10} {row.output:<15} {row.batch:>5} {row.largest:>19.3g}  {row.largest_relative:.1e}")
    click.echo(f"all within tolerance; wrote {report.folder}{'' if sign is None else ', signed'}")
    if report.left_out:
        click.secho(
            f"warning: {len(report.left_out)} labelled pictures cannot be read and were left out, the first: "
            f"{report.left_out[0]}",
            fg="yellow",
            err=True,
        )
    name, options = "detector.onnx", ""
    if (cost := report.cost) is not None:
        name = f"detector.{cost.precision}.onnx"
        click.echo(cost.describe())
    if (choice := report.choice) is not None:
        click.echo(choice.describe())
        if choice.chosen is None:
            ctx.exit(NOTHING_HOLDS)
        name, options = choice.chosen.file, f" {choice.chosen.options}"
    click.echo(f"next: aae-detect --camera 0 --model {report.folder / name}{options}")


if __name__ == "__main__":
    main()

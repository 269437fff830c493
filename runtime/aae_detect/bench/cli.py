"""`aae-bench`: how right and how fast a detector is, on the machine that will run it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from aae_detect import __version__
from aae_detect.bench.handover import COMMAND, check_json_target, hand_over, json_option, progress, warn
from aae_detect.bench.options import frame_size, list_of
from aae_detect.bench.pipeline_command import pipeline
from aae_detect.errors import AaeDetectError
from aae_detect.provider_option import provider_option, provider_options_option


class _Bench(click.Group):
    """Keeps the command line for the result, and turns the package's errors into messages with their exit codes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[COMMAND] = shlex.join(["aae-bench", *args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AaeDetectError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


_EXIT_CODES = """\b
Exit codes: 0 measured, 2 an option or DATA cannot be used, 4 a picture cannot
be read, 5 the model is refused, 1 anything else.
"""
_ACCURACY_EXAMPLES = """\b
Examples:
  aae-bench accuracy detector.onnx sets/bottle
  aae-bench accuracy detector.onnx sets/bottle --json bottle.json --csv scores.csv
  aae-bench accuracy detector.onnx sets/bottle --robustness
  aae-bench accuracy detector.onnx sets/bottle --limit 20 --json - | jq .image_auroc
"""
_LATENCY_EXAMPLES = """\b
Examples:
  aae-bench latency detector.onnx
  aae-bench latency detector.onnx --threads 1,2,4 --json latency.json
  aae-bench latency detector.onnx --provider cpu,cuda --size 640x480,3840x2160
"""


@click.group(cls=_Bench, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXIT_CODES)
@click.version_option(__version__, prog_name="aae-bench")
def main() -> None:
    """Measure a detector on this machine: how right it is, and how fast."""


@main.command(epilog=_ACCURACY_EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@json_option
@click.option(
    "--csv", "csv_target", type=click.Path(path_type=Path), metavar="FILE", help="Write each picture's score."
)
@provider_option
@provider_options_option
@click.option(
    "--threads", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Threads; 0: one per core."
)
@click.option("--threshold", type=float, metavar="SCORE", help="Use this instead of the model's own threshold.")
@click.option("--bits", type=click.Choice(["10", "12", "16"]), help="Depth that 16-bit pictures carry.  [default: 16]")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="At most N pictures of each kind, evenly spread; default all."
)
@click.option("--robustness", is_flag=True, help="Measure also under other light, focus, position, JPEG and noise.")
@click.pass_context
def accuracy(
    ctx: click.Context,
    model: Path,
    data: Path,
    json_target: str | None,
    csv_target: Path | None,
    provider: str,
    provider_options: dict[str, str],
    threads: int,
    threshold: float | None,
    bits: str | None,
    limit: int | None,
    robustness: bool,
) -> None:
    """Measure how right MODEL is on the labelled pictures in DATA.

    DATA has the MVTec AD layout: test/good, test/DEFECT, and masks in ground_truth/DEFECT named STEM.png or
    STEM_mask.png. Masks may be missing. Image figures come with bootstrap 95 % intervals. Pixel figures are computed at
    the pictures' own resolution, longest side at most 512.
    """
    from aae_detect.bench.accuracy import judge_pictures, measure_accuracy, scores_csv
    from aae_detect.bench.dataset import find_labelled_set
    from aae_detect.bench.report import accuracy_table, describe_run
    from aae_detect.bench.robustness import measure_robustness
    from aae_detect.detector import Detector
    from aae_detect.model_file import read_model
    from aae_detect.whole_file import check_target, write_whole

    check_json_target(json_target)
    if csv_target:
        check_target(csv_target, "--csv")
    labelled = find_labelled_set(data, limit)
    detector = Detector.load(model, provider, threads, threshold, int(bits) if bits else None, provider_options)
    warn(detector.warnings)
    with progress(len(labelled.pictures), "pictures") as done:
        judged = judge_pictures(detector, labelled, done)
    figures = measure_accuracy(judged, detector.threshold)
    figures["counts"]["unused_masks"] = labelled.unused_masks
    if robustness:
        with progress(len(labelled.pictures), "disturbed pictures") as done:
            figures["robustness"] = measure_robustness(detector, labelled, int(bits) if bits else None, done)
    result = {
        **figures,
        "threshold": detector.threshold,
        "data": data.resolve().name,
        "provider": detector.provider,
        "threads": threads,
        **describe_run(read_model(model), ctx.meta[COMMAND]),
    }
    if csv_target:
        write_whole(csv_target, scores_csv(judged, data, detector.threshold))
    hand_over(result, json_target, accuracy_table(result))


@main.command(epilog=_LATENCY_EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@json_option
@click.option(
    "--threads",
    callback=list_of(click.IntRange(0).convert),
    default="1,2",
    show_default=True,
    metavar="N,...",
    help="Thread counts to measure; 0: one per core.",
)
@click.option(
    "--provider",
    "providers",
    callback=list_of(click.STRING.convert),
    default="auto",
    show_default=True,
    metavar="NAME,...",
    help="Execution providers to measure, as aae-detect takes them.",
)
@click.option(
    "--size",
    "sizes",
    callback=list_of(frame_size),
    default="640x480",
    show_default=True,
    metavar="WxH,...",
    help="Frame sizes to measure, width first.",
)
@click.option(
    "--batch",
    "batches",
    callback=list_of(click.IntRange(1, 1024).convert),
    default="1",
    show_default=True,
    metavar="N,...",
    help="Frames given to the model at once.",
)
@click.option(
    "--repeat", type=click.IntRange(1), default=200, show_default=True, metavar="N", help="Timed runs of each setting."
)
@click.option(
    "--warmup",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="N",
    help="Untimed runs first in each turn.",
)
@click.pass_context
def latency(
    ctx: click.Context,
    model: Path,
    json_target: str | None,
    threads: tuple[int, ...],
    providers: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    batches: tuple[int, ...],
    repeat: int,
    warmup: int,
) -> None:
    """Measure how long MODEL takes on this machine, stage by stage.

    The frames come from the demo camera. Settings take turns, so that what else the machine does hits all of them
    alike. Times are for one frame: a batch's time is divided by its size. Threads are those of the model; OpenCV, which
    resizes and draws, takes its own. The peak memory is the whole process's, with one setting loaded at a time.
    """
    from aae_detect._opencv import cv2
    from aae_detect.bench.latency import list_settings, measure_latency, turn_count
    from aae_detect.bench.machine import peak_memory_mib
    from aae_detect.bench.report import describe_run, latency_table
    from aae_detect.model_file import read_model

    check_json_target(json_target)
    described = describe_run(read_model(model), ctx.meta[COMMAND])  # before the work: its load is not the machine's
    settings = list_settings(providers, threads, sizes, batches)
    with progress(len(settings) * turn_count(repeat), "turns") as done:
        rows = measure_latency(model, settings, repeat, warmup, done=done)
    warn(dict.fromkeys(warning for row in rows for warning in row.get("warnings", ())))
    result = {
        "rows": rows,
        "peak_memory_mib": peak_memory_mib(),
        "warmup": warmup,
        "opencv_threads": cv2.getNumThreads(),  # --threads is ONNX Runtime's number only, as in aae-detect
        **described,
    }
    hand_over(result, json_target, latency_table(result))


main.add_command(pipeline)

if __name__ == "__main__":
    main()

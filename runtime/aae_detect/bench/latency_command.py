"""`aae-bench latency`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aae_detect.bench.handover import COMMAND, check_json_target, hand_over, json_option, progress, warn
from aae_detect.bench.options import frame_size, list_of

_EXAMPLES = """\b
Examples:
  aae-bench latency detector.onnx
  aae-bench latency detector.onnx --threads 1,2,4 --json all.json --histogram all.png
  aae-bench latency fp32.onnx int8.onnx --provider cpu,cuda --size 640x480
  aae-bench latency detector.onnx --against yesterday.json --tolerance 5
"""


@click.command(epilog=_EXAMPLES)
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODEL...")
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
    metavar="N",
    help="Untimed runs first in each turn.  [default: until they get no faster]",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Another detector.onnx, measured in turns with MODEL, or an earlier --json of this machine.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="PERCENT",
    help="How much slower than --against is allowed; more ends with exit code 6.",
)
@click.option(
    "--histogram",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a picture (.png) of how long frames took.",
)
@click.pass_context
def latency(
    ctx: click.Context,
    models: tuple[Path, ...],
    json_target: str | None,
    threads: tuple[int, ...],
    providers: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    batches: tuple[int, ...],
    repeat: int,
    warmup: int | None,
    against: Path | None,
    tolerance: float,
    histogram: Path | None,
) -> None:
    """Measure how long each MODEL takes on this machine, stage by stage.

    The frames come from the demo camera. Settings take turns, so that what else the machine does hits all of them
    alike. Times are for one frame: a batch's time is divided by its size. Threads are those of the model; OpenCV, which
    resizes and draws, takes its own. The peak memory is the whole process's, with one setting loaded at a time.

    With --against, a setting counts as slower when its median from frame to verdict is, by more than --tolerance, in
    every turn.
    """
    from aae_detect._opencv import cv2
    from aae_detect.bench.against import SLOWER, compare_in_turns, compare_with_baseline, read_baseline
    from aae_detect.bench.histogram import draw_histograms
    from aae_detect.bench.latency import list_settings, measure_latency, turn_count
    from aae_detect.bench.machine import fingerprint, hottest_c, peak_memory_mib, throttle_count
    from aae_detect.bench.report import describe_model, describe_run, latency_table
    from aae_detect.model_file import read_model
    from aae_detect.picture_bytes import encode_picture
    from aae_detect.whole_file import check_target, write_whole

    check_json_target(json_target)
    if histogram is not None:
        check_target(histogram, "--histogram")
    baseline = read_baseline(against) if against is not None and against.suffix == ".json" else None
    other = against if baseline is None else None
    described = describe_run(read_model(models[0]), ctx.meta[COMMAND])  # before the work: its load is not the machine's
    settings = list_settings(models, providers, threads, sizes, batches)
    beside = list_settings([other] * len(models), providers, threads, sizes, batches) if other is not None else []
    before_c, before_throttled = hottest_c(), throttle_count()
    # The other model's turn comes right after the model's.
    in_turn = [each for pair in zip(settings, beside, strict=True) for each in pair] if beside else settings
    with progress(len(in_turn) * turn_count(repeat), "turns") as done:
        measured = measure_latency(in_turn, repeat, warmup, done=done)
    ours, others = (measured[::2], measured[1::2]) if beside else (measured, [])
    rows = [found.row() for found in ours]
    warn(dict.fromkeys(warning for row in rows for warning in row.get("warnings", ())))
    after_throttled = throttle_count()
    result: dict[str, Any] = {
        "rows": rows,
        "peak_memory_mib": peak_memory_mib(),
        "opencv_threads": cv2.getNumThreads(),  # --threads is ONNX Runtime's number only, as in aae-detect
        "hottest_c": {"before": before_c, "after": hottest_c()},
        "throttled": None if after_throttled is None else after_throttled - (before_throttled or 0),
        "fingerprint": fingerprint(),
        "models": [describe_model(read_model(model)) for model in models],
        **described,
    }
    comparisons = []
    if against is not None:
        comparisons = compare_in_turns(ours, others) if baseline is None else compare_with_baseline(ours, baseline)
        result["against"] = {
            "file": against.name,
            "tolerance_percent": tolerance,
            "rows": [each.to_dict() | {"slower": each.slower(tolerance / 100)} for each in comparisons],
        }
    if histogram is not None:
        named = [(_name(row), found.stage_ms("without_overlay")) for row, found in zip(rows, ours, strict=True)]
        write_whole(histogram, encode_picture(".png", draw_histograms(named)))
    hand_over(result, json_target, latency_table(result))
    if any(each.slower(tolerance / 100) for each in comparisons):
        ctx.exit(SLOWER)


def _name(row: dict[str, Any]) -> str:
    return (
        f"{row['model']} {row['precision']}, {row['provider']}, threads {row['threads']}, {row['size']} x{row['batch']}"
    )

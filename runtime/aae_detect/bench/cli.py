"""`aae-bench`: how right and how fast a detector is, on the machine that will run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from aae_detect import __version__
from aae_detect.bench.handover import COMMAND, check_json_target, command_line, hand_over, json_option, progress, warn
from aae_detect.bench.latency_command import latency
from aae_detect.bench.pipeline_command import pipeline
from aae_detect.errors import AaeDetectError, ConfigError
from aae_detect.provider_option import provider_option, provider_options_option, threads_option
from aae_detect.source_options import place_options


class _Bench(click.Group):
    """Keeps the command line for the result, and turns the package's errors into messages with their exit codes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[COMMAND] = command_line(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AaeDetectError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


_EXIT_CODES = """\b
Exit codes: 0 measured, 2 an option or DATA cannot be used, 4 a picture cannot
be read, 5 the model is refused, 6 slower than --against allows, 1 anything
else.
"""
_ACCURACY_EXAMPLES = """\b
Examples:
  aae-bench accuracy detector.onnx sets/bottle
  aae-bench accuracy detector.onnx sets/bottle --json bottle.json --csv scores.csv
  aae-bench accuracy detector.onnx sets/bottle --robustness
  aae-bench accuracy detector.onnx sets/bottle --site site.json --mask mask.json
  aae-bench accuracy detector.onnx sets/bottle --limit 20 --json - | jq .image_auroc
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
@threads_option
@click.option("--threshold", type=float, metavar="SCORE", help="Use this instead of the model's own threshold.")
@click.option(
    "--site",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Judge as aae-detect does with this file of aae-calibrate.",
)
@click.option("--for", "camera_name", metavar="NAME", help="Whose entry of --site, where it has several.")
@place_options
@click.option(
    "--bits", type=click.Choice(["10", "12", "16"]), help="Depth that 16-bit pictures carry.  [default: the model's]"
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="At most N pictures of each kind, evenly spread; default all."
)
@click.option(
    "--clips",
    metavar="PATTERN",
    help="What this regular expression finds in a picture's name says which clip or photograph it is from, such as "
    "'^[^_]+'; intervals are then those of other clips.",
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
    threads: int | Literal["auto"],
    threshold: float | None,
    site: Path | None,
    camera_name: str | None,
    product: str | None,
    mask: Path | None,
    bits: str | None,
    limit: int | None,
    clips: str | None,
    robustness: bool,
) -> None:
    """Measure how right MODEL is on the labelled pictures in DATA.

    DATA has the MVTec AD layout: test/good, test/DEFECT, and masks in ground_truth/DEFECT named STEM.png or
    STEM_mask.png. Masks may be missing. Image figures come with bootstrap 95 % intervals. Pixel figures are computed at
    the pictures' own resolution, longest side at most 512. With --mask, what lies outside counts as good.
    """
    from aae_detect.bench.accuracy import judge_pictures, measure_accuracy, name_clips, scores_csv
    from aae_detect.bench.dataset import find_labelled_set
    from aae_detect.bench.report import accuracy_table, describe_run
    from aae_detect.bench.robustness import measure_robustness
    from aae_detect.detector import Detector
    from aae_detect.frame_mask import read_mask
    from aae_detect.model_file import read_model
    from aae_detect.site_file import read_site_entry
    from aae_detect.whole_file import check_target, write_whole

    check_json_target(json_target)
    if csv_target:
        check_target(csv_target, "--csv")
    labelled = find_labelled_set(data, limit)
    clip_names = None if clips is None else name_clips(labelled, clips)
    detector = Detector.load(model, provider, threads, None, int(bits) if bits else None, provider_options)
    warn(detector.warnings)
    looked = None if mask is None else read_mask(mask)
    if site is not None:
        entry = read_site_entry(site, camera_name or _only_camera(site), product or "")
        entry.require_mask(looked)
        detector = detector.with_site(entry)
    if looked is not None:
        detector = detector.with_mask(looked)
    detector = detector.with_threshold(threshold)
    with progress(len(labelled.pictures), "pictures") as done:
        judged = judge_pictures(detector, labelled, done)
    figures = measure_accuracy(judged, detector.threshold, clips=clip_names)
    figures["counts"]["unused_masks"] = labelled.unused_masks
    if robustness:
        with progress(len(labelled.pictures), "disturbed pictures") as done:
            figures["robustness"] = measure_robustness(detector, labelled, done)
    result = {
        **figures,
        "threshold": detector.threshold,
        "data": data.resolve().name,
        "provider": detector.provider,
        "threads": detector.threads,
        **describe_run(read_model(model), ctx.meta[COMMAND]),
    }
    if csv_target:
        write_whole(csv_target, scores_csv(judged, data, detector.threshold))
    hand_over(result, json_target, accuracy_table(result))


def _only_camera(site: Path) -> str:
    """Return the camera of a site file that has one."""
    from aae_detect.site_file import read_site

    cameras = sorted({entry.camera for entry in read_site(site).entries})
    if len(cameras) != 1:
        raise ConfigError(f"{site} has entries for {'; '.join(cameras) or 'nobody'}; choose one with --for NAME")
    return cameras[0]


main.add_command(latency)
main.add_command(pipeline)

if __name__ == "__main__":
    main()

"""`aae-bench pipeline`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from aae_detect.bench.handover import COMMAND, check_json_target, hand_over, json_option, warn
from aae_detect.provider_option import provider_option, provider_options_option, threads_option

if TYPE_CHECKING:
    from aae_detect.source_settings import SourceSettings

_EXAMPLES = """\b
Examples:
  aae-bench pipeline detector.onnx --source demo:1920x1080@60
  aae-bench pipeline detector.onnx --source demo:640x480@30 --count 4 --no-overlay
  aae-bench pipeline detector.onnx --source rtsp://10.0.0.5/stream --seconds 60 --json pipeline.json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@json_option
@click.option("--source", "sources", multiple=True, required=True, metavar="WHAT", help="As aae-detect takes it.")
@click.option("--count", type=click.IntRange(1, 64), default=1, show_default=True, help="Take each source so often.")
@click.option("--seconds", type=click.FloatRange(1), default=10.0, show_default=True, help="How long to measure.")
@click.option("--overlay/--no-overlay", default=True, show_default=True, help="Draw the overlays too.")
@provider_option
@provider_options_option
@threads_option
@click.pass_context
def pipeline(
    ctx: click.Context,
    model: Path,
    json_target: str | None,
    sources: tuple[str, ...],
    count: int,
    seconds: float,
    overlay: bool,
    provider: str,
    provider_options: dict[str, str],
    threads: int | Literal["auto"],
) -> None:
    """Measure the whole loop as aae-detect runs it: what comes in, what is judged, how old it is by then.

    Cameras are read in processes of their own, `demo:` among them: it keeps its pace, as a camera does.
    """
    from aae_detect.bench.pipeline import measure_pipeline
    from aae_detect.bench.report import describe_run, pipeline_table
    from aae_detect.detector import Detector
    from aae_detect.model_file import read_model
    from aae_detect.side_by_side import share_cores

    check_json_target(json_target)
    described = describe_run(read_model(model), ctx.meta[COMMAND])
    wanted = name_sources(sources, count)
    threads, at_once = share_cores(len(wanted), 1, threads, provider)
    detector = Detector.load(model, provider, threads, provider_options=provider_options)
    warn(detector.warnings)
    result: dict[str, Any] = {
        **measure_pipeline(detector, wanted, seconds, overlay=overlay, at_once=at_once),
        "provider": detector.provider,
        "threads": detector.threads,
        "frames_at_once": at_once,
        **described,
    }
    hand_over(result, json_target, pipeline_table(result))


def name_sources(sources: Sequence[str], count: int) -> list[SourceSettings]:
    """Take each source so often, each with a name of its own that holds no password."""
    from aae_detect.source_settings import SourceSettings

    wanted = [SourceSettings(_live(source)) for source in sources for _ in range(count)]
    if len(wanted) == 1:
        return [replace(wanted[0], name=wanted[0].shown_name)]
    return [replace(each, name=f"{each.shown_name} #{number}") for number, each in enumerate(wanted, start=1)]


def _live(source: str) -> str:
    """Have the demo camera keep its pace, unless something else was asked for."""
    if not source.startswith("demo:") or "live=" in source:
        return source
    return f"{source}{'&' if '?' in source else '?'}live=1"

"""What bf16 autocast and channels-last memory bring to a training step on this CPU, in one run.

usage: python benchmarks/training_speed.py --json FILE        needs the train extra
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import click
import torch

from aae_detect.bench.machine import describe_machine, list_versions
from aae_train.compute import shrunk, uses_bf16
from aae_train.config import Precision, TrainConfig
from aae_train.draw import Draw
from aae_train.families import make_model
from aae_train.family import Pictures
from aae_train.players import Players
from aae_train.processes import Processes

_STEPS = 6
"""Of each turn; the first two warm up."""


@click.command()
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
@click.option("--rounds", type=click.IntRange(min=1), default=4, show_default=True, help="Turns of each way.")
def main(target: Path, rounds: int) -> None:
    """Time the default model's step in four ways, turn and turn about."""
    config = TrainConfig(data="none", device="cpu")
    processes, prior = Processes("cpu"), config.make_prior()
    ways: dict[str, tuple[torch.memory_format, Precision]] = {
        "fp32 NCHW": (torch.contiguous_format, "fp32"),
        "fp32 channels_last": (torch.channels_last, "fp32"),
        "bf16 NCHW": (torch.contiguous_format, "bf16"),
        "bf16 channels_last": (torch.channels_last, "bf16"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (layout, precision) in ways.items():
            torch.manual_seed(0)
            model = make_model(config).to(memory_format=layout)  # type: ignore[call-overload]
            players = Players(model.players(config), processes, precision)
            drawn = torch.rand(config.batch_size, 3, *config.input_hw).mul(2).sub(1).contiguous(memory_format=layout)
            clean = shrunk(drawn, config.layout.drawing_step)
            for step in range(_STEPS):
                draw = Draw(prior, model.prior_chw, config.seed, 0, step, processes)
                start = time.perf_counter()
                model.step(model.phases[0].name, Pictures(drawn, clean), draw, players)
                if step > 1:
                    times[name].append(1e3 * (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in times.items()}
    slowest = medians["fp32 NCHW"]
    rows = [
        {"way": name, "step_ms": round(ms, 1), "times_faster": round(slowest / ms, 2)} for name, ms in medians.items()
    ]
    for row in rows:
        click.echo(f"{row['way']:42s} {row['step_ms']:7.1f} ms  {row['times_faster']:.2f}x")
    document = {
        "command": "python benchmarks/training_speed.py --json FILE",
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": {**list_versions(), "torch": torch.__version__, "threads": str(torch.get_num_threads())},
        "batch_size": config.batch_size,
        "size_hw": list(config.input_hw),
        "bf16_in_hardware": uses_bf16(torch.device("cpu"), "auto"),
        "rows": rows,
    }
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

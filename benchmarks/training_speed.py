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
from aae_train.aae import AdversarialAutoencoder, Optimizers, train_step
from aae_train.compute import make_autocast
from aae_train.config import TrainConfig

_ROUNDS, _STEPS = 4, 6


@click.command()
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
def main(target: Path) -> None:
    """Time the default model's step in four ways, turn and turn about."""
    config = TrainConfig(data="none")
    device = torch.device("cpu")
    bf16 = make_autocast(device)
    ways = {
        "fp32 NCHW": (torch.contiguous_format, torch.autocast("cpu", enabled=False)),
        "fp32 channels_last": (torch.channels_last, torch.autocast("cpu", enabled=False)),
        "bf16 NCHW": (torch.contiguous_format, bf16),
        "bf16 channels_last (what aae-train does)": (torch.channels_last, bf16),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, (layout, autocast) in ways.items():
            torch.manual_seed(0)
            model = AdversarialAutoencoder(config).to(memory_format=layout)  # type: ignore[call-overload]
            optimizers = Optimizers(model, config)
            pictures = torch.rand(config.batch_size, 3, *config.input_hw).mul(2).sub(1).contiguous(memory_format=layout)
            prior = torch.randn(config.batch_size, config.latent_dim)
            for step in range(_STEPS):
                start = time.perf_counter()
                train_step(model, optimizers, pictures, pictures, prior, autocast)
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
        "bf16_in_hardware": bool(bf16._enabled),
        "rows": rows,
    }
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

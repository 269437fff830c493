"""What `test_processes.py` runs alone and under torchrun: its curves must not depend on how many share them.

Arguments: a folder to write to, and optionally the folder of an earlier call, whose stopped run is continued.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from aae_detect.demo import DemoCamera
from aae_detect.errors import ConfigError
from aae_train.config import TrainConfig
from aae_train.family import Losses
from aae_train.processes import Processes
from aae_train.stage import Progress, Stage, StageTrainer

STEPS = 20
BATCH = 4
RUNS: dict[str, dict[str, Any]] = {
    "aae": {"model": "aae"},
    "aae-universal": {"model": "aae", "encoder": "universal", "prior": "swiss-roll"},
    "wae-mmd": {"model": "wae-mmd"},
    "vae": {"model": "vae"},
    "gan": {"model": "gan", "lr": 5e-5},
    "gmmn": {"model": "gmmn"},
    "gmmn-ae": {"model": "gmmn-ae"},
}


def make_trainer(name: str, processes: Processes) -> StageTrainer:
    camera = DemoCamera(3, size_hw=(120, 160), defect_rate=0.0)
    pictures = np.stack([cv2.resize(camera.render(number * 7)[0], (64, 64)) for number in range(24)])
    # Low rates: at the usual ones two players turn a difference in the last bit into one in the second digit within
    # twenty steps, also without any other process.
    rates = {"lr": 2e-4, "adversarial_lr": 4e-5}
    # fp32: in bf16 the gradient of each share is rounded, which is not the rounded gradient of all.
    config = TrainConfig(
        data="-", input_hw=(64, 64), steps=STEPS, batch_size=BATCH, precision="fp32", **(rates | RUNS[name])
    )
    stage = Stage(0, "final", tuple(range(len(pictures))), ())
    return StageTrainer(config, stage, pictures, config.make_prior(), processes)


def train(trainer: StageTrainer, checkpoint: Path, stop_after: int = STEPS) -> list[Losses]:
    """Train, stopping early if asked to; returns the losses of each step."""
    curve: list[Losses] = []

    def listen(stage: Stage, done: float, losses: Losses, progress: Progress) -> None:
        curve.append(losses)

    trainer.train(checkpoint, lambda: len(curve) >= stop_after, listen)
    return curve


def exchange(processes: Processes) -> dict[str, object]:
    """Try every kind of message."""
    rank, count = processes.rank, processes.count
    weight = torch.nn.Parameter(torch.tensor(2.0))
    # Rows 0 to 3, dealt out; the loss of all of them is sum (weight * row)^2 / 4.
    rows = weight * torch.arange(BATCH).chunk(count)[rank]
    gathered = processes.gather(rows)
    (gathered.square().sum() / BATCH).backward()
    processes.average_gradients([weight])
    return {
        "gathered": gathered.tolist(),
        "gradient": float(weight.grad or 0.0),
        "mean": processes.mean({"a": float(rank), "b": 1.0}),
        "agreed": processes.agree(f"of {rank}"),
        "led": processes.lead(lambda: f"by {rank}"),
        "together": processes.together(lambda: rank),
        "leader failed": failure(processes, 0),
        "last failed": failure(processes, count - 1),
    }


def failure(processes: Processes, who: int) -> str:
    def work() -> None:
        if processes.rank == who:
            raise ConfigError(f"no use in {who}")

    try:
        processes.together(work)
    except ConfigError as error:
        return f"{error} (told: {processes.tells(error)})"
    return "nothing"


def main() -> None:
    out = Path(sys.argv[1])
    processes = Processes("cpu")
    answers = {"exchange": exchange(processes), "lightning": "lightning_fabric" in sys.modules}
    (out / f"answers-{processes.rank}.json").write_text(json.dumps(answers))
    checkpoint = out / "checkpoint.safetensors"
    curves = {name: train(make_trainer(name, processes), checkpoint) for name in RUNS}
    train(make_trainer("aae", processes), out / "stopped.safetensors", stop_after=STEPS // 2)
    if len(sys.argv) > 2:
        trainer = make_trainer("aae", processes)
        trainer.restore(Path(sys.argv[2]) / "stopped.safetensors")
        curves["continued"] = train(trainer, checkpoint)
    (out / f"curves-{processes.rank}.json").write_text(json.dumps(curves))
    processes.leave()


if __name__ == "__main__":
    main()

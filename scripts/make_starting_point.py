"""Makes the starting point that training begins with: many short runs on drawn products.

usage: python scripts/make_starting_point.py WORK_FOLDER [--products 130]      needs the extra train

Every product is trained as a user would train it, from the point as it is; then the point moves towards where that
ended, less and less as it goes on. So it comes to lie where little training is needed (Reptile: Nichol et al., arXiv
1803.02999). As many products as there are cores are trained at once, a core each, and the point moves to their mean.
Takes an hour on two cores; where it was stopped, it goes on.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from drawn.products import draw_product
from torch import Tensor

from aae_train.checkpoint import read_tensors, write_tensors
from aae_train.config import TrainConfig
from aae_train.processes import Processes
from aae_train.stage import Stage, StageTrainer
from aae_train.starting_point import PARTS, STARTING_POINT, take_starting_point

PICTURES = 64
"""Good ones of each product."""

STEPS = 240
"""Per product; three of five teach the head."""

LAST_MOVE = 0.05
"""How far the last products move the point, as a share of the way; the first move it all the way."""

SEED = 1


@click.command()
@click.argument("work", type=click.Path(file_okay=False, path_type=Path))
@click.option("--products", type=click.IntRange(min=1), default=130, show_default=True)
def main(work: Path, products: int) -> None:
    """Train in the folder WORK, which may be deleted afterwards, and put the starting point into the package."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "point.safetensors"
    point, done = _read(path)
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        while done < products:
            begun = time.monotonic()
            numbers = range(done, min(products, done + cores))
            ends = list(pool.map(_learn, numbers, [path if point else None] * len(numbers)))
            mean = {name: torch.stack([end[name] for end in ends]).mean(dim=0) for name in ends[0]}
            move = max(LAST_MOVE, 1 - done / products)
            point = {name: torch.lerp(point.get(name, end), end, move) for name, end in mean.items()}
            done += len(numbers)
            write_tensors(path, point, {"products": done})
            print(f"{done} of {products} products, {time.monotonic() - begun:.1f} s", flush=True)
    # Half precision: a start need not be exact.
    half = {name: tensor.half() for name, tensor in point.items()}
    write_tensors(STARTING_POINT, half, {"products": done, "seed": SEED, "steps_per_product": STEPS})
    print(f"{STARTING_POINT}: {STARTING_POINT.stat().st_size} bytes")


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    if not path.is_file():
        return {}, 0
    tensors, notes = read_tensors(path)
    return tensors, int(notes["products"])


def _learn(number: int, point: Path | None) -> dict[str, Tensor]:
    """Train on one product, from the point; returns where that ended."""
    torch.set_num_threads(1)
    product = draw_product(np.random.default_rng([SEED, number]))
    pictures = np.stack([product.picture(np.random.default_rng([SEED, number, n])) for n in range(PICTURES)])
    config = TrainConfig(data=f"drawn product {number}", steps=STEPS, seed=number, start="scratch")
    stage = Stage(0, "final", tuple(range(PICTURES)), ())
    trainer = StageTrainer(config, stage, pictures, config.make_prior(), Processes("cpu"))
    if point:
        take_starting_point(trainer.detector, point)
        take_starting_point(trainer.average, point)
    with TemporaryDirectory() as folder:
        trainer.train(Path(folder) / "checkpoint.safetensors", lambda: False, lambda *_: None)
    ended = trainer.chosen().state_dict()
    return {name: ended[name].clone() for prefixes in PARTS for name in ended if name.startswith(prefixes)}


if __name__ == "__main__":
    main()

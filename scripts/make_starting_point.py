"""Makes the starting point that training begins with, from products that are drawn by chance.

usage: python scripts/make_starting_point.py WORK_FOLDER [--products 150]      needs the extra train

Each core is a school. Round by round a school takes in a product: its drawer is trained as a user would train it, from
the point as it is, and the point moves towards where that ended, less and less as it goes on, so that it comes to lie
where little training is needed (Reptile: Nichol et al., arXiv 1803.02999). The head learns from many products at a
time, those that its school took in last, in one long training with one schedule: what it knows when it meets a new
product is what all have in common. The heads of the schools are averaged after every round.

Takes an hour and a half on two cores; where it was stopped, it goes on.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
import torch
from drawn.school import HEAD_STEPS, SEED, School, Weights, draw_pictures, make_trainer, parts_of

from aae_train.checkpoint import read_tensors, write_tensors
from aae_train.phases import learning_rate_share
from aae_train.starting_point import HEAD, STARTING_POINT

SCHOOL = 12
"""Products that a school's head learns from at a time."""

LAST_MOVE = 0.05
"""How far the last products move the drawer's point, as a share of the way; the first move it all the way."""

_school = School()
"""Of this process."""


@click.command()
@click.argument("work", type=click.Path(file_okay=False, path_type=Path))
@click.option("--products", type=click.IntRange(min=1), default=150, show_default=True)
def main(work: Path, products: int) -> None:
    """Train in the folder WORK, which may be deleted afterwards, and put the starting point into the package."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "point.safetensors"
    if not path.is_file():
        # Chance, scaled to the pictures of the first product.
        write_tensors(path, parts_of(make_trainer(0, draw_pictures(0)).detector), {"products": 0})
    point, notes = read_tensors(path)
    done = first = int(notes["products"])
    cores = os.cpu_count() or 1
    schools = [ProcessPoolExecutor(1, mp_context=get_context("spawn")) for _ in range(cores)]
    while done < products:
        begun = time.monotonic()
        rate = learning_rate_share(done / products, (done - first) // cores * HEAD_STEPS)
        rounds = [
            school.submit(_round, range(number, -1, -cores)[:SCHOOL], path, rate)
            for number, school in enumerate(schools, start=done)
        ]
        ends, losses = zip(*(each.result() for each in rounds), strict=True)
        point = _move(point, ends, max(LAST_MOVE, 1 - done / products))
        done += cores
        write_tensors(path, point, {"products": done})
        print(f"{done} of {products}, head {np.mean(losses):.4f}, {time.monotonic() - begun:.1f} s", flush=True)
    for school in schools:
        school.shutdown()
    # Half precision: a start need not be exact.
    half = {name: tensor.half() for name, tensor in point.items()}
    write_tensors(STARTING_POINT, half, {"products": done, "seed": SEED, "head_steps_per_product": HEAD_STEPS})
    print(f"{STARTING_POINT}: {STARTING_POINT.stat().st_size} bytes")


def _round(numbers: range, path: Path, rate: float) -> tuple[Weights, float]:
    return _school.round(numbers, path, rate)


def _move(point: Weights, ends: tuple[Weights, ...], share: float) -> Weights:
    """Move a share of the way to the mean of where drawers ended, and all the way to that of the heads."""
    mean = {name: torch.stack([end[name] for end in ends]).mean(dim=0) for name in point}
    return {name: torch.lerp(point[name], end, 1.0 if name.startswith(HEAD) else share) for name, end in mean.items()}


if __name__ == "__main__":
    main()

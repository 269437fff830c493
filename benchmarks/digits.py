"""Every family on handwritten digits: Parzen-window log-likelihood, as in the papers.

usage: python benchmarks/digits.py --json FILE          8x8 digits, in scikit-learn; needs the train and dev extras
       python benchmarks/digits.py --mnist mnist.npz --json FILE

The rows are written as they finish: started again with the same settings, it goes on where it stopped. Every family has
the same networks, steps and learning rates; nothing was tuned for any of them.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.errors import ConfigError
from aae_detect.whole_file import check_target, write_whole
from aae_train.config import MODELS, TrainConfig
from aae_train.fit_vectors import fit_vectors
from aae_train.vector_networks import make_vector_model
from parzen import parzen_score

_VALIDATION = 1000
"""Points that sigma is chosen with, at most."""

TRAINING_ITSELF, GAUSSIAN = "training digits themselves", "one Gaussian"
"""Rows to read the others by: what copies would get, and what the mean and covariance alone would."""

Digits = NDArray[np.float32]
Row = dict[str, Any]


@click.command()
@click.option("--families", default=",".join(MODELS), show_default=True, help="With commas.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each, seeds from 0.")
@click.option("--steps", type=click.IntRange(min=10), default=4000, show_default=True, help="Of training, each run.")
@click.option("--latent", type=click.IntRange(min=1), default=8, show_default=True, help="Numbers in a code.")
@click.option("--width", type=click.IntRange(min=1), default=256, show_default=True, help="Of the hidden layers.")
@click.option("--samples", type=click.IntRange(min=2), default=10_000, show_default=True, help="Drawn of each.")
@click.option("--mnist", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.npz",
              help="MNIST with x_train and x_test, in place of the 8x8 digits.")  # fmt: skip
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
def main(
    families: str, seeds: int, steps: int, latent: int, width: int, samples: int, mnist: Path | None, target: Path
) -> None:
    """Train every family, draw digits from each and see how likely the test digits are among them."""
    if unknown := sorted(set(families.split(",")) - set(MODELS)):
        raise click.BadParameter(f"{', '.join(unknown)}: expected some of {', '.join(MODELS)}", param_hint="--families")
    try:
        check_target(target, "--json")
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    torch.set_num_threads(1)  # layers this small are slower on several
    train, validation, test = load_mnist(mnist) if mnist else load_digits()
    settings = {
        "data": "MNIST" if mnist else "scikit-learn's 8x8 digits",
        "split": {"train": len(train), "validation": len(validation), "test": len(test)},
        "values": "0 to 1; samples are clipped to that",
        "samples": samples,
        "steps": steps,
        "batch_size": 128,
        "lr": 1e-3,
        "adversarial_lr": 1e-3,
        "latent": latent,
        "width": width,
    }
    document = _resume(target, settings)
    rows: list[Row] = document["rows"]
    done = {(row["family"], row["seed"]) for row in rows}
    wanted: list[tuple[str, int]] = [(TRAINING_ITSELF, 0), (GAUSSIAN, 0)]
    wanted += [(family, seed) for family in families.split(",") for seed in range(seeds)]
    for family, seed in wanted:
        if (family, seed) in done:
            continue
        began = time.process_time()
        if family in (TRAINING_ITSELF, GAUSSIAN):
            drawn = _reference(family, train, samples)
        else:
            drawn = _draw(family, seed, train, settings)
        seconds = time.process_time() - began
        score = parzen_score(drawn, validation[:_VALIDATION], test)
        row = {
            "family": family,
            "seed": seed,
            "log_likelihood": round(score.mean, 2),
            "standard_error": round(score.standard_error, 2),
            "sigma": round(score.sigma, 4),
            "cpu_seconds": round(seconds, 1),
        }
        click.echo(f"{family:27s} seed {seed}: {row['log_likelihood']:8.2f} +- {row['standard_error']:.2f} nat")
        rows.append(row)
        document["summary"] = _summarise(rows)
        write_whole(target, json.dumps(document, indent=1) + "\n")
    for line in document["summary"]:
        spread = " to ".join(f"{value:.1f}" for value in line["range"])
        click.echo(f"{line['family']:27s} mean {line['mean']:8.2f} nat, {spread}")


def load_digits() -> tuple[Digits, Digits, Digits]:
    """Return scikit-learn's digits as rows in 0 to 1: train, validation, test."""
    from sklearn.datasets import load_digits as load

    digits = (load().data / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(digits))
    first, second = 1197, 1497
    return digits[order[:first]], digits[order[first:second]], digits[order[second:]]


def load_mnist(path: Path) -> tuple[Digits, Digits, Digits]:
    """Return MNIST as rows in 0 to 1: train, validation (the last 10,000 of the training part), test."""
    with np.load(path) as arrays:
        if missing := {"x_train", "x_test"} - set(arrays.files):
            raise click.ClickException(f"{path} has no {' and no '.join(sorted(missing))}; expected MNIST's usual npz")
        known, test = (np.float32(arrays[name].reshape(len(arrays[name]), -1) / 255) for name in ("x_train", "x_test"))
    return known[:-10_000], known[-10_000:], test


def _draw(family: str, seed: int, train: Digits, settings: dict[str, Any]) -> Digits:
    """Train a family on digits in -1 to 1 and draw samples in 0 to 1."""
    names = ("steps", "batch_size", "lr", "adversarial_lr")
    config = TrainConfig(
        data="digits",
        model=family,
        latent=str(settings["latent"]),
        seed=seed,
        **{name: settings[name] for name in names},
    )
    torch.manual_seed(seed)
    model = make_vector_model(config, train.shape[1], settings["width"])
    prior = config.make_prior()
    average, _ = fit_vectors(model, config, 2 * train - 1, prior)
    codes = prior.sample_codes(settings["samples"], average.prior_chw, np.random.default_rng([seed, 1]))
    with torch.no_grad():
        drawn: Digits = average.generate(torch.from_numpy(codes)).flatten(1).numpy()
    return np.clip((drawn + 1) / 2, 0, 1)


def _reference(name: str, train: Digits, count: int) -> Digits:
    if name == TRAINING_ITSELF:
        return train[:count]
    drawn = np.random.default_rng(0).multivariate_normal(train.mean(axis=0), np.cov(train.T), count, method="eigh")
    return np.clip(drawn, 0, 1).astype(np.float32)


def _summarise(rows: list[Row]) -> list[Row]:
    """Return mean and range over the seeds of each family, in the order of the rows."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["family"], []).append(row["log_likelihood"])
    return [
        {"family": family, "mean": round(statistics.mean(found), 2), "range": [min(found), max(found)]}
        for family, found in values.items()
    ]


def _resume(target: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Read the rows that an earlier start has written, or begin."""
    if target.exists():
        document: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        if document.get("settings") != settings:
            raise click.ClickException(f"{target} was made with other settings; give another --json, or remove it")
        return document
    return {
        "command": f"python benchmarks/digits.py{' --mnist FILE' * (settings['data'] == 'MNIST')} --json FILE",
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": {**list_versions(), "torch": torch.__version__, "threads": str(torch.get_num_threads())},
        "measure": "Parzen-window log-likelihood of the test digits in nat; +- is the standard error over them",
        "settings": settings,
        "summary": [],
        "rows": [],
    }


if __name__ == "__main__":
    main()

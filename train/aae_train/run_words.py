"""What a run says to the user before it begins and after it has ended."""

from __future__ import annotations

import json
from pathlib import Path

from aae_detect.spec import Calibration
from aae_detect.threshold import tell_rate
from aae_train.compute import uses_bf16
from aae_train.config import GRID
from aae_train.run import Run
from aae_train.run_folder import REPORT_FILE
from aae_train.smallest_spot import tell_smallest_spot


def describe(run: Run) -> str:
    """Say what a run will do, for --dry-run and for the first lines of a run."""
    split, config = run.split, run.config
    if split.folds:
        parts = f"all train; {len(split.folds)}-fold cross-fit for statistics and threshold"
    else:
        parts = f"{len(split.train)} train, {len(split.select)} select, {len(split.calibrate)} calibrate"
    budget = f"{config.steps} steps each" if config.steps is not None else f"{config.minutes:g} minutes in all"
    height, width = config.input_hw
    tiles = f" in tiles of {config.tile}x{config.tile}" if config.tile is not None else ""
    looks = "" if config.inside is None else f", looking at {config.inside.mean():.0%} of the picture"
    lines = [
        f"data      {config.data}: {len(run.names)} good pictures ({parts})",
        f"model     {config.model}, {config.encoder} encoder, {height}x{width} {config.fit}{tiles}, "
        f"{'grid' if config.latent == GRID else 'vector'} code of {config.latent_dim}, {config.prior} prior, "
        f"{'no' if config.head == 'none' else config.head} head{looks}",
        f"training  {len(run.stages)} model{'s' * (len(run.stages) > 1)}, {budget}, batch {config.batch_size}, "
        f"on {run.device}{' in bf16' if uses_bf16(run.device, config.precision) else ''}",
        f"run       {run.out}",
    ]
    return "\n".join(lines)


def closing_words(out: Path) -> str:
    """Say what came out, where it lies, and what to do next."""
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    calibration = Calibration(**metrics["calibration"])
    chosen = (
        ""
        if metrics["select_score"] is None
        else (
            f"; step {metrics['chosen_step']} chosen: finds synthetic defects with an average precision of "
            f"{metrics['select_score']:.2f}"
        )
    )
    return "\n".join(
        [
            f"trained {metrics['steps']} steps in {metrics['training_seconds'] / 60:.1f} minutes{chosen}",
            f"threshold {metrics['threshold']:.4g}: {tell_rate(calibration)}, from {calibration.count} good pictures",
            f"finds {tell_smallest_spot(metrics['smallest_spot'])}",
            f"look at {out / REPORT_FILE}: whether to trust it",
            f"next: aae-export {out}",
        ]
    )

"""Makes the shipped demo model: trains on pictures of the demo camera, exports, and puts the detector into the package.

usage: python scripts/make_demo_model.py WORK_FOLDER [--steps 10000]      needs the extras train and export

Takes about half an hour on two CPU cores. The pictures come from a seed of their own; tests and the demo use others.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click

from aae_detect.app import demo_model_path
from aae_detect.demo import save_pictures

PICTURES = 1500
SIZE = "256x352"
"""About the shape of the camera's 480x640 frames, so that thin scratches keep their width."""
SEED = 1
STEPS = 10000


@click.command()
@click.argument("work", type=click.Path(file_okay=False, path_type=Path))
@click.option("--steps", type=click.IntRange(min=1), default=STEPS, show_default=True, help="Of training.")
def main(work: Path, steps: int) -> None:
    """Train in the folder WORK, which may be deleted afterwards, and put the detector into the package."""
    pictures, run = work / "pictures", work / "run"
    if not pictures.is_dir():
        drawing = work / "drawing"  # named when it is whole: what was broken off is drawn anew
        shutil.rmtree(drawing, ignore_errors=True)
        save_pictures(drawing, PICTURES, SEED)
        drawing.rename(pictures)
    train = [
        sys.executable,
        "-m",
        "aae_train.cli",
        str(pictures),
        "--out",
        str(run),
        "--size",
        SIZE,
        "--steps",
        str(steps),
    ]
    subprocess.run([*train, *(["--resume"] if run.is_dir() else [])], check=True)
    subprocess.run([sys.executable, "-m", "aae_export.cli", str(run)], check=True)
    demo_model_path().parent.mkdir(exist_ok=True)
    shutil.copyfile(run / "export" / "detector.onnx", demo_model_path())
    print(f"{demo_model_path()}: {demo_model_path().stat().st_size} bytes")


if __name__ == "__main__":
    main()

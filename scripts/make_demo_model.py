"""Makes the shipped demo model: trains on pictures of the demo camera, exports, and puts the detector into the package.

usage: python scripts/make_demo_model.py WORK_FOLDER [STEPS]      needs the extras train and export

Takes about half an hour on two CPU cores. The pictures come from a seed of their own; tests and the demo use others.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from aae_detect.app import demo_model_path
from aae_detect.demo import save_pictures

PICTURES = 1500
SIZE = "256x352"
"""About the shape of the camera's 480x640 frames, so that thin scratches keep their width."""
SEED = 1
STEPS = 10000


def main() -> None:
    """Do it."""
    work = Path(sys.argv[1])
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else STEPS
    pictures, run = work / "pictures", work / "run"
    if not pictures.is_dir():
        save_pictures(pictures, PICTURES, SEED)
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

"""What `--tile` gains where defects are tiny: large pictures, shrunk or at their own resolution.

usage: python benchmarks/tiling.py --data ROOT --set aitex_f02 --minutes 10 --json FILE

Large pictures are put together from those of a set of one texture, SIDE x SIDE of them, so that a defect keeps its
pixels and takes a smaller share of the picture. Every picture has the same borders between its pieces, good and
defective ones, in training and test: they tell nothing. Good pieces are used once, but for those around defective ones.
Both models get the same pictures and time. A row is written as it is finished, and rows that FILE holds already are
kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench.dataset import find_labelled_set
from aae_detect.bench.machine import describe_machine
from aae_detect.bench.report import to_json
from aae_detect.picture_source import list_pictures, read_picture
from aae_detect.preprocess import to_bgr8
from aae_detect.whole_file import write_whole
from commands import call

PIECE = 256
"""Pixels a side, of the pieces and of the tiles."""

VARIANTS: dict[str, tuple[str, ...]] = {"shrunk": (), "tiles": ("--tile", str(PIECE))}
_KEPT = ("image_auroc", "image_auroc_ci95", "pixel_ap", "aupro_30", "false_reject_rate", "recall_at_threshold")

Picture = NDArray[np.uint8]


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA", required=True)
@click.option("--set", "set_name", default="aitex_f02", show_default=True, help="A texture, in MVTec AD layout.")
@click.option("--side", type=click.IntRange(2, 8), default=2, show_default=True, help="Pieces a side of a picture.")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Training time of each model.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/tiling"), show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), required=True, help="File of rows, added to.")
def main(data: Path, set_name: str, side: int, minutes: float, work: Path, target: Path) -> None:
    """Measure a model of whole pictures beside one of tiles."""
    rows: list[dict[str, Any]] = json.loads(target.read_text())["rows"] if target.is_file() else []
    setting = {"set": set_name, "side": side, "minutes": minutes}
    large = work / f"{set_name}-{side}"
    put_together(data / set_name, large, side)
    for name, options in VARIANTS.items():
        if any({key: row[key] for key in (*setting, "variant")} == {**setting, "variant": name} for row in rows):
            continue
        row = {**setting, "variant": name, **_measure(large, work / f"{set_name}-{side}-{name}", minutes, options)}
        rows.append(row)
        document = {
            "command": f"python benchmarks/tiling.py --set {set_name} --side {side} --minutes {minutes:g} --json FILE",
            "date": time.strftime("%Y-%m-%d"),
            "machine": describe_machine(),
            "rows": rows,
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, to_json(document))
        click.echo(f"{name:8s} image AUROC {row['image_auroc']:.3f}, pixel AP {row['pixel_ap']:.3f}")


def put_together(root: Path, out: Path, side: int, seed: int = 0) -> None:
    """Write a set of large pictures; one that is there whole stays.

    Args:
        root: The set that pieces come from.
        out: Folder of the new one, in the same layout.
        side: Pieces a side.
        seed: Of which pieces come together.
    """
    done = out / "whole"
    if done.is_file():
        return
    rng = np.random.default_rng(seed)
    count = side * side
    tested = find_labelled_set(root).pictures
    good_test = [picture.path for picture in tested if not picture.defective]
    for role, paths in (("train", list_pictures(root / "train" / "good")), ("test", good_test)):
        order = rng.permutation(len(paths))
        for number in range(len(paths) // count):
            pieces = [_read(paths[place]) for place in order[count * number :][:count]]
            _write(out / role / "good" / f"{number:03d}.png", _join(pieces, side))
    for number, picture in enumerate(picture for picture in tested if picture.defective):
        place = int(rng.integers(count))
        pieces = [_read(good_test[other]) for other in rng.choice(len(good_test), count, replace=False)]
        masks = [np.zeros((PIECE, PIECE), np.uint8) for _ in pieces]
        pieces[place] = _read(picture.path)
        _write(out / "test" / picture.kind / f"{number:03d}.png", _join(pieces, side))
        if picture.mask_path is not None:
            mask = cv2.imread(str(picture.mask_path), cv2.IMREAD_GRAYSCALE)
            masks[place] = cv2.resize(mask, (PIECE, PIECE), interpolation=cv2.INTER_NEAREST)
            _write(out / "ground_truth" / picture.kind / f"{number:03d}.png", _join(masks, side))
    done.touch()


def _read(path: Path) -> Picture:
    picture = to_bgr8(read_picture(path))
    if picture.shape[:2] != (PIECE, PIECE):
        raise click.ClickException(f"{path} has {picture.shape[:2]} pixels; pieces have {PIECE} x {PIECE}")
    return picture


def _join(pieces: Sequence[Picture], side: int) -> Picture:
    rows = [np.concatenate(pieces[side * row :][:side], axis=1) for row in range(side)]
    return np.concatenate(rows, axis=0)


def _write(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def _measure(data: Path, run: Path, minutes: float, options: Sequence[str]) -> dict[str, Any]:
    """Train, export and measure; a run that was interrupted goes on."""
    resume = ("--resume",) if (run / "config.json").is_file() else ()
    call("aae_train.cli", data, "--out", run, "--minutes", minutes, *options, *resume)
    call("aae_export.cli", run)
    detector, answer = run / "export" / "detector.onnx", run / "accuracy.json"
    call("aae_detect.bench.cli", "accuracy", detector, data, "--json", answer, "--threads", 2)
    call("aae_detect.bench.cli", "latency", detector, "--json", run / "latency.json", "--threads", 2)
    accuracy = json.loads(answer.read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    (latency,) = json.loads((run / "latency.json").read_text())["rows"]
    return {
        **{key: accuracy[key] for key in _KEPT},
        "inference_ms": latency["inference_ms"],
        "steps": metrics["steps"],
        "pictures": metrics["pictures"],
    }


if __name__ == "__main__":
    main()

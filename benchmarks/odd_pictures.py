"""Odd pictures among the good ones: defective test pictures are planted in a set's good folder.

usage: python benchmarks/odd_pictures.py --data ROOT --sets cookies,glassfiber,aitex_f02 --json FILE
       python benchmarks/odd_pictures.py ... --minutes 5       trains as well, with and without the planted ones

Found: share of the planted pictures within the first tenth of the ranking that `aae-train` makes, over several draws.
Named: how many pictures the user is told of, and how many of them are planted. Cost: image AUROC of a model that was
trained with the planted ones (first draw) beside one without, both on the test pictures that were not planted. A row
for each set is written as it finishes, and rows that FILE holds already are kept.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from aae_detect.bench.dataset import LabelledPicture, find_labelled_set
from aae_detect.bench.machine import describe_machine
from aae_detect.bench.report import to_json
from aae_detect.picture_source import list_pictures, read_picture
from aae_detect.preprocess import prepare
from aae_detect.whole_file import write_whole
from aae_train.config import TrainConfig
from aae_train.odd import rank_odd_ones
from commands import call

SHARE = 0.05
"""Of the good pictures, planted."""

FIRST = 0.1
"""Share of the ranking in which they are looked for."""


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA", required=True)
@click.option("--sets", "set_names", default="cookies,glassfiber,aitex_f02", show_default=True)
@click.option("--draws", type=click.IntRange(min=1), default=10, show_default=True, help="Of pictures to plant.")
@click.option("--minutes", type=float, help="Also train, with and without the first draw.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/odd"), show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), required=True, help="File of rows, added to.")
def main(data: Path, set_names: str, draws: int, minutes: float | None, work: Path, target: Path) -> None:
    """Measure how well planted defective pictures are found, and what they cost."""
    rows: list[dict[str, Any]] = json.loads(target.read_text())["rows"] if target.is_file() else []
    trained = "" if minutes is None else f" --minutes {minutes:g}"
    command = f"python benchmarks/odd_pictures.py --sets {set_names} --draws {draws}{trained} --json FILE"
    for name in set_names.split(","):
        if any(row["set"] == name and (minutes is None or row.get("minutes") == minutes) for row in rows):
            continue
        row = {"set": name, **_rank(data / name, draws)}
        if minutes is not None:
            row |= {"minutes": minutes, **_train(data / name, work / name, minutes)}
        rows = [*(old for old in rows if old["set"] != name), row]
        document = {
            "command": command,
            "date": time.strftime("%Y-%m-%d"),
            "machine": describe_machine(),
            "measure": "found: planted pictures in the first tenth of the ranking, 0 to 1; image AUROC, 0 to 1",
            "rows": rows,
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, to_json(document))
        click.echo(f"{name:20s} planted {row['planted']}, found {row['found']:.3f}, named {row['named']}")


def _rank(root: Path, draws: int) -> dict[str, Any]:
    good = _read(list_pictures(root / "train" / "good"))
    found, named, named_planted = [], [], []
    for draw in range(draws):
        planted, _ = _draw(root, len(good), draw)
        pictures = np.concatenate([good, _read([picture.path for picture in planted])])
        ranking = rank_odd_ones(pictures, range(len(pictures)))
        first = ranking.numbers[: math.ceil(FIRST * len(pictures))]
        found.append(sum(number >= len(good) for number in first) / len(planted))
        named.append(len(ranking.named))
        named_planted.append(sum(number >= len(good) for number in ranking.named))
    return {
        "good": len(good),
        "planted": len(planted),
        "draws": draws,
        "found": float(np.mean(found)),
        "found_of_each_draw": found,
        "named": float(np.mean(named)),
        "named_planted": float(np.mean(named_planted)),
    }


def _draw(root: Path, good: int, draw: int) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Choose the pictures to plant; returns them, and what is left for testing."""
    tested = find_labelled_set(root).pictures
    defective = [picture for picture in tested if picture.defective]
    order = np.random.default_rng(draw).permutation(len(defective))[: max(2, round(SHARE * good))]
    planted = [defective[number] for number in order]
    return planted, [picture for picture in tested if picture not in planted]


def _read(paths: Sequence[Path]) -> NDArray[np.uint8]:
    return np.stack([prepare(read_picture(path), TrainConfig(data="").input_hw, "stretch")[0] for path in paths])


def _train(root: Path, work: Path, minutes: float) -> dict[str, Any]:
    """Train with and without planted pictures; returns image AUROC of both, on the pictures left for testing.

    And the share of the planted ones in the first tenth of the ranking as the trained detector has mended it.
    """
    good = list_pictures(root / "train" / "good")
    planted, left = _draw(root, len(good), 0)
    figures = {}
    for key, added in (("without", []), ("with", planted)):
        data, run = work / key / "data", work / key / "run"
        shutil.rmtree(data, ignore_errors=True)
        for path in good:
            _link(path, data / "train" / "good" / path.name)
        for picture in added:
            _link(picture.path, data / "train" / "good" / f"planted-{picture.kind}-{picture.path.name}")
        for picture in left:
            _link(picture.path, data / "test" / picture.kind / picture.path.name)
            if picture.mask_path is not None:
                _link(picture.mask_path, data / "ground_truth" / picture.kind / picture.mask_path.name)
        resume = ("--resume",) if (run / "config.json").is_file() else ()
        call("aae_train.cli", data, "--out", run, "--minutes", minutes, *resume)
        call("aae_export.cli", run)
        answer = run / "accuracy.json"
        call("aae_detect.bench.cli", "accuracy", run / "export" / "detector.onnx", data, "--json", answer)
        measured = json.loads(answer.read_text())
        if added:
            ranking = [row["picture"] for row in json.loads((run / "odd_pictures.json").read_text())]
            first = ranking[: math.ceil(FIRST * (len(good) + len(added)))]
            figures["found_when_trained"] = sum("planted-" in picture for picture in first) / len(added)
        figures |= {f"image_auroc_{key}": measured["image_auroc"], f"pixel_ap_{key}": measured["pixel_ap"]}
    return figures


def _link(path: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path.resolve())


if __name__ == "__main__":
    main()

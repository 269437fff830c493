"""Whether thresholds keep what they promise: calibrated on some good pictures, tried on others, over and over.

usage: python benchmarks/reliability.py --json FILE
       python benchmarks/reliability.py --data ROOT --runs WORK --json FILE

The demo camera gives any number of good pictures, and defective ones. With --data and --runs it is the good pictures of
real sets that their models never learned from; WORK holds runs of `benchmarks/accuracy.py`.
Everything goes through what `aae-calibrate` itself calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from aae_detect import DemoCamera, Detector
from aae_detect._opencv import cv2
from aae_detect.app import demo_model_path
from aae_detect.bench.dataset import find_labelled_set
from aae_detect.calibrate.fit import fit_site
from aae_detect.picture_source import read_picture
from aae_detect.threshold import Threshold, conformal_threshold
from reliability_file import write_part

RESAMPLINGS = 200
_PART_FRAMES = 14
"""Frames of the demo camera from one part to the next."""

_BLOCK = 20
"""Frames of a video that stay together: neighbours are no independent pictures."""

_LEAST_PICTURES = 20
"""Good pictures of a set that its model never saw; fewer cannot be shared out."""

Maps = NDArray[np.float32]


@click.command()
@click.option("--good", type=click.IntRange(min=500), default=4000, show_default=True, help="Good demo pictures.")
@click.option("--defective", type=click.IntRange(min=10), default=600, show_default=True, help="Defective ones.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA")
@click.option("--runs", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Runs of accuracy.py.")
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
def main(good: int, defective: int, data: Path | None, runs: Path | None, target: Path) -> None:
    """Measure what thresholds promise and keep."""
    if runs is not None and data is None:
        raise click.UsageError("--runs needs --data: where the sets of the runs lie")
    rows = []
    for row in _measure_demo(good, defective) if data is None or runs is None else _measure_sets(data, runs):
        rows.append(row)
        click.echo(
            f"{row['pictures']:32s} {row['way']:10s} n {row['count']:4d} target {row['target_frr']:.1%}: realised "
            f"{row['realised_mean']:.2%}, bound {row['bound_mean']:.2%}, kept {row['kept']:.1%}"
            + (f", recall {row['recall_mean']:.1%}" if row["recall_mean"] is not None else "")
        )
        name, options = ("thresholds_demo", "") if runs is None else ("thresholds_sets", " --data ROOT --runs WORK")
        command = f"python benchmarks/reliability.py{options} --json FILE"
        write_part(target, name, command, {"resamplings": RESAMPLINGS, "rows": rows})


def _measure_demo(good: int, defective: int) -> Iterator[dict[str, Any]]:
    detector = Detector.load(demo_model_path(), provider="cpu", threads=2)
    for title, light in (("demo camera", _as_it_is), ("demo camera, fixed reflection", _reflected)):
        good_maps, bad_maps = _demo_maps(detector, good, defective, light)
        for count, target_frr in ((50, 0.05), (300, 0.05), (50, 0.01), (300, 0.01), (1000, 0.01), (1000, 0.001)):
            for way, fit in (("site", _fit_site), ("scores", _fit_scores)):
                yield _row(title, way, fit, good_maps, bad_maps, count, target_frr, 1)


def _measure_sets(data: Path, runs: Path) -> Iterator[dict[str, Any]]:
    for run in sorted(runs.glob("*-0")):
        name = run.name.removesuffix("-0")
        good_maps, bad_maps = _set_maps(run, data / name)
        if len(good_maps) < _LEAST_PICTURES:
            continue
        block = _BLOCK if name == "ucsd_ped2" else 1
        for target_frr in (0.05, 0.01):
            for way, fit in (("site", _fit_site), ("scores", _fit_scores)):
                yield _row(name, way, fit, good_maps, bad_maps, len(good_maps) // 2, target_frr, block)


Fit = Callable[[Maps, float], tuple[Callable[[Maps], Maps], Threshold]]


def _fit_site(anomaly_maps: Maps, target_frr: float) -> tuple[Callable[[Maps], Maps], Threshold]:
    """As `aae-calibrate` does."""
    places, threshold = fit_site(anomaly_maps, target_frr)
    return places.calm, threshold


def _fit_scores(anomaly_maps: Maps, target_frr: float) -> tuple[Callable[[Maps], Maps], Threshold]:
    """As `aae-train` does: nothing is taken out of the maps."""
    return lambda maps: maps, conformal_threshold(anomaly_maps.max(axis=(1, 2)), target_frr, "split")


def _row(
    title: str, way: str, fit: Fit, good: Maps, bad: Maps, count: int, target_frr: float, block: int
) -> dict[str, Any]:
    """Share the good pictures out so many times: some set the threshold, the others are what comes on the line."""
    realised, bounds, recalls, kept = [], [], [], []
    for number in range(RESAMPLINGS):
        rng = np.random.default_rng([number, count])
        blocks = np.array_split(np.arange(len(good)), -(-len(good) // block))
        order = np.concatenate([blocks[place] for place in rng.permutation(len(blocks))])
        calm, threshold = fit(good[order[:count]], target_frr)
        fresh = calm(good[order[count:]]).max(axis=(1, 2)) > threshold.value
        realised.append(float(fresh.mean()))
        bounds.append(threshold.calibration.bound_frr)
        kept.append(fresh.sum() <= _most_by_chance(len(fresh), threshold.calibration.bound_frr))
        if len(bad):
            recalls.append(float((calm(bad).max(axis=(1, 2)) > threshold.value).mean()))
    below = [rate <= bound for rate, bound in zip(realised, bounds, strict=True)]
    return {
        "pictures": title,
        "way": way,
        "good": len(good),
        "defective": len(bad),
        "count": count,
        "block": block,
        "target_frr": target_frr,
        "realised_mean": float(np.mean(realised)),
        "bound_mean": float(np.mean(bounds)),
        "below_bound": float(np.mean(below)),
        "kept": float(np.mean(kept)),
        "recall_mean": float(np.mean(recalls)) if recalls else None,
    }


def _most_by_chance(fresh: int, rate: float) -> int:
    """Return how many of so many fresh pictures may lie above, if the rate is at the bound: at most 5 % have more."""
    total, hits = 0.0, -1
    while total < 0.95 and hits < fresh:
        hits += 1
        log = math.lgamma(fresh + 1) - math.lgamma(hits + 1) - math.lgamma(fresh - hits + 1)
        total += math.exp(log + hits * math.log(rate) + (fresh - hits) * math.log1p(-rate)) if 0 < rate < 1 else 1.0
    return hits


def _demo_maps(
    detector: Detector, good: int, defective: int, light: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> tuple[Maps, Maps]:
    """Judge frames of seeds that nothing was made or chosen with, a part each."""
    good_maps, bad_maps = [], []
    camera = DemoCamera(7001, defect_rate=0.5)
    for number in range(good):
        image, _ = camera.render(number * _PART_FRAMES, defects=False)
        good_maps.append(detector(light(image)).model_map)
    camera = DemoCamera(7002, defect_rate=1.0)
    number = 0
    while len(bad_maps) < defective:
        number += 1
        if any(part.wholly_visible and part.defect_box_xywh for part in camera.truth(number * _PART_FRAMES).parts):
            image, _ = camera.render(number * _PART_FRAMES)
            bad_maps.append(detector(light(image)).model_map)
    return np.stack(good_maps), np.stack(bad_maps)


def _as_it_is(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image


def _reflected(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A lamp that shows at the same place of every picture."""
    height, width = image.shape[:2]
    lamp = np.zeros((height, width), np.float32)
    cv2.ellipse(lamp, (int(0.2 * width), int(0.25 * height)), (width // 30, height // 60), 20, 0, 360, (90.0,), -1)
    lamp = np.asarray(cv2.GaussianBlur(lamp, (0, 0), width / 200), np.float32)
    return np.clip(image + lamp[:, :, None], 0, 255).astype(np.uint8)


def _set_maps(run: Path, root: Path) -> tuple[Maps, Maps]:
    """Judge the pictures of a set that its model has not learned from: those held back, and the test folder."""
    from aae_train.data_folder import find_pictures
    from aae_train.split import Split

    detector = Detector.load(run / "export" / "detector.onnx", provider="cpu", threads=2)
    folder = find_pictures(root)
    paths = (*folder.good, *folder.validation)
    split = Split.from_json((run / "split.json").read_text(encoding="utf-8"), [folder.name(path) for path in paths])
    labelled = find_labelled_set(root).pictures
    good = [paths[number] for number in split.calibrate] + [p.path for p in labelled if not p.defective]
    bad = [picture.path for picture in labelled if picture.defective]
    good_maps, bad_maps = ([detector(read_picture(path)).model_map for path in each] for each in (good, bad))
    return np.stack(good_maps), np.stack(bad_maps)


if __name__ == "__main__":
    main()

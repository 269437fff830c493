"""The floor: two detectors that learn nothing, measured like ours. What does not beat them has learned nothing.

usage: python benchmarks/floor.py --data ROOT [--sets a,b,c] --json FILE        needs numpy and OpenCV only

A picture becomes a 32x32 grid of hand-made descriptors: derivatives of lightness up to second order at four scales,
signed and rectified, and the colour around, whitened on the good pictures. Then

    nearest:    root mean square distance to the three nearest of 8,000 good descriptors (after PatchCore, 2106.08265)
    per place:  Mahalanobis distance to the Gaussian of the good descriptors of that place (after PaDiM, 2011.08785)

A row for each set and method, written as they finish; rows that FILE holds already are kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench.accuracy import JudgedPicture, measure_accuracy
from aae_detect.bench.dataset import find_labelled_set, list_labelled_sets, read_mask
from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.bench.report import to_json
from aae_detect.picture_source import list_pictures, read_picture
from aae_detect.preprocess import prepare
from aae_detect.whole_file import write_whole

INPUT_HW = (256, 256)
STEP = 8
"""Pixels from one descriptor to the next."""

SCALES = (1, 2, 4, 8)
"""Standard deviations of the Gaussians that derivatives are taken at, pixels."""

COLOUR_SCALES = (3, 8)
BANK = 8000
NEIGHBOURS = 3
MOST_GOOD = 200
MAP_BLUR = 4.0
"""Standard deviation, pixels of the input."""

METHODS = ("nearest", "per place")

_CHUNK = 4096
_SHRINKAGE = 0.1
"""Added to each variance of a place, in whitened units: few pictures make thin Gaussians."""

_Float = NDArray[np.float32]
_KEPT = ("image_auroc", "image_auroc_ci95", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05", "counts")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA", required=True)
@click.option("--sets", "set_names", help="Folders under DATA, with commas; default all.")
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
def main(data: Path, set_names: str | None, target: Path) -> None:
    """Measure both methods on labelled sets in MVTec AD layout."""
    names = set_names.split(",") if set_names else list_labelled_sets(data)
    document = json.loads(target.read_text()) if target.is_file() else _new_document()
    rows: list[dict[str, Any]] = document["rows"]
    for name in names:
        if any(row["set"] == name for row in rows):
            continue
        began = time.perf_counter()
        for method, judged in _judge(data / name).items():
            figures = measure_accuracy(judged, threshold=0.0)
            seconds = round(time.perf_counter() - began, 1)
            rows.append({"set": name, "method": method, "seconds": seconds, **{key: figures[key] for key in _KEPT}})
            click.echo(f"{name:20s} {method:10s} image AUROC {figures['image_auroc']:.3f}  "
                       f"pixel AP {figures['pixel_ap']:.3f}  AUPRO {figures['aupro_30']:.3f}")  # fmt: skip
        write_whole(target, to_json(document))


def _new_document() -> dict[str, Any]:
    return {
        "command": "python benchmarks/floor.py --json FILE",
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": list_versions(),
        "measure": "0 to 1; the floor of a set is the better of its two methods, figure by figure",
        "rows": [],
    }


def _judge(root: Path) -> dict[str, list[JudgedPicture]]:
    """Run both methods over a set's test pictures."""
    good = list_pictures(root / "train" / "good")
    chosen = [good[place] for place in np.linspace(0, len(good) - 1, min(MOST_GOOD, len(good))).astype(int)]
    known = np.stack([describe(prepare(read_picture(path), INPUT_HW, "stretch")[0]) for path in chosen])
    whiten = fit_whitening(known.reshape(-1, known.shape[-1]))
    known = whiten(known)
    measures = {"nearest": fit_nearest(known), "per place": fit_gaussians(known)}
    judged: dict[str, list[JudgedPicture]] = {method: [] for method in METHODS}
    for picture in find_labelled_set(root).pictures:
        image, placement = prepare(read_picture(picture.path), INPUT_HW, "stretch")
        descriptors = whiten(describe(image))
        empty = picture.mask_path is not None and not read_mask(picture.mask_path, placement.frame_hw).any()
        for method in METHODS:
            grown = cv2.resize(measures[method](descriptors), INPUT_HW[::-1], interpolation=cv2.INTER_LINEAR)
            anomaly_map = np.asarray(cv2.GaussianBlur(grown, (0, 0), MAP_BLUR), np.float32)
            judged[method].append(JudgedPicture(picture, float(anomaly_map.max()), anomaly_map, placement, empty))
    return judged


def describe(image: NDArray[np.uint8]) -> _Float:
    """Describe a picture, HxWx3 uint8 BGR, by H/8 x W/8 rows of 54 numbers."""
    lab = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2LAB), np.float32) / 255
    planes = [*_derivatives(lab[:, :, 0])]
    planes += [_blurred(lab[:, :, channel], scale) for scale in COLOUR_SCALES for channel in range(3)]
    return np.stack([plane[STEP // 2 :: STEP, STEP // 2 :: STEP] for plane in planes], axis=2)


def _derivatives(lightness: _Float) -> Iterator[_Float]:
    """Derivatives in units that make scales comparable, each averaged over its surroundings: as it is, and as size."""
    for scale in SCALES:
        smooth = _blurred(lightness, scale)

        def derive(x: int, y: int, smooth: _Float = smooth, scale: int = scale) -> _Float:
            return np.asarray(cv2.Sobel(smooth, cv2.CV_32F, x, y) * scale ** (x + y), np.float32)

        dx, dy = derive(1, 0), derive(0, 1)
        second = [derive(2, 0), derive(0, 2), derive(1, 1)]
        sizes = [dx, dy, dx + dy, dx - dy, *second]
        for plane in [dx, dy, *second, *map(np.abs, sizes)]:
            yield _blurred(plane, max(scale, 2))


def _blurred(plane: _Float, sigma: float) -> _Float:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def fit_whitening(rows: _Float) -> Callable[[_Float], _Float]:
    """Return what makes rows (N, D) uncorrelated with variance 1; directions that hardly vary are left out."""
    centre = rows.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov((rows - centre).T))
    kept = values > 1e-5 * values.max()
    scaled = directions[:, kept] / np.sqrt(values[kept] + 0.01 * values[kept].mean())
    return lambda given: np.asarray((given - centre) @ scaled, np.float32)


def fit_nearest(known: _Float) -> Callable[[_Float], _Float]:
    """Remember descriptors of good pictures (N, h, w, D); returns what takes (h, w, D) to distances (h, w)."""
    rows = known.reshape(-1, known.shape[-1])
    bank = rows[np.random.default_rng(0).permutation(len(rows))[:BANK]]
    squares = np.square(bank).sum(axis=1)

    def measure(descriptors: _Float) -> _Float:
        asked = descriptors.reshape(-1, descriptors.shape[-1])
        found = [
            np.partition(np.square(part).sum(axis=1)[:, None] + squares - 2 * part @ bank.T, NEIGHBOURS - 1, axis=1)
            for part in _chunks(asked)
        ]
        nearest = np.concatenate(found)[:, :NEIGHBOURS].mean(axis=1)
        return np.sqrt(np.maximum(nearest, 0)).reshape(descriptors.shape[:2]).astype(np.float32)

    return measure


def _chunks(rows: _Float) -> Sequence[_Float]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def fit_gaussians(known: _Float) -> Callable[[_Float], _Float]:
    """Fit a Gaussian for each place of (N, h, w, D); returns what takes (h, w, D) to distances (h, w)."""
    count, dim = len(known), known.shape[-1]
    centre = known.mean(axis=0)
    apart = (known - centre).astype(np.float64)
    covariance = np.einsum("nhwi,nhwj->hwij", apart, apart) / max(1, count - 1)
    precision = np.linalg.inv(covariance + _SHRINKAGE * np.eye(dim)).astype(np.float32)

    def measure(descriptors: _Float) -> _Float:
        difference = descriptors - centre
        squares = np.einsum("hwi,hwij,hwj->hw", difference, precision, difference, optimize=True)
        return np.sqrt(np.maximum(squares, 0)).astype(np.float32)

    return measure


if __name__ == "__main__":
    main()

"""The training-free methods that a detector has to beat: against scikit-learn and SciPy, and a short run."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.neighbors import NearestNeighbors

from aae_detect import DemoCamera

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "floor.py"


@pytest.fixture(scope="module")
def floor(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("floor")


def test_whitened_rows_are_uncorrelated_and_flat_directions_left_out(floor: ModuleType) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((5000, 4)) @ rng.standard_normal((4, 4)) + 3).astype(np.float32)
    rows = np.concatenate([rows, rows[:, :1]], axis=1)  # the fifth says nothing new
    white = floor.fit_whitening(rows)(rows)
    assert white.shape == (5000, 4)
    covariance = np.cov(white.T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-2)
    assert np.diag(covariance).max() == pytest.approx(1.0, abs=0.02)


def test_nearest_is_scikit_learns(floor: ModuleType) -> None:
    rng = np.random.default_rng(0)
    known, asked = (rng.standard_normal((*shape, 6)).astype(np.float32) for shape in ((3, 5, 7), (5, 7)))
    distances, _ = NearestNeighbors(n_neighbors=3).fit(known.reshape(-1, 6)).kneighbors(asked.reshape(-1, 6))
    expected = np.sqrt(np.square(distances).mean(axis=1)).reshape(5, 7)
    np.testing.assert_allclose(floor.fit_nearest(known)(asked), expected, rtol=1e-4)


def test_the_gaussian_of_a_place_is_scipys(floor: ModuleType) -> None:
    rng = np.random.default_rng(0)
    known, asked = (rng.standard_normal(shape).astype(np.float32) for shape in ((9, 2, 3, 4), (2, 3, 4)))
    found = floor.fit_gaussians(known)(asked)
    precision = np.linalg.inv(np.cov(known[:, 1, 2].T) + 0.1 * np.eye(4))
    assert found[1, 2] == pytest.approx(mahalanobis(asked[1, 2], known[:, 1, 2].mean(axis=0), precision), rel=1e-4)


def test_a_run_finds_a_plain_defect_and_keeps_its_rows(tmp_path: Path) -> None:
    root = tmp_path / "sets" / "parts"
    camera = DemoCamera(3, (120, 160), defect_rate=0.0)
    for folder in ("train/good", "test/good", "test/spot", "ground_truth/spot"):
        (root / folder).mkdir(parents=True)
    for number in range(12):
        cv2.imwrite(str(root / f"train/good/{number}.png"), camera.render(11 * number)[0])
    for number in range(3):
        picture = camera.render(500 + 11 * number)[0]
        cv2.imwrite(str(root / f"test/good/{number}.png"), picture)
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.circle(mask, (30 + 20 * number, 40), 9, (255,), -1)
        picture[mask > 0] = (0, 0, 255)
        cv2.imwrite(str(root / f"test/spot/{number}.png"), picture)
        cv2.imwrite(str(root / f"ground_truth/spot/{number}.png"), mask)
    target = tmp_path / "floor.json"
    command = [sys.executable, str(SCRIPT), "--data", str(root.parent), "--json", str(target)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    rows = json.loads(target.read_text())["rows"]
    assert [(row["set"], row["method"]) for row in rows] == [("parts", "nearest"), ("parts", "per place")]
    assert all(row["image_auroc"] == 1.0 and row["pixel_auroc"] > 0.9 for row in rows)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert json.loads(target.read_text())["rows"] == rows

"""The digits benchmark: its estimator against scikit-learn's, and a short run of the script."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.neighbors import KernelDensity

pytest.importorskip("torch", reason="needs the train extra")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def parzen(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("parzen")


@pytest.mark.parametrize("sigma", [0.05, 0.2, 1.0])
def test_the_density_is_scikit_learns(parzen: ModuleType, sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parzen, "_PAIRS", 1000)  # several parts
    rng = np.random.default_rng(0)
    samples, points = rng.uniform(0, 1, (300, 5)), rng.uniform(0, 1, (40, 5))
    # One leaf: its tree loses digits in the tails.
    judge = KernelDensity(kernel="gaussian", bandwidth=sigma, leaf_size=len(samples)).fit(samples)
    (found,) = parzen.log_density(points, samples, [sigma])
    np.testing.assert_allclose(found, judge.score_samples(points), rtol=1e-9)


def test_one_window_by_hand(parzen: ModuleType) -> None:
    found = parzen.log_density(np.array([[3.0, 4.0]]), np.zeros((1, 2)), [2.0])
    assert found[0, 0] == pytest.approx(-25 / 8 - math.log(2 * math.pi * 4))


def test_the_score_of_a_known_density(parzen: ModuleType) -> None:
    """Many samples of N(0, 0.2^2) in one dimension: the mean log-likelihood is minus its entropy."""
    rng = np.random.default_rng(0)
    samples, validation, test = (0.2 * rng.standard_normal((count, 1)) for count in (10000, 500, 4000))
    score = parzen.parzen_score(samples, validation, test)
    entropy = 0.5 * math.log(2 * math.pi * math.e * 0.04)
    assert score.mean == pytest.approx(-entropy, abs=4 * score.standard_error)
    assert score.standard_error == pytest.approx(math.sqrt(0.5 / 4000), rel=0.15)
    assert score.sigma < 0.1


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "digits.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_short_run_writes_rows_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    target = tmp_path / "digits.json"
    few = ("--steps", "10", "--width", "16", "--samples", "200", "--seeds", "1", "--json", str(target))
    first = run("--families", "vae", *few)
    assert first.returncode == 0, first.stderr
    rows = json.loads(target.read_text())["rows"]
    assert [row["family"] for row in rows] == ["training digits themselves", "one Gaussian", "vae"]
    assert all(math.isfinite(row["log_likelihood"]) and row["standard_error"] > 0 for row in rows)
    second = run("--families", "vae,gan", *few)
    assert second.returncode == 0, second.stderr
    document = json.loads(target.read_text())
    assert document["rows"][:3] == rows
    assert [line["family"] for line in document["summary"]][2:] == ["vae", "gan"]
    other = run("--steps", "11", "--json", str(target))
    assert other.returncode == 1
    assert "other settings" in other.stderr


def test_mnists_usual_layout_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (10200, 28, 28), np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=pictures, x_test=pictures[:20], y_train=pictures[:, 0, 0])
    target = tmp_path / "out.json"
    mnist = ("--mnist", str(tmp_path / "mnist.npz"), "--json", str(target))
    found = run("--families", "aae", "--steps", "10", "--width", "8", "--seeds", "1", "--samples", "100", *mnist)
    assert found.returncode == 0, found.stderr
    assert json.loads(target.read_text())["settings"]["split"] == {"train": 200, "validation": 10000, "test": 20}
    np.savez(tmp_path / "wrong.npz", digits=pictures[:1])
    wrong = run("--mnist", str(tmp_path / "wrong.npz"), "--json", str(tmp_path / "none.json"))
    assert wrong.returncode == 1
    assert "has no x_test and no x_train" in wrong.stderr

"""Each family on the demo's parts: trained, exported, judged with, measured, drawn from; by the same calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from aae_detect import Detector
from aae_detect.bench.cli import main as bench
from aae_detect.generate.cli import main as generate
from aae_detect.picture_source import read_picture

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnxscript", reason="needs the export extra")

from aae_export.export import export_run
from aae_train.config import TrainConfig
from aae_train.custom_prior import record_prior
from aae_train.run import Run

FAMILIES = {
    "aae": {"prior": "mixture:4", "latent": "6"},
    "aae-gaussian": {"model": "aae", "encoder": "gaussian", "prior": "swiss-roll"},
    "aae-universal": {"model": "aae", "encoder": "universal", "prior": "uniform"},
    "aae-non-saturating": {"model": "aae", "adversarial_loss": "non-saturating"},
    "wae-mmd": {"model": "wae-mmd", "prior": "custom"},
    "vae": {"model": "vae"},
    "gan": {"model": "gan"},
    "gmmn": {"model": "gmmn", "latent": "grid"},
    "gmmn-ae": {"model": "gmmn-ae", "latent": "12"},
}
STEPS = 5


def two_lines(count: int, dim: int) -> np.ndarray:
    """A prior of our own: numbers near -1 or near 1."""
    rng = np.random.default_rng(0)
    return np.where(rng.random((count, dim)) < 0.5, -1.0, 1.0) + 0.1 * rng.standard_normal((count, dim))


LONG = {"aae", "aae-gaussian", "aae-non-saturating", "vae", "gmmn"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in FAMILIES])
def test_the_whole_line(name: str, demo_pictures: Path, tmp_path: Path) -> None:
    settings = FAMILIES[name]
    config = TrainConfig(data=str(demo_pictures), input_hw=(64, 96), steps=STEPS, batch_size=4, **settings)  # type: ignore[arg-type]
    prior = record_prior(two_lines, config.latent_chw[0]) if config.prior == "custom" else None
    run = tmp_path / "run"
    assert Run(config, run, say=lambda text: None, prior=prior).train(lambda: False, lambda *_: None)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["steps"] == STEPS
    assert metrics["model"] == config.model
    assert 0 <= metrics["health"]["active_share"] <= 1

    report = export_run(run, tmp_path / "export")
    assert all(difference.passed for difference in report.differences)
    expected = {"encoder", "decoder", "generator", "detector"}
    expected |= {"discriminator"} if config.model in ("aae", "gan") else set()
    assert {path.stem for path in report.folder.glob("*.onnx")} == expected

    detector = Detector.load(report.folder / "detector.onnx", provider="cpu")
    assert (detector.spec.family, detector.spec.prior) == (config.model, config.prior)
    frame = read_picture(demo_pictures / "3.png")
    first, second = detector(frame), detector(frame)
    assert first.score == second.score  # also with a stochastic encoder
    np.testing.assert_array_equal(first.model_map, second.model_map)

    runner = CliRunner()
    latency = ["latency", str(report.folder / "detector.onnx"), "--threads", "1", "--repeat", "3"]
    result = runner.invoke(bench, [*latency, "--json", str(tmp_path / "latency.json")])
    assert result.exit_code == 0, result.output
    sheet = tmp_path / "sheet.png"
    arguments = [str(report.folder), "--count", "6", "--out", str(sheet), "--picture", str(demo_pictures / "3.png")]
    result = runner.invoke(generate, arguments)
    assert result.exit_code == 0, result.output
    assert read_picture(sheet).size > 0


def test_a_stochastic_detector_takes_noise_and_does_without(demo_pictures: Path, tmp_path: Path) -> None:
    config = TrainConfig(data=str(demo_pictures), input_hw=(64, 64), steps=2, batch_size=2, encoder="gaussian")
    assert Run(config, tmp_path / "run", say=lambda text: None).train(lambda: False, lambda *_: None)
    folder = export_run(tmp_path / "run", tmp_path / "export").folder
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs that may be left out
    detector = onnxruntime.InferenceSession(folder / "detector.onnx", options, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    (optional,) = detector.get_overridable_initializers()
    assert (optional.name, optional.shape[1]) == ("noise", config.latent_dim)
    zeros = np.zeros((3, config.latent_dim), np.float32)
    noise = np.random.default_rng(1).standard_normal(zeros.shape, np.float32)
    plain, with_zeros, with_noise = (
        detector.run(["anomaly_map"], {"image": images, **more})[0] for more in ({}, {"noise": zeros}, {"noise": noise})
    )
    np.testing.assert_array_equal(plain, with_zeros)
    assert np.abs(plain - with_noise).max() > 1e-6
    encoder = onnxruntime.InferenceSession(folder / "encoder.onnx", providers=["CPUExecutionProvider"])
    assert [(port.name, port.shape[1:]) for port in encoder.get_inputs()] == [
        ("image", [64, 64, 3]),
        ("noise", [config.latent_dim]),
    ]

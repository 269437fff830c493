"""Other precisions: made from a real small run, and measured honestly."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from aae_detect import Detector, ModelError
from aae_detect.picture_source import read_picture
from aae_export.precision import Material, make_precision
from aae_export.quantize import LEARNED, Quantizer
from aae_export.separation import put_defects, separation


@pytest.fixture(scope="module")
def pictures(demo_pictures: Path) -> list[np.ndarray]:
    from aae_detect.preprocess import prepare

    return [prepare(read_picture(demo_pictures / f"{number}.png"), (64, 96), "stretch")[0] for number in range(12)]


@pytest.fixture(scope="module")
def int8_export(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("int8") / "export"
    command = [
        sys.executable,
        "-m",
        "aae_export.cli",
        str(small_run),
        "--out",
        str(out),
        "--precision",
        "int8",
        "--force",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return out, done.stdout


def test_the_int8_detector_is_a_detector_with_a_threshold_of_its_own(int8_export: tuple[Path, str]) -> None:
    out, said = int8_export
    fp32, int8 = (Detector.load(out / name, provider="cpu") for name in ("detector.onnx", "detector.int8.onnx"))
    assert int8.spec.precision == "int8"
    assert int8.spec.calibration.target_frr == fp32.spec.calibration.target_frr
    cost = json.loads((out / "export.json").read_text())["other_precision"]
    assert cost["threshold"] == int8.threshold != fp32.threshold == cost["threshold_fp32"]
    assert cost["judged_on"] == "synthetic defects"
    assert cost["loss"] == pytest.approx(cost["auroc_fp32"] - cost["auroc"])
    assert f"threshold {int8.threshold:.4g}, fp32 {fp32.threshold:.4g}" in said
    assert "detector.int8.onnx" in said.splitlines()[-1]


def test_only_what_was_learned_is_quantized(int8_export: tuple[Path, str]) -> None:
    proto = onnx.load(int8_export[0] / "detector.int8.onnx")
    kinds = Counter(node.op_type for node in proto.graph.node)
    assert kinds["QuantizeLinear"] > 20
    quantized = {name for name in (tensor.name for tensor in proto.graph.initializer) if name.endswith("_quantized")}
    assert len(quantized) > 40  # weights and biases
    assert all(name.startswith(LEARNED) for name in quantized)


def test_layers_that_stay_have_no_integers(small_export: Path, pictures: list[np.ndarray]) -> None:
    quantizer = Quantizer((small_export / "detector.onnx").read_bytes(), pictures)
    every = [node.op_type for node in quantizer.quantize().graph.node].count("DequantizeLinear")
    fewer = [node.op_type for node in quantizer.quantize(quantizer.nodes[:3]).graph.node].count("DequantizeLinear")
    none = [node.op_type for node in quantizer.quantize(quantizer.nodes).graph.node].count("DequantizeLinear")
    assert every > fewer > none == 0


def test_half_precision_answers_nearly_like_fp32(
    small_export: Path, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    target = tmp_path / "detector.fp16.onnx"
    cost = make_precision(small_export / "detector.onnx", target, "fp16", Material(pictures, pictures))
    assert cost.score_noise < 0.05
    assert cost.stayed_float == ()
    assert target.stat().st_size < 0.62 * (small_export / "detector.onnx").stat().st_size
    fp32, fp16 = Detector.load(small_export / "detector.onnx", provider="cpu"), Detector.load(target, provider="cpu")
    assert fp16.spec.precision == "fp16"
    assert fp16(pictures[0]).score == pytest.approx(fp32(pictures[0]).score, rel=0.02, abs=0.02)


def test_what_costs_too_much_is_refused_and_not_left_behind(
    small_export: Path, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_export.precision.TOLERANCE", {"fp16": -1.0})
    target = tmp_path / "detector.fp16.onnx"
    with pytest.raises(ModelError, match=r"fp16 costs too much: scores of good pictures move by"):
        make_precision(small_export / "detector.onnx", target, "fp16", Material(pictures, pictures))
    assert not target.exists()


def test_defects_are_put_in_and_told_apart(pictures: list[np.ndarray]) -> None:
    defective = put_defects(pictures)
    assert all((one != other).any() for one, other in zip(pictures, defective, strict=True))
    again = put_defects(pictures)
    assert all((one == other).all() for one, other in zip(defective, again, strict=True))
    assert separation(np.array([1.0, 2.0]), np.array([3.0, 0.0])) == 0.5
    assert separation(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0

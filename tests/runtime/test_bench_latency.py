"""`aae-bench latency`: what a row holds, and that its parts add up."""

import subprocess
import sys
from pathlib import Path

import pytest

from aae_detect.bench.latency import STAGES, list_settings, measure_latency, turn_count
from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.errors import ConfigError, ModelError
from aae_detect.session import CPU, CUDA, available_providers


def test_every_combination_is_measured(tiny_model: Path):
    settings = list_settings(["cpu"], [1, 2], [(120, 160), (240, 320)], [1, 3])
    done: list[int] = []
    rows = measure_latency(tiny_model, settings, repeat=3, warmup=1, done=done.append)
    found = [(row["provider"], row["threads"], row["size"], row["batch"]) for row in rows]
    assert found == [(CPU, t, size, batch) for t in (1, 2) for size in ("160x120", "320x240") for batch in (1, 3)]
    assert done == list(range(1, 8 * 3 + 1))
    assert all(row["repeats"] == 3 for row in rows)
    for row in rows:
        for stage in STAGES:
            percentiles = row[f"{stage}_ms"]
            assert 0 < percentiles["p50"] <= percentiles["p95"] <= percentiles["p99"]
        assert row["frames_per_second"] == pytest.approx(1000 / row["total_ms"]["p50"], rel=0.01)
        assert row["load_ms"] > 0


def test_the_stages_of_one_run_add_up(tiny_model: Path):
    (row,) = measure_latency(tiny_model, list_settings(["cpu"], [1], [(240, 320)], [2]), repeat=1, warmup=2)
    once = {stage: row[f"{stage}_ms"]["p50"] for stage in STAGES}
    assert row["total_ms"]["p50"] == row["total_ms"]["p99"]
    parts = once["preprocess"] + once["inference"] + once["postprocess"]
    assert once["without_overlay"] == pytest.approx(parts, abs=1e-3)
    assert once["total"] >= once["without_overlay"] + once["overlay"] - 1e-3


def test_turns_are_few_and_never_empty():
    assert [turn_count(repeat) for repeat in (1, 3, 5, 200)] == [1, 3, 5, 5]


def test_what_cannot_be_measured_is_refused(tiny_model: Path, tmp_path: Path):
    settings = list_settings(["cpu"], [1], [(120, 160)], [1])
    with pytest.raises(ConfigError, match="repeat is 0"):
        measure_latency(tiny_model, settings, repeat=0)
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        measure_latency(tmp_path / "missing.onnx", settings, repeat=1)


@pytest.mark.skipif(CUDA in available_providers(), reason="this ONNX Runtime has CUDA")
def test_a_provider_that_is_not_there_is_no_silent_fallback(tiny_model: Path):
    with pytest.raises(ConfigError, match="cuda was asked for"):
        measure_latency(tiny_model, list_settings(["cuda"], [1], [(120, 160)], [1]), repeat=1)


def test_the_machine_is_described_without_naming_it():
    machine = describe_machine()
    assert machine["cpu"]
    assert 1 <= machine["cores_usable"] <= machine["cores"]
    assert machine["memory_gib"] > 0
    versions = list_versions()
    assert {"python", "numpy", "aae-detect"} <= set(versions)
    assert any(name.startswith("onnxruntime") for name in versions)
    assert any(name.startswith("opencv-python") for name in versions)


def test_peak_memory_keeps_what_was_held_and_none_of_the_parents():
    held_by_parent = b"x" * (150 * 2**20)
    script = """if True:
        from aae_detect.bench.machine import peak_memory_mib
        before = peak_memory_mib()
        held = bytearray(100 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        del held
        print(before, peak_memory_mib())
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = (float(value) for value in done.stdout.split())
    assert 1 < before < len(held_by_parent) / 2**20
    assert 90 < after - before < 110

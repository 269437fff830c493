"""`aae-bench latency`: what a row holds, and that its parts add up."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from aae_detect.bench.against import compare_in_turns, compare_with_baseline, read_baseline
from aae_detect.bench.histogram import draw_histograms
from aae_detect.bench.latency import STAGES, Measured, Setting, _warm_up, list_settings, measure_latency, turn_count
from aae_detect.bench.machine import _cpu_quota, count_usable_cores, describe_machine, fingerprint, list_versions
from aae_detect.errors import ConfigError, ModelError
from aae_detect.session import CPU, CUDA, available_providers


def test_every_combination_is_measured(tiny_model: Path):
    settings = list_settings([tiny_model], ["cpu"], [1, 2], [(120, 160), (240, 320)], [1, 3])
    done: list[int] = []
    rows = [found.row() for found in measure_latency(settings, repeat=3, warmup=1, done=done.append)]
    found = [(row["provider"], row["threads"], row["size"], row["batch"]) for row in rows]
    assert found == [(CPU, t, size, batch) for t in (1, 2) for size in ("160x120", "320x240") for batch in (1, 3)]
    assert done == list(range(1, 8 * 3 + 1))
    assert all(row["repeats"] == 3 for row in rows)
    for row in rows:
        for stage in STAGES:
            percentiles = row[f"{stage}_ms"]
            assert 0 < percentiles["p50"] <= percentiles["p95"] <= percentiles["p99"] <= percentiles["max"]
        assert row["frames_per_second"] == pytest.approx(1000 / row["total_ms"]["p50"], rel=0.01)
        assert row["load_ms"] > 0


def test_the_stages_of_one_run_add_up(tiny_model: Path):
    (found,) = measure_latency(list_settings([tiny_model], ["cpu"], [1], [(240, 320)], [2]), repeat=1, warmup=2)
    row = found.row()
    once = {stage: row[f"{stage}_ms"]["p50"] for stage in STAGES}
    assert row["total_ms"]["p50"] == row["total_ms"]["p99"]
    parts = once["preprocess"] + once["inference"] + once["postprocess"]
    assert once["without_overlay"] == pytest.approx(parts, abs=1e-3)
    assert once["total"] >= once["without_overlay"] + once["overlay"] - 1e-3


def test_turns_are_few_and_never_empty():
    assert [turn_count(repeat) for repeat in (1, 3, 5, 200)] == [1, 3, 5, 5]


def test_what_cannot_be_measured_is_refused(tiny_model: Path, tmp_path: Path):
    settings = list_settings([tiny_model], ["cpu"], [1], [(120, 160)], [1])
    with pytest.raises(ConfigError, match="repeat is 0"):
        measure_latency(settings, repeat=0)
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        measure_latency(list_settings([tmp_path / "missing.onnx"], ["cpu"], [1], [(120, 160)], [1]), repeat=1)


@pytest.mark.skipif(CUDA in available_providers(), reason="this ONNX Runtime has CUDA")
def test_a_provider_that_is_not_there_is_no_silent_fallback(tiny_model: Path):
    with pytest.raises(ConfigError, match="cuda was asked for"):
        measure_latency(list_settings([tiny_model], ["cuda"], [1], [(120, 160)], [1]), repeat=1)


def test_it_warms_up_until_it_gets_no_faster():
    times = iter([9.0] * 5 + [6.0] * 5 + [4.0] * 5 + [3.95] * 5 + [1.0] * 50)
    assert _warm_up(lambda: next(times), None) == 20
    assert _warm_up(lambda: 1 / next(endless), None) == 100  # it does not for ever
    assert _warm_up(lambda: 1.0, 7) == 7


endless = count(1)


def measured(turns: list[list[float]]) -> Measured:
    found = Measured(Setting(Path("a.onnx"), "cpu", 1, (480, 640), 1), "fp32", CPU, warmup=[0], load_ms=[1.0])
    for turn, times in enumerate(turns):
        found.times_ms += [tuple(time for _ in STAGES) for time in times]
        found.turn_of += [turn] * len(times)
    return found


def test_slower_means_slower_in_every_turn():
    before = measured([[10, 10, 10], [10, 10, 10]])
    (same,) = compare_in_turns([before], [before])
    assert (same.ratio, same.slower(0.0)) == (1.0, False)
    (disturbed,) = compare_in_turns([measured([[10, 10, 10], [30, 30, 30]])], [before])
    assert disturbed.most == 3.0
    assert not disturbed.slower(0.1)
    (slower,) = compare_in_turns([measured([[12, 12, 40], [11.5, 11.5, 11.5]])], [before])
    assert slower.least == pytest.approx(1.15)
    assert slower.slower(0.1)
    assert not slower.slower(0.2)


def test_a_baseline_counts_on_its_own_machine_only(tmp_path: Path):
    before = measured([[10.0, 10.0]])
    baseline = {"fingerprint": fingerprint(), "rows": [before.row()]}
    (comparison,) = compare_with_baseline([measured([[15.0, 15.0]])], baseline)
    assert comparison.ratio == 1.5
    with pytest.raises(ConfigError, match="measure it again here"):
        compare_with_baseline([before], baseline | {"fingerprint": "another"})
    with pytest.raises(ConfigError, match="no row for"):
        compare_with_baseline([before], baseline | {"rows": [before.row() | {"threads": 7}]})
    with pytest.raises(ConfigError, match=r"2 rows for .*: models in files of one name"):
        compare_with_baseline([before], baseline | {"rows": [before.row(), before.row()]})
    path = tmp_path / "baseline.json"
    for text in ("", "{}", '{"rows": [{}]}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match="no result of"):
            read_baseline(path)


def test_the_histogram_shows_a_single_slow_frame():
    times = np.r_[np.full(500, 5.0), 20.0]
    picture = draw_histograms([("one", times), ("other", times / 2)])
    assert picture.shape == (300, 1000, 3)
    bars = (picture == (190, 140, 60)).all(axis=2)
    assert bars[:150, 950:].any()  # the slow frame, at the right end
    assert not bars[:150, 300:900].any()
    assert bars[150:, 490:510].any()  # the other row's slow frame, half as far


def test_the_machine_is_described_without_naming_it():
    machine = describe_machine()
    assert machine["cpu"]
    assert 1 <= machine["cores_usable"] <= machine["cores"]
    assert machine["memory_gib"] > 0
    versions = list_versions()
    assert {"python", "numpy", "aae-detect"} <= set(versions)
    assert any(name.startswith("onnxruntime") for name in versions)
    assert any(name.startswith("opencv-python") for name in versions)
    assert fingerprint() == fingerprint()


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


@pytest.mark.parametrize(
    ("own", "limit", "cores"),
    [
        ("0::/box/detect.service\n", "250000 100000\n", 2.5),
        ("12:cpu:/other\n0::/box/detect.service\n", "50000 100000", 0.5),
        ("0::/box/detect.service\n", "max 100000", None),
        ("0::/box/detect.service\n", "nonsense", None),
        ("0::/\n", "250000 100000", None),
        ("", "250000 100000", None),
    ],
)
def test_a_container_has_the_time_of_so_many_cores(tmp_path: Path, own: str, limit: str, cores: float | None):
    group = tmp_path / "groups" / "box" / "detect.service"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(limit)
    (tmp_path / "own").write_text(own)
    assert _cpu_quota(tmp_path / "groups", tmp_path / "own") == cores
    assert 1 <= count_usable_cores() <= (os.cpu_count() or 1)

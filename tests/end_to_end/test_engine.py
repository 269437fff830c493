"""The engine's benchmark: it starts the real programs, and its figures mean what they say."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from aae_detect.bench.memory import own_and_children_mib

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "engine.py"
MODEL = Path(__file__).parents[1] / "data" / "tiny.onnx"

WEIGH = """
import json, mmap, os, subprocess, sys
from aae_detect.bench.memory import children_of, held_mib, own_and_children_mib
before, _ = own_and_children_mib()
block = mmap.mmap(-1, 64 * 2**20)  # not from the C library, which may have kept as much from before
for _ in range(64):
    block.write(os.urandom(2**20))
after, _ = own_and_children_mib()
block.close()
command = [sys.executable, "-c", "print(flush=True); input()"]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
    child.stdout.readline()
    listed = child.pid in children_of(os.getpid())
    own, everyone = own_and_children_mib()
    child.communicate(b"\\n")
print(json.dumps([before, after, listed, own, everyone, held_mib([child.pid])]))
"""
"""A process of its own that loads next to nothing: what this one shares with others, numpy and OpenCV among it, weighs
another time as soon as one of them starts or ends."""


@pytest.fixture(scope="module")
def engine(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("engine")


def test_a_start_ends_with_a_verdict(engine: ModuleType) -> None:
    row = engine.measure_start(MODEL, repeats=2)
    assert 0.05 < row["seconds"]["p50"] <= row["seconds"]["max"] < 30
    assert row["held"] == (row["seconds"]["p50"] <= 0.8)


def test_a_long_run_judges_every_frame(engine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_LOOK_S", 0.05)
    row = engine.measure_soak(MODEL, frames=400)
    assert row["frames"] == 400
    # So short a run is weighed from its first moment on, when next to nothing is loaded.
    assert 0 < row["mib"]["start"] <= row["mib"]["max"]
    assert 50 < row["mib"]["max"] < 2000


def test_a_network_camera_is_weighed_with_its_capture_process(
    engine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_LOOK_S", 1.0)
    monkeypatch.setattr(engine, "_WEIGHINGS", 4)
    if own_and_children_mib()[0] is None:
        pytest.skip("the system does not tell what processes hold")
    assert 60 < engine.measure_memory(MODEL)["mib"] < 1000


def test_rows_are_added_to_a_file_and_say_what_they_are_of(tmp_path: Path) -> None:
    target = tmp_path / "engine.json"
    target.write_text(json.dumps({"parts": {"memory": {"mib": 1.0}}}))
    command = [sys.executable, str(SCRIPT), "--model", str(MODEL), "--parts", "start", "--json", str(target)]
    subprocess.run(command, check=True, capture_output=True)
    parts = json.loads(target.read_text())["parts"]
    assert parts["memory"] == {"mib": 1.0}
    assert {"bar", "held", "command", "date", "machine", "versions", "model_sha256"} <= set(parts["start"])


@pytest.mark.parametrize(("parts", "problem"), [("start,stop", "stop is none of"), ("four", "need --int8")])
def test_wrong_parts_are_told(tmp_path: Path, parts: str, problem: str) -> None:
    command = [sys.executable, str(SCRIPT), "--model", str(MODEL), "--parts", parts, "--json", str(tmp_path / "e.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2 and problem in done.stderr


def test_memory_is_that_of_the_processes_and_grows_with_them() -> None:
    if own_and_children_mib()[0] is None:
        pytest.skip("the system does not tell what processes hold")
    done = subprocess.run([sys.executable, "-c", WEIGH], capture_output=True, text=True, check=True)
    before, after, listed, own, everyone, of_an_ended_one = json.loads(done.stdout)
    assert after - before == pytest.approx(64, abs=4)
    assert listed and everyone > own
    assert of_an_ended_one is None

"""Every benchmark and script of the project still fits the code: it starts, and says how it is used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxscript", reason="needs the export extra")

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "scripts").glob("*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_it_starts(script: Path, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, str(script), "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    # A module that others import says nothing; all others say how they are used.
    assert ("Usage:" in found.stdout) == ("__main__" in script.read_text(encoding="utf-8"))
    assert not list(tmp_path.iterdir())


def test_training_speed_is_measured_in_all_ways(tmp_path: Path) -> None:
    target = tmp_path / "speed.json"
    script = ROOT / "benchmarks" / "training_speed.py"
    subprocess.run([sys.executable, str(script), "--rounds", "1", "--json", str(target)], check=True)
    rows = json.loads(target.read_text())["rows"]
    assert len(rows) == 4 and all(row["step_ms"] > 0 for row in rows)

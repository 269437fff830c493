"""The long forms of tests that hold a promise, run and recorded: kills, cameras, weeks of drift, fuzzing.

usage: python benchmarks/promises.py --json FILE [--only NAME ...] [--cases 125000]

A test that was skipped has kept nothing, and ends this with code 1 as one that failed does. Everything together takes
about two hours; run it alone, since some tests have deadlines.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import click

from reliability_file import write_part

PROMISES = {
    "store": (
        "200 kills while events are written: each that was told is there, with its pictures",
        ["tests/runtime/test_store.py", "-m", "slow"],
    ),
    "broker": (
        "200 kills while events are forwarded, the MQTT broker stopped and started among them: each arrives, in order",
        ["tests/runtime/mqtt", "-m", "slow"],
    ),
    "cameras": (
        "50 times lost and found, RTSP and MJPEG at 1080p, killed and frozen: told within 2 s, back within 2 s and the "
        "pause, no frame twice or torn",
        ["tests/runtime/test_network_cameras.py", "-m", "slow"],
    ),
    "drift": (
        "12 simulated weeks of a part a second: one false alarm at most; told before rejects double",
        ["tests/runtime/test_drift.py", "-m", "slow"],
    ),
    "fuzzing": ("files of all kinds, bent: our own errors only, and none that hangs", ["tests/runtime/test_fuzz.py"]),
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(PROMISES)), help="These alone; may be repeated.")
@click.option("--cases", default=125_000, show_default=True, help="Of fuzzing, for each of its tests.")
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
def main(only: tuple[str, ...], cases: int, target: Path) -> None:
    """Run long tests, and write down what they showed."""
    kept = True
    for name in only or PROMISES:
        what, arguments = PROMISES[name]
        found = _run(arguments, cases)
        kept = kept and found["passed"] == found["tests"] > 0
        command = f"python benchmarks/promises.py --only {name} --json FILE"
        write_part(target, f"promise_{name}", command, {"promise": what, **found})
        click.echo(f"{name}: {found['passed']} of {found['tests']} passed in {found['seconds']:.0f} s")
    sys.exit(0 if kept else 1)


def _run(arguments: list[str], cases: int) -> dict[str, Any]:
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
        start = time.monotonic()
        subprocess.run(command, cwd=root, env={**os.environ, "AAE_FUZZ_CASES": str(cases)}, check=False)
        seconds = round(time.monotonic() - start, 1)
        suite = next(ET.parse(report).getroot().iter("testsuite"))
    tests = int(suite.attrib["tests"])
    lost = sum(int(suite.attrib[kind]) for kind in ("failures", "errors", "skipped"))
    counted = {each.attrib["name"]: each.attrib["value"] for each in suite.iter("property")}
    cases = {"cases": int(counted["cases"])} if "cases" in counted else {}
    return {"tests": tests, "passed": tests - lost, "seconds": seconds, **cases}


if __name__ == "__main__":
    main()

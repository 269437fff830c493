"""What the camera engine promises, measured on the programs as a user starts them: start, memory, load, a long run.

usage: python benchmarks/engine.py --model detector.onnx --int8 detector.int8.onnx --json FILE

A row is written as soon as its part is measured, with its bar and whether it is held; a part that is measured again
takes its row's place. Nothing else should run meanwhile, but for `soak`, which measures no time.
"""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from aae_detect import DemoCamera
from aae_detect._opencv import cv2
from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.bench.memory import children_of, held_mib
from aae_detect.bench.report import to_json
from aae_detect.model_file import read_model
from aae_detect.whole_file import write_whole

Row = dict[str, Any]

_SOAK_WARM = 0.05
"""Share of a long run after which memory has to stay: caches have filled by then."""

_LOOK_S, _WEIGHINGS = 2.0, 10

_SERVER = Path(__file__).parents[1] / "tests" / "servers" / "mjpeg_server.py"


def measure_start(model: Path, repeats: int = 15) -> Row:
    """Time from the start of the process to its first verdict, the model's self-test among it; a 1080p picture."""
    times = []
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch) / "frame.png"
        picture.write_bytes(cv2.imencode(".png", DemoCamera(size_hw=(1080, 1920)).render(3)[0])[1].tobytes())
        for _ in range(repeats + 1):
            begin = time.perf_counter()
            command = _detect("--source", picture, "--model", model, "--jsonl", "-")
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout is not None  # asked for in the line above
                if not process.stdout.readline():
                    raise click.ClickException("aae-detect gave no verdict; run it by hand to see why")
                times.append(time.perf_counter() - begin)
    kept = sorted(times[1:])  # the first one reads the program from disk
    p50 = round(statistics.median(kept), 3)
    return {
        "seconds": {"p50": p50, "max": round(kept[-1], 3)},
        "repeats": len(kept),
        "first_seconds": round(times[0], 3),
        "bar": "p50 at most 0.8 s",
        "held": p50 <= 0.8,  # the figure that the row shows: who reads it comes to the same answer
    }


def measure_memory(model: Path) -> Row:
    """Weigh `aae-detect` and its capture process with a network camera (MJPEG, 1080p, 30 frames/s)."""
    server = subprocess.Popen([sys.executable, str(_SERVER), "0"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None  # asked for in the line above
        port = int(server.stdout.readline())
        command = _detect("--source", f"http://127.0.0.1:{port}/camera", "--model", model)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            held = []
            for _ in range(_WEIGHINGS):
                time.sleep(_LOOK_S)
                held.append(_weigh(process.pid))
            process.terminate()
    finally:
        server.kill()
        server.communicate()
    steady = max(held[len(held) // 2 :])
    return {"mib": round(steady, 1), "bar": "at most 220 MB", "held": steady * 2**20 <= 220e6}


def measure_four(model: Path) -> Row:
    """Judge 4 cameras of 640x480 at 30 frames/s: every frame."""
    row = _pipeline(model, "demo:640x480@30", 4)
    missed = sum(source["dropped"] for source in row["sources"])
    return {**row, "dropped": missed, "bar": "every frame is judged", "held": missed == 0}


def measure_eight(model: Path) -> Row:
    """Judge 8 cameras of 640x480 at 30 frames/s, more than two cores may have time for: no camera is neglected."""
    row = _pipeline(model, "demo:640x480@30", 8)
    judged = [source["frames_per_second_judged"] for source in row["sources"]]
    least = min(judged) / statistics.mean(judged)
    return {**row, "least_of_share": round(least, 3), "bar": "none below half of its share", "held": least >= 0.5}


def measure_soak(model: Path, frames: int = 200_000) -> Row:
    """Judge frames as fast as they come, with event lines on disk, and see what memory does."""
    with tempfile.TemporaryDirectory() as scratch:
        events = Path(scratch) / "events.jsonl"
        command = _detect("--source", f"demo:320x240?frames={frames}", "--model", model, "--jsonl", events)
        begin, held = time.monotonic(), []
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                time.sleep(_LOOK_S)
                if (weight := held_mib([process.pid])) is not None:
                    held.append(weight)
        judged = len(events.read_bytes().splitlines())
    warm = held[int(_SOAK_WARM * len(held)) :]
    tenth = max(1, len(warm) // 10)
    growth = statistics.median(warm[-tenth:]) - statistics.median(warm[:tenth])
    return {
        "frames": judged,
        "seconds": round(time.monotonic() - begin),
        "mib": {"start": round(warm[0], 1), "end": round(warm[-1], 1), "max": round(max(warm), 1)},
        "growth_mib": round(growth, 2),
        "bar": f"{frames:,} frames, growth below 5 MB",
        "held": judged == frames and growth * 2**20 < 5e6,
    }


PARTS: Mapping[str, Callable[[Path], Row]] = {
    "start": measure_start,
    "memory": measure_memory,
    "four": measure_four,
    "eight": measure_eight,
    "soak": measure_soak,
}
BY_INT8 = ("four", "eight")
"""Parts that are promised for an int8 model."""


@click.command()
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="fp32.")
@click.option("--int8", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For `four` and `eight`.")
@click.option("--parts", default=",".join(PARTS), show_default=True, help="What to measure, with commas.")
@click.option("--json", "target", type=click.Path(path_type=Path), required=True, help="File of rows, added to.")
def main(model: Path, int8: Path | None, parts: str, target: Path) -> None:
    """Measure what the camera engine promises."""
    names = parts.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise click.UsageError(f"--parts {','.join(unknown)} is none of {','.join(PARTS)}")
    if int8 is None and set(names) & set(BY_INT8):
        raise click.UsageError(f"--parts {','.join(BY_INT8)} need --int8 (`aae-export RUN --precision int8`)")
    rows: dict[str, Row] = json.loads(target.read_text())["parts"] if target.is_file() else {}
    for name in names:
        chosen = int8 if int8 is not None and name in BY_INT8 else model
        found = PARTS[name](chosen)
        rows[name] = {
            "what": PARTS[name].__doc__,
            **found,
            "precision": read_model(chosen).spec.precision,
            "model_sha256": read_model(chosen).sha256,
            "command": shlex.join(
                ["python", "benchmarks/engine.py", "--model", chosen.name, "--parts", name, "--json", "FILE"]
            ),
            "date": time.strftime("%Y-%m-%d"),
            "machine": describe_machine(),
            "versions": list_versions(),
        }
        write_whole(target, to_json({"parts": rows}))
        click.echo(f"{name}: {found['bar']}: {'held' if found['held'] else 'MISSED'}")


def _detect(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "aae_detect", "--no-window", "--threads", "2", *map(str, arguments)]


def _weigh(pid: int) -> float:
    found = held_mib([pid, *children_of(pid)])
    if found is None:
        raise click.ClickException("the system does not tell what processes hold (/proc/PID/smaps_rollup)")
    return found


def _pipeline(model: Path, source: str, count: int) -> Row:
    """Run `aae-bench pipeline`, and keep what is not said of the machine anyway."""
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "pipeline.json"
        command = [sys.executable, "-m", "aae_detect.bench.cli", "pipeline", str(model), "--source", source]
        command += ["--count", str(count), "--no-overlay", "--seconds", "30", "--json", str(found)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result: Row = json.loads(found.read_text())
    return {
        key: result[key]
        for key in ("sources", "threads", "frames_at_once", "memory_mib", "cpu_seconds_per_second", "seconds")
    }


if __name__ == "__main__":
    main()

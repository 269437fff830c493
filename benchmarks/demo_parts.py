"""How many of the demo camera's parts the shipped model judges right, on seeds that it was not made or chosen with.

usage: python benchmarks/demo_parts.py --seeds 2001,2002 --frames 4000 --json FILE
"""

from __future__ import annotations

import json
import shlex
import sys
import threading
import time
from pathlib import Path

import click

from aae_detect import DemoCamera, Detector
from aae_detect.app import demo_model_path
from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.demo_tally import NG_SHARE, DemoTally
from aae_detect.loop import Stream, run_loop


@click.command()
@click.option("--seeds", default="3001,3002,3003,3004,3005", show_default=True, help="Of the camera, with commas.")
@click.option("--frames", type=click.IntRange(min=100), default=4000, show_default=True, help="Per seed.")
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
def main(seeds: str, frames: int, target: Path) -> None:
    """Count parts by what was said of them and what they are; half of them are defective."""
    rows = []
    detector = Detector.load(demo_model_path(), provider="cpu", threads=2)
    for seed in map(int, seeds.split(",")):
        camera = DemoCamera(seed, defect_rate=0.5, frame_count=frames)
        tally = DemoTally(camera)
        (summary,) = run_loop([Stream(camera, detector, [tally])], threading.Event())
        rows.append(
            {
                "seed": seed,
                "frames": summary.frames,
                "defective": tally.defective,
                "found": tally.found,
                "missed": tally.missed,
                "good": tally.good,
                "rejected": tally.rejected,
            }
        )
        click.echo(f"seed {seed}: {tally.sentence()}")
    total = {key: sum(row[key] for row in rows) for key in ("defective", "found", "good", "rejected")}
    document = {
        "command": shlex.join(["python", "benchmarks/demo_parts.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": list_versions(),
        "model_sha256": detector.model_sha256,
        "ng_share_of_frames": NG_SHARE,
        "rows": rows,
        "total": total,
        "recall": total["found"] / total["defective"],
        "false_reject_rate": total["rejected"] / total["good"],
    }
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

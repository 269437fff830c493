"""`benchmarks/results/reliability.json`: each benchmark of what can be relied on writes a part of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from aae_detect.bench.machine import describe_machine, list_versions


def write_part(target: Path, name: str, command: str, part: dict[str, Any]) -> None:
    """Put a part into the file, with the command, the machine and the date, and leave the others as they are.

    Args:
        target: The file, made where it does not exist.
        name: Of the part.
        command: As others would type it, without the paths of one machine.
        part: Figures.
    """
    document: dict[str, Any] = json.loads(target.read_text()) if target.is_file() else {}
    document[name] = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": list_versions(),
        **part,
    }
    target.write_text(json.dumps(document, indent=1) + "\n")

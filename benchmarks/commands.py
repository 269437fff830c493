"""Calls the project's own commands from a benchmark, in processes of their own, as a user would."""

from __future__ import annotations

import subprocess
import sys


def call(module: str, *arguments: object) -> None:
    """Run `python -m MODULE ARGUMENTS`.

    Raises:
        subprocess.CalledProcessError: it fails; it has said why.
    """
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True)

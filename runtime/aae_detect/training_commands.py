"""Where `aae-train` and `aae-export` begin: without torch they end with a message, not with a traceback.

Their packages refuse to be imported without what they need, so this stands outside of them. It knows them by name only:
nothing of the device imports them.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from aae_detect.errors import InstallError


def train() -> None:
    """Run `aae-train`."""
    _run("aae_train.cli")


def export() -> None:
    """Run `aae-export`."""
    _run("aae_export.cli")


def _run(module: str) -> None:
    try:
        command = import_module(module).main
    except InstallError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    command()

"""What all commands of `aae-bench` share: where results go, and what is said meanwhile."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from aae_detect.source_names import mask_password

COMMAND = "aae_detect.bench.command"
"""Where the context keeps the command line, for the result."""

json_option = click.option(
    "--json", "json_target", metavar="FILE", help="Write the result as JSON; - writes it to standard output."
)


def command_line(words: Sequence[str]) -> str:
    """Return what was typed after `aae-bench` with it, to be typed again, without passwords: results are passed on."""
    return shlex.join(["aae-bench", *map(_without_password, words)])


def _without_password(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + mask_password(value)


def check_json_target(target: str | None) -> None:
    """Refuse a file that cannot be written, before the work."""
    from aae_detect.whole_file import check_target

    if target and target != "-":
        check_target(Path(target), "--json")


def hand_over(result: dict[str, Any], target: str | None, table: str) -> None:
    """Write the JSON and the table; the table gives way to JSON on standard output."""
    from aae_detect.bench.report import to_json
    from aae_detect.whole_file import write_whole

    click.echo(table, err=target == "-")
    if target == "-":
        click.echo(to_json(result), nl=False)
    elif target:
        write_whole(Path(target), to_json(result))
        click.echo(f"\nwritten to {target}")


def warn(warnings: Iterable[str]) -> None:
    """Say what the user should know."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


@contextmanager
def progress(length: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing in a log."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    with click.progressbar(length=length, label=what, file=sys.stderr, show_pos=True) as bar:
        yield lambda count: bar.update(count - bar.pos)

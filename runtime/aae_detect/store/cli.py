"""`aae-events`: what has happened, from the store that `aae-detect --store` writes."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors
from aae_detect.errors import ConfigError
from aae_detect.event_types import EVENT_TYPES

if TYPE_CHECKING:
    from aae_detect.store.stored_event import DamagedEventError, StoredEvent

_EPILOG = """\b
Examples:
  aae-events list store                                 the last 20 events
  aae-events list store --verdict NG --since 24h --json
  aae-events show store 019abc
  aae-events mark store 019abc good                     that was a false reject
  aae-events export store --good --out more-good        pictures of false rejects, for aae-calibrate and aae-train
  aae-events export store --verdict NG --out ng
  aae-events prune store --days 30 --gb 5

\b
Exit codes: 0 done; 2 wrong usage, no store, or no such event; 1 anything else.
"""

_folder = click.argument("store", type=click.Path(file_okay=False, path_type=Path))


class _Span(click.ParamType[float]):
    """A time span such as 90m, 24h or 7d; gives seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time span such as 90m, 24h or 7d", param, ctx)
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def _filters(command: Any) -> Any:
    for option in (
        click.option("--since", type=_Span(), metavar="90m|24h|7d", help="Only what is no older than this."),
        click.option("--source", "sources", multiple=True, metavar="NAME", help="Only of this source."),
        click.option(
            "--verdict", "verdicts", multiple=True, type=click.Choice(["OK", "NG", "UNKNOWN"]), help="Only with this."
        ),
        click.option("--type", "types", multiple=True, type=click.Choice(EVENT_TYPES), help="Only of this type."),
    ):
        command = option(command)
    return command


@click.group(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="aae-events")
def main() -> None:
    """Look at, mark, export and prune events that aae-detect has kept with --store."""


@main.command("list")
@_folder
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: number, key, mark, event, pictures.")
def list_events(
    store: Path,
    types: tuple[str, ...],
    verdicts: tuple[str, ...],
    sources: tuple[str, ...],
    since: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show the newest events, the last one at the bottom."""
    with cli_errors():
        import json

        found = _find(store, types, verdicts, sources, since, newest_first=True, limit=limit)
        for stored in reversed(found):
            if as_json:
                pictures = {what: str(path) for what, path in stored.pictures.items()}
                head = {"number": stored.number, "key": stored.key, "mark": stored.mark}
                whole = {**head, "event": stored.event, "pictures": pictures}
                click.echo(json.dumps(whole))
            else:
                click.echo(_one_line(stored))
        if not found and not as_json:
            click.echo("no such events", err=True)


@main.command()
@_folder
@click.argument("key")
def show(store: Path, key: str) -> None:
    """Show one event, by its key or the beginning of it."""
    with cli_errors():
        import json

        from aae_detect.store.event_store import EventStore

        with EventStore(store, read_only=True) as opened:
            stored = opened.find(key)
        click.echo(f"key       {stored.key}{f', marked {stored.mark}' if stored.mark else ''}")
        for what, path in stored.pictures.items():
            click.echo(f"{what:9s} {path}")
        click.echo(json.dumps(stored.event, indent=2, ensure_ascii=False))


@main.command()
@_folder
@click.argument("key")
@click.argument("what", type=click.Choice(["good", "none"]))
def mark(store: Path, key: str, what: str) -> None:
    """Say of an event that its part was good (a false reject), or take that back."""
    with cli_errors():
        from aae_detect.store.event_store import EventStore

        with EventStore(store) as opened:
            click.echo(_one_line(opened.set_mark(key, "" if what == "none" else what)))


@main.command()
@_folder
@_filters
@click.option("--good", is_flag=True, help="Only those marked good: to calibrate or to train with.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the pictures, KEY.png each; made where it is not there.",
)
def export(
    store: Path,
    types: tuple[str, ...],
    verdicts: tuple[str, ...],
    sources: tuple[str, ...],
    since: float | None,
    good: bool,
    out: Path,
) -> None:
    """Copy the frames of events into a folder, as they were judged."""
    with cli_errors():
        chosen = _find(store, types, verdicts, sources, since, mark="good" if good else None)
        frames = [(stored.key, stored.pictures["frame"]) for stored in chosen if "frame" in stored.pictures]
        copied = 0
        try:
            out.mkdir(parents=True, exist_ok=True)
            for key, frame in frames:
                target = out / f"{key}.png"
                if target.is_symlink():
                    raise ConfigError(f"--out: {target} is a symbolic link; take it away, or choose another folder")
                if frame.is_symlink() or frame.parent.is_symlink():  # no store makes any
                    click.echo(f"warning: {frame} leads out of {store}; it is left out", err=True)
                elif frame.is_file():
                    shutil.copyfile(frame, target)
                    copied += 1
        except OSError as error:
            raise ConfigError(f"--out {out} cannot be written: {error.strerror}") from error
        missing = len(chosen) - copied
        without = f"; {missing} events have none" if missing else ""
        click.echo(f"{copied} frames copied to {out}{without}")


@main.command()
@_folder
@click.option(
    "--days", type=click.FloatRange(min=0), default=90.0, show_default=True, help="Keep events for this many days."
)
@click.option("--most", type=click.IntRange(min=0), default=200_000, show_default=True, help="Keep so many events.")
@click.option(
    "--gb",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    help="Keep at most this many GB of pictures.",
)
def prune(store: Path, days: float, most: int, gb: float) -> None:
    """Take out old events and pictures; what is marked stays."""
    with cli_errors():
        from aae_detect.store.event_store import EventStore, Retention

        with EventStore(store) as opened:
            gone = opened.prune(Retention(days, most, round(gb * 2**30)), orphans=True)
        click.echo(f"{gone} events taken out")


def _find(
    store: Path,
    types: tuple[str, ...],
    verdicts: tuple[str, ...],
    sources: tuple[str, ...],
    since: float | None,
    **more: Any,
) -> list[StoredEvent]:
    """Read the events that `_filters` and `more` (of `EventStore.events`) let through; tells of damaged ones."""
    from aae_detect.store.event_store import EventStore

    since_ms = None if since is None else round((time.time() - since) * 1000)
    wanted = {"types": types, "verdicts": verdicts, "sources": sources, "since_ms": since_ms, **more}
    with EventStore(store, read_only=True) as opened:
        return list(opened.events(**wanted, damaged=_tell_damaged))


def _tell_damaged(error: DamagedEventError) -> None:
    click.echo(f"warning: {error}; it is left out", err=True)


def _one_line(stored: StoredEvent) -> str:
    event = stored.event
    score = event.get("score")
    details = [
        event.get("verdict", ""),
        f"score {score:.4g}" if isinstance(score, int | float) else "",
        str(event.get("reason") or event.get("advice") or event.get("state") or ""),
        f"[{stored.mark}]" if stored.mark else "",
    ]
    moment = str(event.get("time", ""))[:19]
    words = "  ".join(word for word in details if word)
    return f"{stored.key}  {moment}  {event.get('type', ''):8s}  {event.get('source', '')}  {words}".rstrip()


if __name__ == "__main__":
    main()

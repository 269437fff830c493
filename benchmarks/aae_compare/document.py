"""DIR/compare.json: settings, a row for each model and seed, and what follows from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aae_compare.comparison import Row, first_rows
from aae_compare.settings import CompareSettings
from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.bench.report import to_json
from aae_detect.errors import ConfigError
from aae_detect.whole_file import write_whole

FILE = "compare.json"


class Document:
    """The table as it lies in a folder; every change is written at once, and whole."""

    def __init__(self, out: Path, settings: CompareSettings, rows: list[Row]) -> None:
        """Use `Document.open`, which looks at what lies there already."""
        self.out, self.settings, self.rows = out, settings, rows
        self._start = {"machine": describe_machine(), "versions": list_versions()}

    @classmethod
    def open(cls, out: Path, settings: CompareSettings) -> Document:
        """Begin a table, or continue the one that is there.

        Raises:
            ConfigError: the folder holds something else, or a table of other settings.
        """
        path = out / FILE
        if path.is_file():
            found = _read(path)
            settings.require_same(CompareSettings.from_dict(found["settings"]), out)
            return cls(out, settings, list(found["rows"]))
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"--out {out} exists and holds no {FILE}; choose a new or an empty folder")
        return cls(out, settings, [])

    def begin(self) -> None:
        """Write the table as it is, so that the folder is known for what it is before the first row."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--out {self.out} cannot be made ({error.strerror}); choose another place") from error
        self._write({})

    def has(self, name: str, seed: int) -> bool:
        """Say whether a row is finished."""
        return any((row["name"], row["seed"]) == (name, seed) for row in self.rows)

    def add(self, row: Row) -> None:
        """Take a finished row; what was concluded from fewer rows is dropped."""
        self.rows.append(row)
        self._write({})

    def finish(self, conclusion: dict[str, Any]) -> dict[str, Any]:
        """Write what follows from the rows; returns the whole document."""
        return self._write(conclusion)

    def _write(self, conclusion: dict[str, Any]) -> dict[str, Any]:
        names = [row["name"] for row in first_rows(self.rows)]
        seeds = len({row["seed"] for row in self.rows})
        document = {
            "command": self.settings.command(names, seeds),
            "settings": self.settings.to_dict(),
            **self._start,
            **conclusion,
            "rows": self.rows,
        }
        write_whole(self.out / FILE, to_json(document))
        return document


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found["settings"], dict) or not all("name" in row and "seed" in row for row in found["rows"]):
            raise TypeError("no settings, or rows without a name")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a table of aae-compare ({error!r:.200}); choose another --out") from error
    return dict(found)

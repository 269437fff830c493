"""What the rows of a table share, and where things lie in its folder.

DIR/compare.json  compare.html
DIR/runs/NAME-seedK           what aae-train makes, with `export` inside
DIR/synthetic/seedK           test pictures with drawn defects, where there are no labels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aae_compare.pictures import FiguresFrom, HeldBack, draw_defects, find_held_back
from aae_compare.settings import CompareSettings
from aae_detect.bench.dataset import LabelledSet
from aae_train.config import MODELS, TrainConfig
from aae_train.labels import Labels

Row = Mapping[str, Any]
"""One measured run, see `row.measure_row`."""


@dataclass(frozen=True)
class Comparison:
    """Settings, pictures and the folder of one table."""

    settings: CompareSettings
    data: Path
    labels: Labels
    out: Path

    def run_folder(self, name: str, seed: int) -> Path:
        """Return where the run of a model lies, by the model's name in the table."""
        return self.out / "runs" / f"{name.replace(':', '-')}-seed{seed}"

    def export_folder(self, row: Row) -> Path:
        """Return the export that a row was measured on."""
        return self.run_folder(row["name"], row["seed"]) / "export"

    def held_back(self, name: str, seed: int) -> HeldBack:
        """Return good pictures that a run did not learn from."""
        return find_held_back(self.run_folder(name, seed), self.data, self.labels)

    def test_set(self, name: str, seed: int) -> tuple[LabelledSet, FiguresFrom]:
        """Return what a run is measured on: the same for all models of a seed."""
        if self.labels.labelled is not None:
            return self.labels.labelled, "labels"
        config = TrainConfig.load(self.run_folder(name, seed))
        drawn = draw_defects(self.held_back(name, seed), config, self.out / "synthetic" / f"seed{seed}")
        return drawn, "synthetic defects"

    @property
    def provider(self) -> str:
        """Where models are measured."""
        return "cpu" if self.settings.device == "cpu" else "auto"


def first_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the row of each model with its lowest seed, in the order in which the families are listed everywhere."""
    found: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (MODELS.index(row["model"]), str(row["name"]), int(row["seed"]))):
        found.setdefault(row["name"], row)
    return list(found.values())

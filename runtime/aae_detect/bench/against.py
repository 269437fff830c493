"""Whether a model got slower: than another one in the same run, or than an earlier result of the same machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aae_detect.bench.latency import Measured
from aae_detect.bench.machine import fingerprint
from aae_detect.errors import ConfigError

STAGE = "without_overlay"
"""What is compared: from the frame to the verdict."""

SLOWER = 6
"""Exit code of `aae-bench latency --against` where something is slower than allowed."""

_SAME = ("provider", "threads", "size", "batch")


@dataclass(frozen=True)
class Comparison:
    """One setting, now and before."""

    setting: str
    ratio: float
    """Median time over the other's: above 1 is slower."""

    least: float
    """The smallest ratio of any turn, or the ratio itself where the other was measured earlier."""

    most: float

    def slower(self, tolerance: float) -> bool:
        """Whether it is slower than allowed, in every turn: one disturbed turn is no proof."""
        return self.least > 1 + tolerance

    def to_dict(self) -> dict[str, Any]:
        """Describe it for the result."""
        return {"setting": self.setting, "ratio": self.ratio, "least": self.least, "most": self.most}


def compare_in_turns(measured: Sequence[Measured], others: Sequence[Measured]) -> list[Comparison]:
    """Compare each setting with the other model's, turn by turn: both were measured one right after the other."""
    comparisons = []
    for found, other in zip(measured, others, strict=True):
        ratios = found.turn_medians_ms(STAGE) / other.turn_medians_ms(STAGE)
        ratio = float(np.median(found.stage_ms(STAGE)) / np.median(other.stage_ms(STAGE)))
        comparisons.append(Comparison(_name(found.row()), ratio, float(ratios.min()), float(ratios.max())))
    return comparisons


def compare_with_baseline(measured: Sequence[Measured], baseline: dict[str, Any]) -> list[Comparison]:
    """Compare each setting with the same one of an earlier result.

    Raises:
        ConfigError: that result is of another machine or other packages, or has none or several of a setting.
    """
    if baseline.get("fingerprint") != fingerprint():
        raise ConfigError(
            f"--against: the baseline's machine and packages ({baseline.get('fingerprint')}) are not these "
            f"({fingerprint()}); measure it again here, or give the other model itself"
        )
    several = len({row["model"] for row in baseline["rows"]}) > 1
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in baseline["rows"]:
        rows.setdefault(_name(row, several), []).append(row)
    comparisons = []
    for found in measured:
        row = found.row()
        if (name := _name(row, several)) not in rows:
            raise ConfigError(f"--against: the baseline has no row for {name}; it has {'; '.join(rows)}")
        if len(rows[name]) > 1:
            raise ConfigError(
                f"--against: the baseline has {len(rows[name])} rows for {name}: models in files of one name; measure "
                "it again with files that are named otherwise"
            )
        ratio = row[f"{STAGE}_ms"]["p50"] / rows[name][0][f"{STAGE}_ms"]["p50"]
        comparisons.append(Comparison(name, ratio, ratio, ratio))
    return comparisons


def read_baseline(path: Path) -> dict[str, Any]:
    """Read a result of `aae-bench latency --json`.

    Raises:
        ConfigError: it is none.
    """
    try:
        baseline = json.loads(path.read_text(encoding="utf-8"))
        for row in baseline["rows"]:
            _ = _name(row), row[f"{STAGE}_ms"]["p50"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--against {path}: no result of `aae-bench latency --json` ({error!r})") from error
    return dict(baseline)


def _name(row: dict[str, Any], with_model: bool = False) -> str:
    return ", ".join(f"{key} {row[key]}" for key in (("model", *_SAME) if with_model else _SAME))

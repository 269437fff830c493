"""Which precision, and how many threads, hold a time per picture on this machine, and what that costs.

The time is the inference's, through the device's own code, at its 95th percentile: what a line has to wait for is not
the usual picture but the slow one.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aae_detect.bench.latency import Setting, measure_latency
from aae_detect.bench.machine import count_usable_cores, describe_machine
from aae_detect.detector import Detector
from aae_detect.errors import ConfigError, ModelError
from aae_detect.session import CUDA, available_providers
from aae_detect.thread_choice import candidates
from aae_export.precision import Cost, Material, Precision, make_precision
from aae_train.config import CUSTOM, SIZE_STEP, TrainConfig

Provider = Literal["cpu", "cuda"]

_REPEAT = 200
"""Inferences of each setting; ten of them lie above the 95th percentile."""

_FRAME_HW = (480, 640)
"""Of the demo camera's frames; the inference sees the model's own size."""

_ORDER = ("fp32", *get_args(Precision))
"""Least costly in accuracy first."""

_UNTYPED = ("data", "input_hw", "latent_channels", "adversarial_lr", "defect_rate", "device", "precision", "mask")
"""Settings of a run that are no options of `aae-train`, or that a command need not repeat."""


@dataclass(frozen=True)
class Budget:
    """What was asked for."""

    most_ms: float
    """For one inference, milliseconds."""

    most_threads: int | None = None
    """None: all usable cores."""

    def __post_init__(self) -> None:
        if not 0 < self.most_ms < math.inf:
            raise ConfigError(f"--budget-ms {self.most_ms} is not above 0; give milliseconds for one picture")
        usable = count_usable_cores()
        if self.most_threads is not None and not 1 <= self.most_threads <= usable:
            raise ConfigError(
                f"--threads {self.most_threads}: this machine has {usable} usable cores; give 1 to {usable}"
            )


@dataclass(frozen=True)
class Timed:
    """A row of the table."""

    precision: str
    provider: Provider
    threads: int
    p50_ms: float
    p95_ms: float

    @property
    def file(self) -> str:
        """Name of the detector."""
        return "detector.onnx" if self.precision == "fp32" else f"detector.{self.precision}.onnx"

    @property
    def options(self) -> str:
        """What `aae-detect` has to be told."""
        return "--provider cuda" if self.provider == "cuda" else f"--provider cpu --threads {self.threads}"

    @property
    def words(self) -> str:
        """Say it to a person."""
        where = "on CUDA" if self.provider == "cuda" else f"with {self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.precision} {where}"


@dataclass(frozen=True)
class Choice:
    """What was measured, and what follows."""

    budget_ms: float
    rows: tuple[Timed, ...]
    costs: tuple[Cost, ...]
    refused: tuple[str, ...]
    """Why precisions, or CUDA, are not among the rows."""

    chosen: Timed | None
    """None where nothing holds the budget."""

    size_hw: tuple[int, int] | None
    """Where nothing holds it: an input size that should, by an estimate; None where no size would."""

    train_command: str | None
    """What to type for that size."""

    def to_dict(self) -> dict[str, Any]:
        """Describe it for `export.json`."""
        return asdict(self) | {"costs": [cost.to_dict() for cost in self.costs], "machine": describe_machine()}

    def describe(self) -> str:
        """Say it to a person."""
        lines = [f"{'precision':<10}{'provider':<10}{'threads':>7}{'p50 ms':>10}{'p95 ms':>10}"]
        for row in self.rows:
            mark = "  <-" if row == self.chosen else ""
            lines.append(
                f"{row.precision:<10}{row.provider:<10}{row.threads:>7}{row.p50_ms:>10.2f}{row.p95_ms:>10.2f}{mark}"
            )
        lines += [cost.describe() for cost in self.costs]
        lines += [f"not measured: {reason}" for reason in self.refused]
        if self.chosen is not None:
            return "\n".join([*lines, f"{self.chosen.words} holds {self.budget_ms:g} ms at p95"])
        fastest = _fastest(self.rows)
        lines.append(
            f"nothing holds {self.budget_ms:g} ms at p95; the fastest is {fastest.words}, {fastest.p95_ms:.2f} ms"
        )
        if self.size_hw is None:
            return "\n".join([*lines, f"and no --size would, by an estimate: {SIZE_STEP}x{SIZE_STEP} is the smallest"])
        height, width = self.size_hw
        lines.append(f"an estimate, from its time for each pixel: --size {height}x{width} would; train again with")
        return "\n".join([*lines, f"  {self.train_command}"])


def decide(folder: Path, config: TrainConfig, material: Material, budget: Budget, force: bool = False) -> Choice:
    """Make the other precisions that this machine may want, measure all, and choose.

    Args:
        folder: Holds `detector.onnx`; gets `detector.int8.onnx`, and `detector.fp16.onnx` where CUDA is.
        config: Of the run.
        material: Pictures to make the precisions with.
        budget: The time to hold.
        force: Take a precision also where it costs too much.
    """
    fp32 = folder / "detector.onnx"
    costs: list[Cost] = []
    refused: list[str] = []
    cuda = _has_cuda(fp32, refused)
    precisions: tuple[Precision, ...] = ("fp16", "int8") if cuda else ("int8",)
    for precision in precisions:
        try:
            costs.append(make_precision(fp32, folder / f"detector.{precision}.onnx", precision, material, force))
        except ModelError as error:
            (folder / f"detector.{precision}.onnx").unlink(missing_ok=True)
            refused.append(str(error))
    threads = candidates(budget.most_threads or count_usable_cores())
    made = ["fp32", *(cost.precision for cost in costs)]
    rows = measure(folder, [(precision, "cpu", n) for precision in made if precision != "fp16" for n in threads])
    if cuda:
        rows += _measure_on_cuda(folder, [precision for precision in made if precision != "int8"], refused)
    chosen = choose(rows, budget.most_ms)
    size_hw = None if chosen else estimate_size(config.input_hw, _fastest(rows).p95_ms, budget.most_ms)
    command = size_hw and train_command(config, size_hw)
    return Choice(budget.most_ms, tuple(rows), tuple(costs), tuple(refused), chosen, size_hw, command)


def measure(folder: Path, settings: Sequence[tuple[str, Provider, int]], repeat: int = _REPEAT) -> list[Timed]:
    """Measure detectors of a folder in turns.

    Args:
        folder: Holds the detectors.
        settings: Precision, provider and threads of each.
        repeat: Inferences of each.
    """
    rows = [Timed(*setting, math.nan, math.nan) for setting in settings]
    measured = measure_latency(
        [Setting(folder / row.file, row.provider, row.threads, _FRAME_HW, 1) for row in rows], repeat
    )
    times = [found.row()["inference_ms"] for found in measured]
    return [Timed(*setting, time["p50"], time["p95"]) for setting, time in zip(settings, times, strict=True)]


def choose(rows: Sequence[Timed], budget_ms: float) -> Timed | None:
    """Choose what costs the least accuracy, and then the fewest threads, of all that hold the budget at p95."""
    holding = [row for row in rows if row.p95_ms <= budget_ms]
    order = [(_ORDER.index(row.precision), row.provider, row.threads) for row in holding]
    return holding[order.index(min(order))] if holding else None


def estimate_size(input_hw: tuple[int, int], p95_ms: float, budget_ms: float) -> tuple[int, int] | None:
    """Estimate an input size that holds a budget, if time goes by the number of pixels; None where none would."""
    ratio = min(1.0, budget_ms / p95_ms) ** 0.5
    height, width = (int(side * ratio) // SIZE_STEP * SIZE_STEP for side in input_hw)
    return (height, width) if min(height, width) >= SIZE_STEP else None


def train_command(config: TrainConfig, size_hw: tuple[int, int]) -> str:
    """Return what to type to train a run again, as it was but for the input size."""
    usual = asdict(TrainConfig(data=config.data, model=config.model)) | {"model": TrainConfig(data=config.data).model}
    words = ["aae-train", config.data, "--size", f"{size_hw[0]}x{size_hw[1]}"]
    for name, value in asdict(config).items():
        if name in _UNTYPED or value in (None, usual[name], CUSTOM):
            continue
        if name == "tile" and value > min(size_hw):
            continue
        written = f"{value:g}" if isinstance(value, float) else str(value)
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [written])]
    # The run keeps what the mask covers, and not the file that said it.
    return shlex.join(words) + (" --mask FILE" if config.mask else "")


def _fastest(rows: Sequence[Timed]) -> Timed:
    return min(rows, key=lambda row: row.p95_ms)


def _has_cuda(fp32: Path, refused: list[str]) -> bool:
    """Say whether CUDA is there and runs the model: that ONNX Runtime was built with it proves nothing.

    Where it does not, `refused` gets the reason: fp32 has passed its gate, and what CUDA does must not cost it.
    """
    if CUDA not in available_providers():
        return False
    try:
        Detector.load(fp32, provider="cuda")
    except (ConfigError, ModelError) as error:
        refused.append(f"CUDA: {error}")
        return False
    return True


def _measure_on_cuda(folder: Path, precisions: Sequence[str], refused: list[str]) -> list[Timed]:
    """Measure detectors there; none, and the reason in `refused`, where one of them does not run."""
    try:
        return measure(folder, [(precision, "cuda", 1) for precision in precisions])
    except (ConfigError, ModelError) as error:
        refused.append(f"CUDA: {error}")
        return []

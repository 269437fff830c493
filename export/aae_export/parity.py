"""The parity gate: the exported graphs must answer like the trained model, on real pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aae_detect._onnxruntime import onnxruntime
from aae_detect.errors import ModelError

BATCHES = (1, 4)


@dataclass(frozen=True)
class Tolerance:
    """Largest difference that passes: `absolute + relative * |torch's value|`."""

    absolute: float
    relative: float


FP32 = Tolerance(absolute=1e-3, relative=1e-3)
"""fp32 on both sides: sums are taken in another order, and the map divides by small spreads."""

PIXELS = Tolerance(absolute=1.0, relative=0.0)
"""uint8 pictures: a value that lies on the edge between two grey levels may fall to either side."""


@dataclass(frozen=True)
class Difference:
    """How far one output of one graph is from torch."""

    graph: str
    output: str
    batch: int
    pictures: int
    largest: float
    """Largest absolute difference."""
    largest_relative: float
    """Largest difference relative to the largest value of the output."""
    passed: bool


def compare(
    graph: str,
    path: Path,
    module: nn.Module,
    inputs: Mapping[str, Sequence[NDArray[Any]]],
    output_names: Sequence[str],
    threads: int = 1,
) -> list[Difference]:
    """Run a module in torch and its file in ONNX Runtime over the same inputs, batch 1 and batch 4.

    Args:
        graph: Name for the report.
        path: The ONNX file.
        module: What it was made from, eval mode, on the CPU.
        inputs: By name, in the module's order: single inputs without a batch axis, at least four of each.
        output_names: The graph's outputs, in the module's order.
        threads: For ONNX Runtime.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # it warns of an input that has a default, which is meant so
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    count = min(len(examples) for examples in inputs.values())
    differences = []
    for batch in BATCHES:
        expected: list[list[NDArray[Any]]] = [[] for _ in output_names]
        found: list[list[NDArray[Any]]] = [[] for _ in output_names]
        for start in range(0, count - batch + 1, batch):
            chunks = {name: np.stack(examples[start : start + batch]) for name, examples in inputs.items()}
            with torch.no_grad():
                answer = module(*map(torch.from_numpy, chunks.values()))
            answers = answer if isinstance(answer, tuple) else (answer,)
            results = session.run(list(output_names), chunks)
            for place, (ours, theirs) in enumerate(zip(answers, results, strict=True)):
                expected[place].append(ours.numpy())
                found[place].append(theirs)
        for name, ours, theirs in zip(output_names, expected, found, strict=True):
            differences.append(_difference(graph, name, batch, np.concatenate(ours), np.concatenate(theirs)))
    return differences


def _difference(graph: str, output: str, batch: int, expected: NDArray[Any], found: NDArray[Any]) -> Difference:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        raise ModelError(
            f"{graph}: output {output} is {found.dtype} {found.shape} in ONNX Runtime and {expected.dtype} "
            f"{expected.shape} in torch; nothing was exported; please report this with your versions"
        )
    tolerance = PIXELS if expected.dtype == np.uint8 else FP32
    ours, theirs = expected.astype(np.float64), found.astype(np.float64)
    gap = np.abs(ours - theirs)
    scale = max(float(np.abs(ours).max()), 1e-12)
    # Written so that a NaN fails.
    passed = bool(np.all(gap <= tolerance.absolute + tolerance.relative * np.abs(ours)))
    largest = float(gap.max())
    return Difference(graph, output, batch, len(expected), largest, largest / scale, passed)


def require_parity(differences: Sequence[Difference]) -> None:
    """Fail when any difference is above its tolerance.

    Raises:
        ModelError: names the worst output.
    """
    if failed := [d for d in differences if not d.passed]:
        worst = max(failed, key=lambda d: d.largest_relative)
        raise ModelError(
            f"the exported {worst.graph} does not answer like the trained model: {worst.output} differs by "
            f"{worst.largest:.3g} at batch {worst.batch}; nothing was exported; "
            "try the versions in constraints.txt, and please report this"
        )


def report_rows(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return the differences for `export.json`."""
    return [asdict(difference) for difference in differences]

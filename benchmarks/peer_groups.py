"""Opens what is measured, ours in this process and the peers' in theirs, and measures group after group.

Imported by `peers.py`. A group is one peer with our files beside it, or our files alone in both runtimes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import click
import numpy as np

from aae_detect import DemoCamera, Detector
from aae_detect.model_file import ModelFile
from aae_detect.preprocess import prepare
from aae_detect.session import open_session
from peer_ratios import (
    INFERENCE,
    MATRIX_PRODUCT,
    OURS,
    compare_with_openvino,
    compare_with_peers,
    judge_bars,
    share_of_matrix_product,
)
from peer_turns import Entry, PeerError, PeerProcess, take_turns
from peer_worker import time_runs

FRAME_HW = (480, 640)
"""Of a frame from which the device goes to the verdict."""

_FRAMES = 8
_PRODUCT_SIZE = 2048
_LONGEST_GROUP_S = 70.0
_COLUMNS = {"model": 20, "runtime": 11, "precision": 4, "stage": 16}


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    threads: int
    rounds: int
    block_s: float
    """How long a turn of a model is, seconds."""

    peers: tuple[str, ...]
    size_hw: tuple[int, int]
    """Of the input, pixels."""


def measure(
    start: Callable[[], PeerProcess],
    own: Sequence[ModelFile],
    plan: Plan,
    document: dict[str, Any],
    write: Callable[[], None],
) -> None:
    """Measure group after group.

    Args:
        start: Starts the peers' process; each group has one of its own, so that memory and accidents end with it.
        own: Our files.
        plan: What to do.
        document: Gets `rows` (one that could not be measured says why), `ratios`, `beside_openvino`, `bars` and
            `share_of_matrix_product`.
        write: Called after each group.
    """
    inference = {model.spec.precision: _inference_run(model, plan.threads) for model in own}
    rows: list[dict[str, Any]] = []
    document["rows"] = rows
    for group in (OURS, *plan.peers):
        entries = [Entry(_named(group, OURS, "onnxruntime", precision), run) for precision, run in inference.items()]
        failed: list[dict[str, Any]] = []
        try:
            with start() as process:
                if group == OURS:
                    _open_own(process, own, plan, entries, failed)
                else:
                    _open_peer(process, group, plan, entries, failed)
                take_turns(entries, plan.rounds, plan.block_s, _LONGEST_GROUP_S)
            found = [*(entry.row() for entry in entries), *failed]
        except PeerError as error:  # what was measured until then has no whole rounds
            found = [{"group": group, "model": group, "why_not": str(error)}]
        rows += found
        document["ratios"] = compare_with_peers(rows)
        document["beside_openvino"] = compare_with_openvino(rows)
        document["share_of_matrix_product"] = share_of_matrix_product(rows)
        document["bars"] = judge_bars(document["ratios"], document["beside_openvino"])
        write()
        for row in found:
            click.echo(_line(row))


def _line(row: dict[str, Any]) -> str:
    words = " ".join(f"{row.get(key, ''):{width}}" for key, width in _COLUMNS.items())
    if "why_not" in row:
        return f"{words} {row['why_not']}"
    return f"{words} {row['ms']['p50']:9.2f} ms  p95 {row['ms']['p95']:9.2f}  {row['runs']} runs"


def _named(group: str, model: str, runtime: str, precision: str, stage: str = INFERENCE) -> dict[str, Any]:
    return {"group": group, "model": model, "runtime": runtime, "precision": precision, "stage": stage}


def _frames() -> list[Any]:
    camera = DemoCamera(0, size_hw=FRAME_HW)
    return [camera.render(number * 7)[0] for number in range(_FRAMES)]


def _inference_run(model: ModelFile, threads: int) -> Callable[[int, int], list[float]]:
    """Open the graph as the device does."""
    session, _, _ = open_session(model.content, "cpu", threads)
    image = prepare(_frames()[0], model.spec.input_hw, model.spec.fit)[0][np.newaxis]
    return partial(time_runs, lambda: session.run(None, {"image": image}))


def _judging_run(model: ModelFile, threads: int) -> Callable[[int, int], list[float]]:
    """All that the device does with a frame, from the camera's picture to the verdict and the regions."""
    detector, frames = Detector.load(model.path, provider="cpu", threads=threads), cycle(_frames())
    return partial(time_runs, lambda: detector(next(frames)).regions)


def _open_own(
    process: PeerProcess, own: Sequence[ModelFile], plan: Plan, entries: list[Entry], failed: list[dict[str, Any]]
) -> None:
    """Add our files in OpenVINO, whole frames, and the processor's rate to our graphs in ONNX Runtime."""
    for model, entry in zip(own, list(entries), strict=True):
        precision = model.spec.precision
        name, path = f"{OURS} {precision}", str(model.path.resolve())
        answer = process.ask("open_file", name=name, file=path, threads=plan.threads, runtimes=["openvino"])
        entry.named |= _sizes(answer) | {"bytes": len(model.content)}
        _add(process, answer, OURS, name, precision, entries, failed)
        named = _named(OURS, OURS, "onnxruntime", precision, "frame to verdict")
        entries.append(Entry(named, _judging_run(model, plan.threads)))
    answer = process.ask("open_matrix_product", size=_PRODUCT_SIZE, threads=plan.threads)
    named = _named(OURS, f"{_PRODUCT_SIZE}x{_PRODUCT_SIZE}", "torch", "fp32", MATRIX_PRODUCT) | _sizes(answer)
    entries.append(Entry(named, _asking(process, "matrix product")))


def _open_peer(process: PeerProcess, peer: str, plan: Plan, entries: list[Entry], failed: list[dict[str, Any]]) -> None:
    """Add a peer in all ways that it can be opened in."""
    answer = process.ask("open_peer", peer=peer, size_hw=list(plan.size_hw), threads=plan.threads)
    _add(process, answer, peer, peer, "fp32", entries, failed)


def _add(
    process: PeerProcess,
    answer: dict[str, Any],
    model: str,
    name: str,
    precision: str,
    entries: list[Entry],
    failed: list[dict[str, Any]],
) -> None:
    """Add what an answer says was opened, and what was not; a way in is `RUNTIME` or `RUNTIME PRECISION`."""
    for way in [*answer["entries"], *answer["failed"]]:
        runtime, _, quantized = way.partition(" ")
        named = _named(model, model, runtime, quantized or precision)
        if way in answer["failed"]:
            failed.append(named | {"why_not": answer["failed"][way]})
        else:
            named |= _sizes(answer) | {"bytes": answer["entries"][way]}
            entries.append(Entry(named, _asking(process, f"{name} {way}")))


def _sizes(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: answer[key] for key in ("parameters", "stored_numbers", "gflop", "gflop_unknown") if key in answer}


def _asking(process: PeerProcess, entry: str) -> Callable[[int, int], list[float]]:
    """Return what has the peers' process run an entry."""
    return lambda warmup, repeats: process.ask("run", entry=entry, warmup=warmup, repeats=repeats)["times_ms"]

"""The peers' side of `peers.py`: opens models in ONNX Runtime and OpenVINO, and runs them on request.

Usage: PYTHON benchmarks/peer_worker.py        started by peers.py, with the Python of the peers' environment

Requests come as one JSON object a line on standard input, and each is answered by one line on standard output:

    {"do": "hello"}                                                  which versions are there, and what is missing
    {"do": "open_peer", "peer": NAME, "size_hw": [H, W], "threads": N}      a model of anomalib's, random weights
    {"do": "open_file", "name": NAME, "file": PATH, "threads": N, "runtimes": [...]}            any ONNX file
    {"do": "open_matrix_product", "size": N, "threads": N}           what the processor can do, in fp32
    {"do": "run", "entry": NAME, "warmup": N, "repeats": N}          times of what was opened, milliseconds

What fails is answered by {"error": ...}. The end of standard input ends the worker.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns
from typing import Any

NEEDED = ("anomalib", "torch", "torchvision", "timm", "onnx", "onnxruntime", "openvino")
BESIDE = ("nncf", "numpy")

_CALIBRATION_PICTURES = 4
"""Ranges do not change the time, so a few are enough."""

Run = Callable[[], Any]


@dataclass
class Opened:
    """What can be run, by name, and where files go."""

    folder: Path
    runs: dict[str, Run] = field(default_factory=dict)


def time_runs(run: Run, warmup: int, repeats: int) -> list[float]:
    """Run so many times untimed and so many timed; returns milliseconds."""
    for _ in range(warmup):
        run()
    times = []
    gc.disable()  # the collector would hit some runs and not others
    for _ in range(repeats):
        start = perf_counter_ns()
        run()
        times.append(round((perf_counter_ns() - start) * 1e-6, 5))
    gc.enable()
    return times


def hello(opened: Opened) -> dict[str, Any]:
    """Say what is installed, and prove that anomalib can be imported where it is."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        from peer_models import import_anomalib

        try:
            import_anomalib()
        except ModuleNotFoundError as error:  # of what anomalib itself imports
            missing = [str(error.name)]
    versions = {"python": platform.python_version()}
    for name in (*NEEDED, *BESIDE):
        if importlib.util.find_spec(name) is not None:
            versions[name] = importlib.metadata.version(name)
    return {"versions": versions, "missing": missing}


def open_peer(opened: Opened, peer: str, size_hw: list[int], threads: int) -> dict[str, Any]:
    """Export a peer and open it in all ways."""
    import torch

    from peer_models import export_peer

    torch.set_num_threads(threads)
    path = opened.folder / f"{peer}.onnx"
    parameters = export_peer(peer, (size_hw[0], size_hw[1]), path)
    gc.collect()
    return {"parameters": parameters} | open_file(
        opened, peer, str(path), threads, ["onnxruntime", "openvino", "openvino int8"]
    )


def open_file(opened: Opened, name: str, file: str, threads: int, runtimes: list[str]) -> dict[str, Any]:
    """Open an ONNX file in each runtime; its entries are named NAME RUNTIME.

    Returns:
        `entries`, with the bytes on disk of each; `failed`, with the reason of each; `stored_numbers` and `gflop`.
    """
    from onnx_flops import count_flops, count_stored_numbers

    path = Path(file)
    feeds = _make_feeds(path)
    described: dict[str, Any] = {"entries": {}, "failed": {}, "stored_numbers": count_stored_numbers(path)}
    try:
        described["gflop"] = count_flops(path) * 1e-9
    except ValueError as error:
        described["gflop"], described["gflop_unknown"] = None, str(error)
    for runtime in runtimes:
        try:
            run, size = _OPEN[runtime](path, feeds, threads, opened.folder)
            run()  # some graphs fail only when they run
        except Exception as error:  # whatever a runtime does not like of a model is a result, not a fault of this run
            described["failed"][runtime] = _first_line(error)
            continue
        opened.runs[f"{name} {runtime}"] = run
        described["entries"][runtime] = size
    return described


def _make_feeds(path: Path) -> dict[str, Any]:
    """Draw an input at batch 1: bytes where bytes are taken, else 0 to 1."""
    import numpy as np
    import onnx

    rng = np.random.default_rng(0)
    feeds = {}
    graph = onnx.load(path, load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    for port in graph.input:
        if port.name not in stored:
            shape = [dim.dim_value or 1 for dim in port.type.tensor_type.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
            feeds[port.name] = (rng.random(shape) * (255 if dtype == np.uint8 else 1)).astype(dtype)
    return feeds


def _open_onnxruntime(path: Path, feeds: dict[str, Any], threads: int, folder: Path) -> tuple[Run, int]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds), path.stat().st_size


def _open_openvino(path: Path, feeds: dict[str, Any], threads: int, folder: Path) -> tuple[Run, int]:
    return _compile(_read_openvino(path, feeds), feeds, threads), path.stat().st_size


def _open_openvino_int8(path: Path, feeds: dict[str, Any], threads: int, folder: Path) -> tuple[Run, int]:
    import nncf
    import numpy as np
    import openvino

    rng = np.random.default_rng(1)
    shown = [{name: rng.random(feed.shape).astype(feed.dtype) for name, feed in feeds.items()}]
    shown *= _CALIBRATION_PICTURES
    model = nncf.quantize(_read_openvino(path, feeds), nncf.Dataset(shown), subset_size=_CALIBRATION_PICTURES)
    target = folder / f"{path.stem}.int8.xml"
    openvino.save_model(model, str(target), compress_to_fp16=False)
    size = target.stat().st_size + target.with_suffix(".bin").stat().st_size
    return _compile(model, feeds, threads), size


def _read_openvino(path: Path, feeds: dict[str, Any]) -> Any:
    """Read a model and fix its shapes, which lets OpenVINO plan better."""
    import openvino

    model = openvino.Core().read_model(str(path))
    model.reshape({name: list(feed.shape) for name, feed in feeds.items()})
    return model


def _compile(model: Any, feeds: dict[str, Any], threads: int) -> Run:
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",  # what is not in integers stays fp32, also where the processor has bf16
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer(feeds, share_inputs=True, share_outputs=True)


_OPEN = {
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
    "openvino int8": _open_openvino_int8,
}


def open_matrix_product(opened: Opened, size: int, threads: int) -> dict[str, Any]:
    """Prepare a product of two fp32 matrices, SIZE x SIZE; its entry is `matrix product`."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    left, right, product = torch.rand(size, size), torch.rand(size, size), torch.empty(size, size)
    opened.runs["matrix product"] = lambda: torch.mm(left, right, out=product)
    return {"gflop": 2e-9 * size**3}


def run(opened: Opened, entry: str, warmup: int, repeats: int) -> dict[str, Any]:
    """Run an entry."""
    return {"times_ms": time_runs(opened.runs[entry], warmup, repeats)}


_REQUESTS: dict[str, Callable[..., dict[str, Any]]] = {
    "hello": hello,
    "open_peer": open_peer,
    "open_file": open_file,
    "open_matrix_product": open_matrix_product,
    "run": run,
}


def answer(opened: Opened, line: str) -> dict[str, Any]:
    """Do what a line asks for."""
    request = json.loads(line)
    try:
        return _REQUESTS[request.pop("do")](opened, **request)
    except Exception as error:  # a peer that fails must not end the others
        traceback.print_exc()
        return {"error": _first_line(error)}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def main() -> None:
    """Answer until the input ends."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        opened = Opened(Path(folder))
        for line in sys.stdin:
            answers.write(json.dumps(answer(opened, line)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()

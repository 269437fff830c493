"""Our detector beside the peers: counting, dividing and taking turns, with a real worker that needs no peer."""

import importlib.util
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the export extra")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from aae_detect.errors import ConfigError  # noqa: E402
from aae_detect.model_file import read_model  # noqa: E402
from onnx_flops import count_flops, count_stored_numbers  # noqa: E402
from peer_groups import Plan, measure  # noqa: E402
from peer_ratios import (  # noqa: E402
    compare_with_openvino,
    compare_with_peers,
    divide,
    judge_bars,
    share_of_matrix_product,
)
from peer_turns import Entry, PeerError, PeerProcess, count_runs, take_turns  # noqa: E402
from peers import check_own, installed_bytes  # noqa: E402

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _write(path: Path, nodes: list[Any], inputs: dict[str, list[Any]], weights: dict[str, list[int]]) -> Path:
    """Write a graph whose weights are zeros; its output is `out`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
    return path


@pytest.mark.parametrize(
    ("operator", "attributes", "image", "weight", "expected"),
    [
        # 3x3 over 4 channels gives each of 8 x 16x16 elements
        ("Conv", {"pads": [1, 1, 1, 1]}, ["batch", 4, 16, 16], [8, 4, 3, 3], 2 * (4 * 9) * (8 * 16 * 16)),
        # stride 2: a quarter of the places; two groups: half of the channels
        ("Conv", {"pads": [1, 1, 1, 1], "strides": [2, 2], "group": 2}, [1, 4, 16, 16], [8, 2, 3, 3],
         2 * (2 * 9) * (8 * 8 * 8)),
        # each of 4 x 16x16 elements is spread over 2x2 places of 8 channels
        ("ConvTranspose", {"strides": [2, 2]}, ["batch", 4, 16, 16], [4, 8, 2, 2], 2 * (4 * 16 * 16) * (8 * 4)),
        ("MatMul", {}, ["batch", 5, 3], [3, 7], 2 * 5 * 3 * 7),
        ("Gemm", {"transA": 1, "transB": 1}, [3, 5], [7, 3], 2 * 5 * 3 * 7),
        ("Add", {}, [2, 3], [2, 3], 0),
    ],
)  # fmt: skip
def test_operations_are_those_counted_by_hand(
    operator: str, attributes: dict[str, Any], image: list[Any], weight: list[int], expected: int, tmp_path: Path
) -> None:
    node = helper.make_node(operator, ["image", "weight"], ["out"], **attributes)
    path = _write(tmp_path / "one.onnx", [node], {"image": image}, {"weight": weight})
    assert count_flops(path) == expected
    assert count_stored_numbers(path) == np.prod(weight)


def test_a_quantized_graph_counts_as_much_as_its_original(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["small"]),
        helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["shown"]),
        helper.make_node("DequantizeLinear", ["weight", "scale"], ["weighed"]),
        helper.make_node("Conv", ["shown", "weighed"], ["out"]),
    ]
    path = _write(tmp_path / "qdq.onnx", nodes, {"image": ["batch", 4, 8, 8]}, {"scale": []})
    model = onnx.load(path)
    for name, shape, dtype in (("zero", [], np.uint8), ("weight", [6, 4, 1, 1], np.int8)):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, dtype), name))
    onnx.save(model, path)
    assert count_flops(path) == 2 * 4 * (6 * 8 * 8)


def test_a_padding_computed_from_a_shape_is_followed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Constant", [], ["last"], value_ints=[3]),
        helper.make_node("Constant", [], ["before"], value_ints=[0, 0, 0]),
        helper.make_node("Gather", ["shape", "last"], ["width"]),
        helper.make_node("Concat", ["before", "width", "before", "width"], ["pads"], axis=0),
        helper.make_node("Pad", ["image", "pads"], ["wider"]),
        helper.make_node("Conv", ["wider", "weight"], ["out"]),
    ]
    path = _write(tmp_path / "pad.onnx", nodes, {"image": ["batch", 4, 8, 10]}, {"weight": [6, 4, 1, 1]})
    assert count_flops(path) == 2 * 4 * (6 * 8 * 30), "10 columns, 10 before and 10 behind"


def test_what_cannot_be_counted_is_not_guessed(tmp_path: Path) -> None:
    product = helper.make_node("MatMul", ["image", "turned"], ["out"])
    shaped = helper.make_node("Reshape", ["weight", "shape"], ["turned"])
    path = _write(tmp_path / "free.onnx", [shaped, product], {"image": [2, "free"]}, {"weight": [6]})
    with pytest.raises(ValueError, match="axis 1 of the input image is free"):
        count_flops(path)
    inner = helper.make_graph([product], "inner", [], [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])
    chosen = helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner)
    path = _write(tmp_path / "if.onnx", [chosen], {"image": [2, 3]}, {"turned": [3, 2]})
    with pytest.raises(ValueError, match=r"If .*holds a graph"):
        count_flops(path)


def test_the_worker_runs_a_file_and_outlives_what_fails(tiny_model: Path) -> None:
    with PeerProcess(sys.executable) as process:
        answer = process.ask(
            "open_file", name="tiny", file=str(tiny_model), threads=1, runtimes=["onnxruntime", "no such runtime"]
        )
        assert answer["entries"] == {"onnxruntime": tiny_model.stat().st_size}
        assert list(answer["failed"]) == ["no such runtime"]
        assert answer["gflop"] == 0.0, "it has neither convolutions nor products"
        times = process.ask("run", entry="tiny onnxruntime", warmup=1, repeats=5)["times_ms"]
        assert len(times) == 5 and all(time > 0 for time in times)
        with pytest.raises(PeerError, match="KeyError: 'tiny openvino'"):
            process.ask("run", entry="tiny openvino", warmup=1, repeats=5)
        assert len(process.ask("run", entry="tiny onnxruntime", warmup=0, repeats=2)["times_ms"]) == 2
        child = process._process
    assert child.returncode == 0, "it ends with its input"


def test_a_process_that_ends_or_is_no_worker_is_told_of(tmp_path: Path) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text("import sys; input(); sys.exit('out of memory')")
    with PeerProcess(sys.executable, dying) as process, pytest.raises(PeerError, match="with code 1: out of memory"):
        process.ask("hello")
    chatting = tmp_path / "chatting.py"
    chatting.write_text("input(); print('Hello!')")
    with PeerProcess(sys.executable, chatting) as process, pytest.raises(PeerError, match="answered 'Hello!'"):
        process.ask("hello")
    with pytest.raises(PeerError, match="cannot be started: No such file"):
        PeerProcess(tmp_path / "python")


def test_turns_go_forth_and_back_in_equal_blocks() -> None:
    log: list[tuple[str, int, int]] = []

    def run(name: str, run_ms: float, warmup: int, repeats: int) -> list[float]:
        log.append((name, warmup, repeats))
        return [run_ms] * repeats

    entries = [Entry({"model": name}, partial(run, name, ms)) for name, ms in (("quick", 10.0), ("slow", 900.0))]
    take_turns(entries, rounds=3, block_s=0.5, most_s=100, rest_s=0)
    turns = [(name, repeats) for name, _, repeats in log if repeats not in (1, 5)]  # without the first tries
    assert turns == [("quick", 50), ("slow", 2), ("slow", 2), ("quick", 50), ("quick", 50), ("slow", 2)]
    assert {(name, warmup) for name, warmup, repeats in log if repeats in (2, 50)} == {("quick", 10), ("slow", 1)}
    row = entries[0].row()
    assert row["runs"] == 150 and row["ms"] == {"p50": 10, "p95": 10, "p99": 10}
    assert row["round_medians_ms"] == [10, 10, 10]


def test_time_that_runs_out_ends_the_turns_after_three_rounds() -> None:
    entry = Entry({}, lambda warmup, repeats: [1.0] * repeats)
    take_turns([entry], rounds=9, block_s=0.01, most_s=0, rest_s=0)
    assert len(entry.blocks_ms) == 3


def test_a_block_is_filled_but_never_with_one_run() -> None:
    assert [count_runs(ms, 1.0) for ms in (2000, 390, 43, 0.001)] == [2, 3, 24, 500]


def _row(group: str, model: str, runtime: str, precision: str, *medians_ms: float, **more: Any) -> dict[str, Any]:
    named = {"group": group, "model": model, "runtime": runtime, "precision": precision, "stage": "inference"}
    return {**named, "round_medians_ms": list(medians_ms), **more}


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    # In the second round the machine was busy, and both took twice as long.
    slow, fast = {"round_medians_ms": [40.0, 84.0, 44.0]}, {"round_medians_ms": [10.0, 20.0, 10.0]}
    assert divide(slow, fast) == {"median": 4.2, "min": 4.0, "max": 4.4}


ROWS = [
    _row("ours", "ours", "onnxruntime", "fp32", 10, 10, 10, gflop=1.0),
    _row("ours", "ours", "onnxruntime", "int8", 5, 5, 5, gflop=1.0),
    _row("ours", "ours", "openvino", "int8", 4, 4, 5),
    _row("ours", "2048x2048", "torch", "fp32", 100, 100, 100, gflop=20.0) | {"stage": "matrix product"},
    _row("ours", "ours", "onnxruntime", "fp32", 90, 90, 90) | {"stage": "frame to verdict"},
    _row("stfpm", "ours", "onnxruntime", "fp32", 10, 10, 10),
    _row("stfpm", "ours", "onnxruntime", "int8", 5, 5, 5),
    _row("stfpm", "stfpm", "onnxruntime", "fp32", 43, 44, 45),
    _row("stfpm", "stfpm", "openvino", "fp32", 39, 39, 41),
    _row("stfpm", "stfpm", "openvino", "int8", 12, 12, 12),
    {"group": "padim", "model": "padim", "why_not": "out of memory"},
]


def test_a_peer_is_divided_by_ours_of_its_own_group() -> None:
    found = {
        (each["ours"], each["peer_runtime"], each["peer_precision"]): each["times_faster"]["median"]
        for each in compare_with_peers(ROWS)
    }
    assert found == {
        ("fp32", "onnxruntime", "fp32"): 4.4,
        ("int8", "onnxruntime", "fp32"): 8.8,
        ("fp32", "openvino", "fp32"): 3.9,
        ("int8", "openvino", "fp32"): 7.8,
        ("fp32", "openvino", "int8"): 1.2,
        ("int8", "openvino", "int8"): 2.4,
    }
    assert compare_with_openvino(ROWS) == [
        {"ours": "int8", "times_slower_than_openvino": {"median": 1.25, "min": 1.0, "max": 1.25}}
    ]


def test_the_share_of_the_products_rate() -> None:
    # A product of 20 GFLOP in 100 ms is 200 GFLOP/s; 1 GFLOP in 10 ms is half of that, in 5 ms all of it.
    found = {each["ours"]: each["share"]["median"] for each in share_of_matrix_product(ROWS)}
    assert found == {"fp32": 0.5, "int8": 1.0}


def test_a_bar_is_held_against_the_hardest_peer_and_only_when_all_are_measured() -> None:
    judged = judge_bars(compare_with_peers(ROWS), compare_with_openvino(ROWS))
    assert [bar["verdict"] for bar in judged] == ["not measured"] * 4 + ["missed"]
    rows = [
        *ROWS,
        _row("padim", "ours", "onnxruntime", "fp32", 10, 10, 10),
        _row("padim", "ours", "onnxruntime", "int8", 5, 5, 5),
        _row("padim", "padim", "openvino", "fp32", 50, 50, 50),
        _row("efficientad", "ours", "onnxruntime", "fp32", 10, 10, 10),
        _row("efficientad", "ours", "onnxruntime", "int8", 4, 4, 4),
        _row("efficientad", "efficientad", "openvino", "fp32", 400, 400, 400),
    ]
    fastest_fp32, efficientad_fp32, fastest_int8, efficientad_int8, _ = judge_bars(compare_with_peers(rows), [])
    assert fastest_fp32["verdict"] == "missed" and fastest_fp32["hardest"] == "stfpm in openvino"
    assert fastest_fp32["found"]["median"] == 3.9
    assert efficientad_fp32["verdict"] == "met" and efficientad_fp32["found"]["median"] == 40.0
    assert fastest_int8["verdict"] == "missed" and fastest_int8["found"]["median"] == 7.8
    assert efficientad_int8["verdict"] == "met" and efficientad_int8["found"]["median"] == 100.0


_STUB = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["do"] == "open_peer" and asked["peer"] == "padim":
        answer = {"error": "MemoryError: "}
    elif asked["do"] == "open_peer":
        answer = {"entries": {"onnxruntime": 7, "openvino": 7}, "failed": {"openvino int8": "cannot be quantized"},
                  "parameters": 3, "stored_numbers": 4, "gflop": 2.0}
    elif asked["do"] == "open_file":
        answer = {"entries": {"openvino": 7}, "failed": {}, "stored_numbers": 5, "gflop": 0.5}
    elif asked["do"] == "open_matrix_product":
        answer = {"gflop": 4.0}
    else:
        answer = {"times_ms": [200.0] * asked["repeats"]}
    print(json.dumps(answer), flush=True)
"""


def test_groups_are_measured_and_written_one_by_one(tiny_model: Path, tmp_path: Path) -> None:
    worker = tmp_path / "stub.py"
    worker.write_text(_STUB)
    document: dict[str, Any] = {}
    written: list[int] = []
    plan = Plan(threads=1, rounds=3, block_s=0.01, peers=("padim", "stfpm"), size_hw=(64, 64))
    measure(
        partial(PeerProcess, sys.executable, worker),
        [read_model(tiny_model)],
        plan,
        document,
        lambda: written.append(len(document["rows"])),
    )
    assert written == [4, 5, 9]
    assert json.loads(json.dumps(document)) == document
    rows = {tuple(row.get(key) for key in ("group", "model", "runtime", "stage")): row for row in document["rows"]}
    assert rows["padim", "padim", None, None]["why_not"] == "MemoryError: ", "the next group goes on"
    assert document["rows"][-1]["precision"] == "int8" and document["rows"][-1]["why_not"] == "cannot be quantized"
    assert rows["ours", "ours", "openvino", "inference"]["gflop"] == 0.5
    assert rows["ours", "ours", "onnxruntime", "inference"]["bytes"] == tiny_model.stat().st_size
    assert rows["ours", "ours", "onnxruntime", "frame to verdict"]["ms"]["p50"] > 0
    ours = rows["stfpm", "ours", "onnxruntime", "inference"]
    expected = float(np.median([200 / ms for ms in ours["round_medians_ms"]]))
    assert [each["times_faster"]["median"] for each in document["ratios"]] == [pytest.approx(expected, abs=1e-3)] * 2
    assert all(bar["verdict"] == "not measured" for bar in document["bars"])


@pytest.mark.skipif(importlib.util.find_spec("anomalib") is not None, reason="the peers are in this environment")
def test_an_environment_without_the_peers_is_refused_with_what_to_install(tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "peers.json"
    command = [sys.executable, str(BENCHMARKS / "peers.py"), "--peer-python", sys.executable]
    found = subprocess.run(
        [*command, "--model", str(tiny_model), "--json", str(target)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert re.match(r"Error: the environment of --peer-python .* lacks anomalib .*openvino.*pip install", found.stderr)
    assert not target.exists()


def test_torchvision_without_its_operators_is_imported_all_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    # Registers as the real one does, which fails where the operators have not been declared.
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "import torch, torchvision.half\n"
        "for name in ('nms', 'qnms'):\n    torch.library.register_fake(f'torchvision::{name}')(lambda *given: given)\n"
    )
    (tmp_path / "torchvision" / "half.py").write_text("")
    (tmp_path / "anomalib").mkdir()
    (tmp_path / "anomalib" / "__init__.py").write_text("")
    (tmp_path / "anomalib" / "models.py").write_text("import torchvision")
    code = (
        f"import sys; sys.path[:0] = [{str(BENCHMARKS)!r}, {str(tmp_path)!r}]\n"
        "from peer_models import import_anomalib\nimport_anomalib()\nimport_anomalib()\n"
        "assert 'anomalib.models' in sys.modules\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_the_peers_side_knows_nothing_of_ours() -> None:
    for name in ("peer_worker.py", "peer_models.py", "onnx_flops.py"):
        assert not re.search(r"import aae_|from aae_|import click", (BENCHMARKS / name).read_text(encoding="utf-8"))


def test_files_that_were_mixed_up_are_refused(tiny_model: Path) -> None:
    model = read_model(tiny_model)
    check_own([model])
    with pytest.raises(ConfigError, match=r"--int8 .* is in fp32, expected int8"):
        check_own([model, model])


def test_installed_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    package = tmp_path / "lib" / "python3.12" / "site-packages" / "package"
    package.mkdir(parents=True)
    (package / "a.py").write_bytes(b"x" * 100)
    (package / "b.so").write_bytes(b"x" * 23)
    (package / "again.so").symlink_to(package / "b.so")
    (tmp_path / "lib64").symlink_to(tmp_path / "lib")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_bytes(b"x" * 1000)
    assert installed_bytes(tmp_path) == 123
    with pytest.raises(ConfigError, match="expected the folder of a virtual environment"):
        installed_bytes(package)

"""How many times faster, and whether that is enough. Imported by `peers.py`; looks at rows only.

A ratio is taken round by round, between blocks that ran within seconds of each other, and the reported one is the
median of the rounds'.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

OURS = "ours"
"""Our rows' `model`; also the group in which our files are measured beside themselves."""

INFERENCE, MATRIX_PRODUCT = "inference", "matrix product"
"""Values of a row's `stage`."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """So many times faster than each of some peers, in the runtime that suits the peer best."""

    ours: Literal["fp32", "int8"]
    peers: tuple[str, ...]
    at_least: float

    @property
    def name(self) -> str:
        """In words."""
        return f"our {self.ours}, times faster than {' and '.join(self.peers)} in fp32"


FASTEST_PEERS = ("stfpm", "padim")
BARS = (
    Bar("fp32", FASTEST_PEERS, 4.0),
    Bar("fp32", ("efficientad",), 40.0),
    Bar("int8", FASTEST_PEERS, 10.0),
    Bar("int8", ("efficientad",), 100.0),
)

MOST_TIMES_SLOWER = 1.2
"""Our int8 file in ONNX Runtime, beside OpenVINO with the very same file."""


def divide(slow: Row, fast: Row) -> dict[str, float]:
    """Divide times round by round; rows of one group have the same rounds.

    Returns:
        `median`, `min` and `max` of the rounds' ratios, above 1 where `fast` is faster.
    """
    found = [a / b for a, b in zip(slow["round_medians_ms"], fast["round_medians_ms"], strict=True)]
    return {"median": statistics.median(found), "min": min(found), "max": max(found)}


def compare_with_peers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Say for each row of a peer how many times faster each of our files is, in ONNX Runtime and in the same group."""
    found = []
    for peer in _measured(rows):
        if peer["model"] == OURS:
            continue
        for ours in _measured(rows):
            if ours["model"] == OURS and ours["group"] == peer["group"]:
                found.append(
                    {
                        "ours": ours["precision"],
                        "peer": peer["model"],
                        "peer_runtime": peer["runtime"],
                        "peer_precision": peer["precision"],
                        "times_faster": _rounded(divide(peer, ours)),
                    }
                )
    return found


def compare_with_openvino(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Say for each of our files how many times slower ONNX Runtime is than OpenVINO."""
    own = {(row["precision"], row["runtime"]): row for row in _measured(rows) if row["group"] == OURS}
    return [
        {"ours": precision, "times_slower_than_openvino": _rounded(divide(row, own[precision, "openvino"]))}
        for (precision, runtime), row in own.items()
        if runtime == "onnxruntime" and (precision, "openvino") in own
    ]


def judge_bars(ratios: Sequence[dict[str, Any]], beside_openvino: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hold the ratios against the bars; a bar is `not measured` until all its peers are."""
    judged = []
    for bar in BARS:
        beside = [
            each
            for each in ratios
            if each["ours"] == bar.ours and each["peer_precision"] == "fp32" and each["peer"] in bar.peers
        ]
        line: dict[str, Any] = {"bar": bar.name, "at_least": bar.at_least, "found": None, "verdict": "not measured"}
        if {each["peer"] for each in beside} == set(bar.peers):
            hardest = min(beside, key=lambda each: float(each["times_faster"]["median"]))
            line |= {
                "found": hardest["times_faster"],
                "hardest": f"{hardest['peer']} in {hardest['peer_runtime']}",
                "verdict": _verdict(hardest["times_faster"]["median"] >= bar.at_least),
            }
        judged.append(line)
    line = {
        "bar": "our int8 in ONNX Runtime, times slower than the same file in OpenVINO",
        "at_most": MOST_TIMES_SLOWER,
        "found": None,
        "verdict": "not measured",
    }
    for each in beside_openvino:
        if each["ours"] == "int8":
            found = each["times_slower_than_openvino"]
            line |= {"found": found, "verdict": _verdict(found["median"] <= MOST_TIMES_SLOWER)}
    return [*judged, line]


def share_of_matrix_product(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Say which part of the processor's fp32 matrix-product rate our files reach; integers may pass 1."""
    products = [row for row in rows if row.get("stage") == MATRIX_PRODUCT]
    found = []
    for row in _measured(rows):
        if products and row["group"] == OURS and row.get("gflop"):
            per_ms = divide(products[0], row)  # how many of ours in the time of one product
            share = {name: value * row["gflop"] / products[0]["gflop"] for name, value in per_ms.items()}
            found.append({"ours": row["precision"], "runtime": row["runtime"], "share": _rounded(share)})
    return found


def _measured(rows: Iterable[Row]) -> list[Row]:
    """Leave out what did not run, and what is not the graph alone."""
    return [row for row in rows if row.get("stage") == INFERENCE and "round_medians_ms" in row]


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in found.items()}


def _verdict(met: bool) -> str:
    return "met" if met else "missed"

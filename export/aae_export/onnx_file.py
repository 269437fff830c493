"""One torch module to one checked ONNX file."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

OPSET = 20
"""The operator set of every file that aae-export writes. ONNX Runtime 1.20 and newer, the oldest that is supported, run
it; raising it would lock out devices that cannot be upgraded."""


def write_onnx(
    path: Path, module: nn.Module, example: Tensor, input_name: str, output_names: list[str], metadata: dict[str, str]
) -> None:
    """Export a module of one input, batch size dynamic, and check the file.

    Args:
        path: Written whole; the weights are inside.
        module: In eval mode, on the CPU, fp32.
        example: (2, ...) input; a batch of 2, because torch bakes a batch of 1 in.
        input_name: Name of the graph's input.
        output_names: Names of the graph's outputs, in order.
        metadata: Goes into the file's metadata.
    """
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=output_names,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None  # returned whenever dynamo=True
    proto: Any = program.model_proto
    _strip(proto)
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


def _strip(proto: Any) -> None:
    """Remove what the exporter notes for its own debugging: file names of this machine, and half of the file's size."""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        del value.metadata_props[:]
    del proto.graph.value_info[:]
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the exporter's progress and its warnings about its own insides off the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

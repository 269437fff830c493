"""One torch module to one checked ONNX file."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

OPSET = 20
"""The operator set of every file that aae-export writes. ONNX Runtime 1.20 and newer, the oldest that is supported, run
it; raising it would lock out devices that cannot be upgraded."""


def write_onnx(
    path: Path,
    module: nn.Module,
    examples: dict[str, Tensor],
    output_names: list[str],
    metadata: dict[str, str],
    defaults: dict[str, NDArray[np.float32]] | None = None,
) -> None:
    """Export a module, batch size dynamic, and check the file.

    Args:
        path: Written whole; the weights are inside.
        module: In eval mode, on the CPU, fp32.
        examples: The graph's inputs by name, in the module's order, each (2, ...): torch bakes a batch of 1 in.
        output_names: Names of the graph's outputs, in order.
        metadata: Goes into the file's metadata.
        defaults: Values (1, ...) of inputs that a caller may leave out; the module spreads them over the batch. Their
            example is (1, ...) too.
    """
    defaults = defaults or {}
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(examples.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(examples),
            output_names=output_names,
            dynamic_shapes=tuple(None if name in defaults else {0: batch} for name in examples),
            verbose=False,
        )
    assert program is not None  # returned whenever dynamo=True
    proto: Any = program.model_proto
    _strip(proto)
    _remove_idle_reshapes(proto)
    for name, value in defaults.items():
        (port,) = (port for port in proto.graph.input if port.name == name)
        port.type.tensor_type.shape.dim[0].dim_param = f"{name}_batch"  # one row for all, or a row each
        # An input that has an initializer of its own name may be left out: the initializer is its value then.
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    for key, text in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


def _remove_idle_reshapes(proto: Any) -> None:
    """Remove reshapes that change nothing: a code of places is laid flat behind the encoder, and back at once."""
    graph = proto.graph
    inferred = onnx.shape_inference.infer_shapes(proto).graph.value_info
    shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim] for value in inferred}
    kept = {output.name for output in graph.output}
    for node in [node for node in graph.node if node.op_type == "Reshape"]:
        before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
        if before is None or after is None or before[1:] != after[1:] or 0 in before[1:]:
            continue
        if node.output[0] in kept:
            continue
        graph.node.remove(node)
        for reader in graph.node:
            for place, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[place] = node.input[0]
    read = {name for node in graph.node for name in node.input} | kept
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


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

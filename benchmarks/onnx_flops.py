"""What a model computes, counted from its ONNX graph: multiplications and additions, and the numbers that it stores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

_MOST_FOLDED = 64
"""Elements of a tensor that sizes are computed with; larger ones are weights."""

_FOLDED = frozenset(
    "Add Cast Concat Constant ConstantOfShape Div Gather Mul Reshape Slice Squeeze Sub Transpose Unsqueeze".split()
)

_WEIGHT_AT = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "ConvTranspose": 1}
"""Place of the weight among a node's inputs."""

_PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm")

_Shapes = dict[str, list[int]]


def count_flops(path: Path) -> int:
    """Count the floating-point operations of one inference at batch 1.

    Counted are convolutions (also transposed) and matrix products, in integers or not, two operations for each
    multiplication with its addition. Biases, activations, pooling, resizing and copies are not.

    Args:
        path: The ONNX file. Its first axis may be free, nothing else.

    Raises:
        ValueError: a shape cannot be inferred, or the graph holds graphs, of which nobody knows how often they run.
    """
    model = onnx.load(path, load_external_data=False)
    shapes = infer_shapes(model)
    return sum(_count_node(node, shapes) for node in model.graph.node)


def count_stored_numbers(path: Path) -> int:
    """Count the elements of all tensors in the file: weights, statistics, memory banks, and constants."""
    graph = onnx.load(path, load_external_data=False).graph
    constants = [attribute.t for node in graph.node if node.op_type == "Constant" for attribute in node.attribute]
    return sum(math.prod(tensor.dims) for tensor in [*graph.initializer, *constants])


def infer_shapes(model: onnx.ModelProto) -> _Shapes:
    """Return the shape of every tensor whose shape follows from the inputs, with a batch of 1.

    Raises:
        ValueError: an input has a free axis beside the first.
    """
    graph = model.graph
    initial = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for port in graph.input:
        dims = port.type.tensor_type.shape.dim
        for place, dim in enumerate(dims):
            if port.name not in initial and not dim.dim_value:
                if place > 0:
                    raise ValueError(f"axis {place} of the input {port.name} is free, expected fixed sizes but axis 0")
                dim.dim_value = 1
    del graph.value_info[:]
    for port in graph.output:  # what was written there has the free batch in it
        port.type.tensor_type.ClearField("shape")
    for tensor in graph.initializer:  # weights would be copied at every pass
        if math.prod(tensor.dims) > _MOST_FOLDED:
            tensor.ClearField("raw_data")
    while True:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        shapes = dict(initial)
        for port in [*inferred.input, *inferred.value_info, *inferred.output]:
            dims = port.type.tensor_type.shape.dim
            if port.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
                shapes[port.name] = [dim.dim_value for dim in dims]
        if not _fold_constants(model, shapes):
            return shapes


def _fold_constants(model: onnx.ModelProto, shapes: _Shapes) -> bool:
    """Put numbers in the place of nodes that compute them from shapes: sizes and paddings, which shapes depend on.

    Returns:
        Whether there were any.
    """
    graph = model.graph
    known = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if math.prod(tensor.dims) <= _MOST_FOLDED
    }
    kept = []
    for node in graph.node:
        value = _evaluate(node, known, shapes, model.opset_import)
        if value is None or value.size > _MOST_FOLDED:
            kept.append(node)
            continue
        known[node.output[0]] = value
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    done = len(kept) < len(graph.node)
    del graph.node[:]
    graph.node.extend(kept)
    return done


def _evaluate(
    node: onnx.NodeProto, known: dict[str, Any], shapes: _Shapes, opsets: Sequence[onnx.OperatorSetIdProto]
) -> NDArray[Any] | None:
    """Compute a node's value where it follows from what is known."""
    if node.op_type == "Shape" and node.input[0] in shapes and not node.attribute:
        return np.array(shapes[node.input[0]], np.int64)
    given = [name for name in node.input if name]
    if node.op_type not in _FOLDED or not all(name in known for name in given):
        return None
    alone = helper.make_graph([node], "alone", [], [helper.make_empty_tensor_value_info(node.output[0])])
    alone.initializer.extend(numpy_helper.from_array(known[name], name) for name in dict.fromkeys(given))
    (value,) = ReferenceEvaluator(helper.make_model(alone, opset_imports=opsets)).run(None, {})
    return np.asarray(value)


def _count_node(node: onnx.NodeProto, shapes: _Shapes) -> int:
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise ValueError(f"{node.op_type} {node.name} holds a graph: how often that runs is not known")
    if node.op_type in _WEIGHT_AT:
        weight = _shape(node, node.input[_WEIGHT_AT[node.op_type]], shapes)
        # Of a convolution's weight (out, in / groups, kernel...) each output element takes all but the first axis; of a
        # transposed one's (in, out / groups, kernel...) each input element goes to all but the first axis.
        places = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
        return 2 * math.prod(_shape(node, places, shapes)) * math.prod(weight[1:])
    if node.op_type in _PRODUCTS:
        first = _shape(node, node.input[0], shapes)
        turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        summed = first[-2 if turned else -1]
        return 2 * summed * math.prod(_shape(node, node.output[0], shapes))
    return 0


def _shape(node: onnx.NodeProto, name: str, shapes: _Shapes) -> Sequence[int]:
    if name not in shapes:
        raise ValueError(f"the shape of {name} at {node.op_type} {node.name} cannot be inferred")
    return shapes[name]

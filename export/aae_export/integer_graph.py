"""Writes a graph anew so that it computes with integers where a plan says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper, numpy_helper

from aae_export.integer_plan import Plan, Wiring, pixels_behind
from aae_export.integers import Scale, quantize_weights


def write_integers(
    graph: GraphProto, wiring: Wiring, plan: Plan, scales: Mapping[str, Scale], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Write the nodes of a graph anew, in place.

    Args:
        graph: A copy of the one that `wiring` was made of.
        wiring: Of the fp32 graph.
        plan: What computes with integers.
        scales: Of the plan's tensors; those made of pixels need none.
        shapes: Of the layers' inputs, (batch, C, H, W).
    """
    _Writer(graph, wiring, plan, scales, shapes).write()


class _Writer:
    def __init__(
        self,
        graph: GraphProto,
        wiring: Wiring,
        plan: Plan,
        scales: Mapping[str, Scale],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._graph, self._wiring, self._plan, self._shapes = graph, wiring, plan, shapes
        self._pixels = {name: found for name in plan.tensors if (found := pixels_behind(wiring, name)) is not None}
        self._scales = {name: scales[name] for name in plan.tensors if name not in self._pixels}
        self._scales |= {name: Scale(found.scale, math.ceil(found.zero)) for name, found in self._pixels.items()}
        self._layers = {name for name in plan.nodes if wiring.maker[name].op_type in ("Conv", "ConvTranspose")}
        self._nodes: list[NodeProto] = []
        self._done: set[str] = set()
        """Outputs of rectifiers that were written with their layer."""

    def write(self) -> None:
        for name, scale in self._scales.items():
            self._constant(f"{name}.scale", np.float32(scale.scale))
            self._constant(f"{name}.zero", np.uint8(scale.zero_point))
        for node in self._wiring.nodes:
            if node.output[0] in self._done:
                continue
            if node.op_type == "Resize" and node.output[0] in self._plan.nodes:
                self._repeat(node)
            elif node.output[0] not in self._layers:
                self._copy(node)
            elif node.op_type == "Conv":
                self._convolution(node)
            else:
                self._upsampling(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        read = {name for node in self._nodes for name in node.input}
        constants = [tensor for tensor in self._graph.initializer if tensor.name in read]
        del self._graph.initializer[:]
        self._graph.initializer.extend(constants)

    def _copy(self, node: NodeProto) -> None:
        """Write a node as it is, but for where it reads."""
        copied = NodeProto()
        copied.CopyFrom(node)
        read_as_integers = self._plan.tensors if node.output[0] in self._plan.nodes else self._plan.made
        for place, name in enumerate(node.input):
            if name in read_as_integers:
                copied.input[place] = _real(name)
        self._nodes.append(copied)
        for name in node.output:
            if name in self._plan.tensors:
                self._keep(name)

    def _keep(self, name: str) -> None:
        """Keep a tensor as integers, too."""
        if name in self._pixels:  # are there already
            self._dequantize(self._pixels[name].name, name)
        else:
            self._quantize(name, name)
            self._dequantize(_integers(name), name)

    def _convolution(self, node: NodeProto) -> None:
        weights, bias = self._weights_and_bias(node)
        inputs = self._integer_weights(node, weights, bias)
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        self._add("Conv", inputs, node.output[0], **attributes)
        if node.output[0] in self._plan.tensors:  # else it is kept behind the rectifier
            self._keep(node.output[0])

    def _upsampling(self, node: NodeProto) -> None:
        """Write a 2x2 transposed convolution of stride 2 as a 1x1 convolution and a move of bytes.

        Each pixel becomes four, which have nothing to do with each other: C channels become 4C, which are then laid
        side by side.
        """
        weights, bias = self._weights_and_bias(node)
        channels, (height, width) = weights.shape[1], self._shapes[node.input[0]][2:]
        of_four = weights.transpose(2, 3, 1, 0).reshape(4 * channels, -1, 1, 1)  # (dy, dx, C), in
        inputs = self._integer_weights(node, of_four, np.tile(bias, 4))
        kept, rectifier = self._wiring.kept(node), self._wiring.rectifier(node)
        self._add("Conv", inputs, f"{kept}.of_four" if rectifier is None else f"{kept}.linear")
        if rectifier is not None:
            self._add("Relu", [f"{kept}.linear"], f"{kept}.of_four")
            self._done.add(kept)
        self._quantize(f"{kept}.of_four", kept, f"{kept}.together")
        apart = [("Reshape", (0, height, width, 2, 2, channels)), ("Transpose", (0, 1, 3, 2, 4, 5))]
        self._move(f"{kept}.together", kept, [*apart, ("Reshape", (0, 2 * height, 2 * width, channels))])

    def _repeat(self, node: NodeProto) -> None:
        """Write a resize that makes four pixels of each by moving bytes, too."""
        source, kept = node.input[0], node.output[0]
        _, channels, height, width = self._shapes[source]
        four = [("Reshape", (0, height, 1, width, 1, channels)), ("Expand", (1, height, 2, width, 2, channels))]
        self._move(_integers(source), kept, [*four, ("Reshape", (0, 2 * height, 2 * width, channels))])

    def _move(self, source: str, kept: str, steps: list[tuple[str, tuple[int, ...]]]) -> None:
        """Move bytes with channels last, as the integer convolutions' own layout has them; then they are `kept`'s."""
        steps = [("Transpose", (0, 2, 3, 1)), *steps, ("Transpose", (0, 3, 1, 2))]
        for number, (kind, sizes) in enumerate(steps, start=1):
            moved = f"{kept}.moved{number}" if number < len(steps) else _integers(kept)
            if kind == "Transpose":
                self._add(kind, [source], moved, perm=sizes)
            else:
                self._constant(f"{moved}.shape", np.array(sizes, np.int64))
                self._add(kind, [source, f"{moved}.shape"], moved)
            source = moved
        self._dequantize(_integers(kept), kept)

    def _weights_and_bias(self, node: NodeProto) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        weights = self._wiring.constant(node.input[1])
        assert weights is not None  # or it were no layer
        outputs = weights.shape[0 if node.op_type == "Conv" else 1]
        bias = self._wiring.constant(node.input[2]) if len(node.input) > 2 else np.zeros(outputs, np.float32)
        assert bias is not None
        return weights, bias

    def _integer_weights(self, node: NodeProto, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> list[str]:
        """Write weights and bias as integers; returns what the convolution reads."""
        source = node.input[0]
        scale = self._scales[source]
        if (pixels := self._pixels.get(source)) is not None:
            # Bytes have their zero between two integers; half a step is the same everywhere: the bias makes up for it.
            offset = scale.scale * (scale.zero_point - pixels.zero)
            bias = bias + offset * weights.sum(axis=(1, 2, 3))
        integers, integer_bias, weight_scale = quantize_weights(weights, bias, scale.scale)
        found = [_real(source)]
        for kind, values, steps in (
            ("weight", integers, weight_scale),
            ("bias", integer_bias, (scale.scale * weight_scale).astype(np.float32)),
        ):
            name = f"{node.output[0]}.{kind}"
            self._constant(f"{name}.integers", values)
            self._constant(f"{name}.scale", steps)
            self._constant(f"{name}.zero", np.zeros(len(steps), values.dtype))
            inputs = [f"{name}.{part}" for part in ("integers", "scale", "zero")]
            self._add("DequantizeLinear", inputs, name, axis=0)
            found.append(name)
        return found

    def _quantize(self, source: str, scale_of: str, result: str | None = None) -> None:
        inputs = [source, f"{scale_of}.scale", f"{scale_of}.zero"]
        self._add("QuantizeLinear", inputs, result or _integers(source))

    def _dequantize(self, integers: str, name: str) -> None:
        self._add("DequantizeLinear", [integers, f"{name}.scale", f"{name}.zero"], _real(name))

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}.node", **attributes))

    def _constant(self, name: str, value: Any) -> None:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _integers(name: str) -> str:
    return f"{name}.integers"


def _real(name: str) -> str:
    return f"{name}.real"

"""An fp32 detector to int8: what was learned computes with integers, what measures stays as it was.

The graph says where integers are by pairs of QuantizeLinear and DequantizeLinear, which every ONNX Runtime joins with
what lies between them: a convolution and its rectifier become one QLinearConv, x + conv(x) a QLinearAdd, and so
integers run through. Their ranges are those that the detector's insides took on pictures that it was shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from aae_detect._onnxruntime import onnxruntime
from aae_export.integer_graph import write_integers
from aae_export.integer_plan import Plan, Wiring, is_inner, make_plan, pixels_behind
from aae_export.integers import Scale

LEARNED = ("encoder.", "decoder.", "judge.head.")
"""Parts of the detector that may compute with integers; the others measure, and integers measure badly."""

INTEGER_UPSAMPLING = True
"""Whether 2x2 transposed convolutions, for which there is no integer kernel, are written as 1x1 convolutions to four
times the channels, whose integers are then moved to their places; else they stay float."""

LEAST_CHANNELS = 8
"""A layer that reads fewer channels stays float: it would hardly gain, and its input would have to be made integers
first. But for one whose input is the picture's bytes, and whose result another one reads."""

REACH = 3.0
"""Integers cover what occurs on defects, up to so many times what occurs on good pictures. A head that has found a
defect gets excited: with all that in the range, 256 levels are too coarse for good pictures; with good pictures alone,
defects are cut off. On five sets, scores are displaced by 0.28 to 0.44 with 1, 0.11 to 0.33 with 3, and 0.10 to 3.2
without a limit (`Paired.displacement`, synthetic defects)."""


@dataclass(frozen=True)
class Layer:
    """A layer that may compute with integers."""

    name: str
    """Of its weights, `judge.head.stem.2`."""

    output: str
    """The tensor that it makes."""

    multiplications: int
    """For one picture."""


class Quantizer:
    """A detector that was shown pictures, ready to be quantized in one way or another."""

    def __init__(self, model: bytes, good: Sequence[NDArray[np.uint8]], defective: Sequence[NDArray[np.uint8]]) -> None:
        """Note the ranges of what may become integers while the detector looks at pictures.

        Args:
            model: The fp32 detector.
            good: Model inputs, HxWx3 uint8 BGR.
            defective: Such with defects; see `REACH`.
        """
        self._proto = onnx.load_from_string(model)
        self._wiring = Wiring(self._proto.graph)
        self._shapes = _infer_shapes(self._proto)
        learned = _find_learned(self._wiring, self._shapes)
        self._learned = frozenset(layer.output for layer in learned)
        self.layers = tuple(layer for layer in learned if self._fits(layer))
        """Those that may compute with integers, from input to output."""
        tensors = self._plan(()).tensors
        measured = sorted(name for name in tensors if pixels_behind(self._wiring, name) is None)
        self._scales = _measure_scales(self._proto, measured, good, defective) if measured else {}

    def quantize(self, stay: Collection[str] = ()) -> ModelProto:
        """Make an int8 model; layers whose names are in `stay` remain as they are."""
        proto = ModelProto()
        proto.CopyFrom(self._proto)
        write_integers(proto.graph, self._wiring, self._plan(stay), self._scales, self._shapes)
        onnx.checker.check_model(proto)
        return proto

    def _plan(self, stay: Collection[str]) -> Plan:
        chosen = [layer.output for layer in self.layers if layer.name not in stay]
        return make_plan(self._wiring, chosen, self._learned)

    def _fits(self, layer: Layer) -> bool:
        node = self._wiring.maker[layer.output]
        if pixels_behind(self._wiring, node.input[0]) is not None:
            readers = self._wiring.readers[self._wiring.kept(node)]
            gains = any(reader.output[0] in self._learned for reader in readers)
        else:
            gains = self._shapes[node.input[0]][1] >= LEAST_CHANNELS
        return gains and _has_integer_kernel(node) and is_inner(self._wiring, node, self._learned)


def _infer_shapes(proto: ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors that have one; 0 stands for the batch."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    return {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
        for value in [*inferred.value_info, *inferred.input, *inferred.output]
    }


def _find_learned(wiring: Wiring, shapes: Mapping[str, tuple[int, ...]]) -> list[Layer]:
    """Return all convolutions with learned weights."""
    found = []
    for node in wiring.nodes:
        if node.op_type not in ("Conv", "ConvTranspose") or not node.input[1].startswith(LEARNED):
            continue
        weights = wiring.constant(node.input[1])
        if weights is not None:
            places = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]][2:]
            name = node.input[1].removesuffix(".weight")
            found.append(Layer(name, node.output[0], weights.size * prod(places)))
    return found


def _has_integer_kernel(node: NodeProto) -> bool:
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Conv":
        return bool(attributes.get("group", 1) == 1)
    two_by_two = attributes.get("kernel_shape") == [2, 2] == attributes.get("strides")
    plain = not any((*attributes.get("pads", ()), *attributes.get("output_padding", ())))
    return INTEGER_UPSAMPLING and two_by_two and plain and attributes.get("group", 1) == 1


def _measure_scales(
    proto: ModelProto,
    tensors: Sequence[str],
    good: Sequence[NDArray[np.uint8]],
    defective: Sequence[NDArray[np.uint8]],
) -> dict[str, Scale]:
    """Run the model over pictures and choose the range that each tensor's integers cover."""
    telling = ModelProto()
    telling.CopyFrom(proto)
    telling.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(telling.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def ranges(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return the lowest and the highest value of each tensor, (2, tensors)."""
        found = np.zeros((2, len(tensors)))
        for picture in pictures:
            values = session.run(list(tensors), {"image": picture[np.newaxis]})
            found[0] = np.minimum(found[0], [value.min() for value in values])
            found[1] = np.maximum(found[1], [value.max() for value in values])
        return found

    usual, unusual = ranges(good), ranges(defective)
    low = np.maximum(np.minimum(usual[0], unusual[0]), REACH * usual[0])
    high = np.minimum(np.maximum(usual[1], unusual[1]), REACH * usual[1])
    return {name: Scale.of_range(float(a), float(b)) for name, a, b in zip(tensors, low, high, strict=True)}

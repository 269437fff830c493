"""Which nodes of a graph compute with integers, and which tensors are kept as integers between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper, numpy_helper


class Wiring:
    """Who makes and who reads each tensor of a graph, and the constants."""

    def __init__(self, graph: GraphProto) -> None:
        self.nodes: tuple[NodeProto, ...] = tuple(graph.node)
        self.maker: dict[str, NodeProto] = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.readers[name].append(node)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}

    def constant(self, name: str) -> NDArray[np.float32] | None:
        """Return a constant's value; None where the tensor is none."""
        tensor = self._constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def rectifier(self, node: NodeProto) -> NodeProto | None:
        """Return the Relu that alone reads what a node makes; it computes with the node, for nothing."""
        readers = self.readers[node.output[0]]
        return readers[0] if [reader.op_type for reader in readers] == ["Relu"] else None

    def kept(self, node: NodeProto) -> str:
        """Return the tensor in which a node's result is kept: behind its rectifier, where it has one."""
        name: str = (self.rectifier(node) or node).output[0]
        return name


@dataclass(frozen=True)
class Plan:
    """What an int8 graph computes with integers."""

    nodes: frozenset[str]
    """Layers and sums, by the names of their outputs."""

    tensors: frozenset[str]
    """Tensors that are kept as integers, for integer nodes to read."""

    made: frozenset[str]
    """Those among them that integer nodes make: whoever reads them, reads what the integers say."""


def make_plan(wiring: Wiring, layers: Collection[str], learned: Collection[str]) -> Plan:
    """Plan for chosen layers.

    What repeats their results joins them, and a sum does where both its terms are integers anyway.

    Args:
        wiring: Of the fp32 graph.
        layers: The chosen ones, by the names of their outputs.
        learned: All layers that were learned, the chosen ones among them.
    """
    nodes = set(layers)
    made = {wiring.kept(wiring.maker[name]) for name in layers}
    repeated = {node.output[0] for name in made for node in wiring.readers[name] if repeats(wiring, node)}
    nodes |= repeated
    made |= repeated
    read = {wiring.maker[name].input[0] for name in layers}
    sums = [node for node in wiring.nodes if node.op_type == "Add" and is_inner(wiring, node, learned)]
    while joining := [node for node in sums if node.output[0] not in nodes and made | read >= set(node.input)]:
        for node in joining:
            nodes.add(node.output[0])
            made.add(wiring.kept(node))
            read.update(node.input)
    return Plan(frozenset(nodes), frozenset(made | read), frozenset(made))


def is_inner(wiring: Wiring, node: NodeProto, learned: Collection[str]) -> bool:
    """Say whether only layers and sums read a node's result; drawing and logits are measured, and 8 bits spoil them."""
    return all(
        reader.op_type == "Add"
        or reader.output[0] in learned
        or (repeats(wiring, reader) and is_inner(wiring, reader, learned))
        for reader in wiring.readers[wiring.kept(node)]
    )


def repeats(wiring: Wiring, node: NodeProto) -> bool:
    """Say whether a node makes four pixels of each, all alike: what integers may go through as they are."""
    if node.op_type != "Resize":
        return False
    scales = wiring.constant(node.input[2]) if len(node.input) > 2 else None
    modes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    as_torch = {"mode": b"nearest", "nearest_mode": b"floor", "coordinate_transformation_mode": b"asymmetric"}
    return scales is not None and list(scales) == [1, 1, 2, 2] and as_torch.items() <= modes.items()


@dataclass(frozen=True)
class Pixels:
    """A tensor that is a picture of bytes in another scale: real = scale * (byte - zero)."""

    name: str
    """Of the uint8 tensor."""

    scale: float
    zero: float
    """Between two integers, 127.5, where the range is symmetric."""


def pixels_behind(wiring: Wiring, tensor: str) -> Pixels | None:
    """Find the bytes that a tensor is made of by byte / a - b; None where it is made otherwise."""
    subtract = wiring.maker.get(tensor)
    if subtract is None or subtract.op_type != "Sub":
        return None
    divide = wiring.maker.get(subtract.input[0])
    if divide is None or divide.op_type != "Div":
        return None
    cast = wiring.maker.get(divide.input[0])
    if cast is None or cast.op_type != "Cast":
        return None
    divisor, offset = wiring.constant(divide.input[1]), wiring.constant(subtract.input[1])
    if divisor is None or offset is None or divisor.size != 1 or offset.size != 1:
        return None
    return Pixels(cast.input[0], 1 / float(divisor.item()), float(offset.item()) * float(divisor.item()))

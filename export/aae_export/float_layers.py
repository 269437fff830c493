"""Which layers of an int8 detector stay float: as few as it takes for its scores to stay where they are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import onnx

from aae_export.displacement import Paired, Yardstick
from aae_export.quantize import Layer, Quantizer

MOST_DISPLACEMENT = 0.2
"""Of scores, see `Paired.displacement`: noise of this size costs about a point of AUROC where it costs most."""

MOST_GIVEN_BACK = 0.5
"""Share of the multiplications that may stay float; beyond, there is little left to gain."""


def find_float_layers(
    quantizer: Quantizer, few: Yardstick, many: Yardstick, most_loss: float
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Quantize all layers, or all but the most harmful ones.

    Each layer's harm is measured once, by a detector in which it alone computes with integers: squares of displacements
    of independent causes add up. Layers go back to float in the order of harm, and bisection finds how many.

    Args:
        quantizer: Makes the int8 detectors.
        few: Pictures that each layer is looked at with.
        many: Pictures that decide.
        most_loss: AUROC that may be lost, where it cannot be told from none; else half of it.

    Returns:
        The int8 detector, and the names of the layers that stayed float. Where giving back as much as is allowed is
        not enough, that.
    """

    def fits(stay: Sequence[str]) -> bool:
        return holds(many.measure(quantizer.quantize(stay).SerializeToString()), most_loss)

    if fits(()):
        return quantizer.quantize(), ()
    harms = {layer.name: _harm(quantizer, few, layer) for layer in quantizer.layers}
    found = [_shortest(order, fits) for order in give_back_orders(quantizer.layers, harms)]
    fitting = [stay for stay, enough in found if enough] or [stay for stay, _ in found]
    stay = min(fitting, key=lambda layers: sum(layer.multiplications for layer in layers))
    names = tuple(layer.name for layer in stay)
    return quantizer.quantize(names), names


def give_back_orders(layers: Sequence[Layer], harms: Mapping[str, float]) -> list[list[Layer]]:
    """Return in which orders layers may go back to float, each as far as it may go.

    By squared harm for each multiplication, which is best where many have to go; and by harm alone, which is best where
    one large layer does most of it.
    """
    keys: list[Callable[[Layer], float]] = [
        lambda layer: harms[layer.name] ** 2 / layer.multiplications,
        lambda layer: harms[layer.name],
    ]
    return [_as_many_as_may(sorted(layers, key=key, reverse=True)) for key in keys]


def holds(paired: Paired, most_loss: float) -> bool:
    """Say whether scores are where they were, as far as so many pictures can tell.

    The AUROC of a few dozen pictures jumps by more than it matters. A loss that is no more than its own noise is
    allowed the double, and the displacement, which is measured more finely, has to be small in any case.
    """
    if not paired.displacement <= MOST_DISPLACEMENT:
        return False
    chance = paired.loss_interval[0] <= 0
    return paired.loss <= (most_loss if chance else most_loss / 2)


def _shortest(order: Sequence[Layer], fits: Callable[[Sequence[str]], bool]) -> tuple[list[Layer], bool]:
    """Find by bisection how many of the first layers it takes; returns those, or all, and whether they are enough."""
    names = [layer.name for layer in order]
    count = bisect_left(range(1, len(names) + 1), True, key=lambda count: fits(names[:count])) + 1
    return list(order[:count]), count <= len(names)


def _harm(quantizer: Quantizer, few: Yardstick, layer: Layer) -> float:
    others = [other.name for other in quantizer.layers if other != layer]
    return few.measure(quantizer.quantize(others).SerializeToString()).displacement


def _as_many_as_may(order: Sequence[Layer]) -> list[Layer]:
    """Return as many of the first layers as may stay float."""
    most = MOST_GIVEN_BACK * sum(layer.multiplications for layer in order)
    sums = accumulate(layer.multiplications for layer in order)
    return [layer for layer, multiplications in zip(order, sums, strict=True) if multiplications <= most]

"""Which layers of an int8 detector stay float: as few as it takes for its scores to stay where they are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

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
    of independent causes add up. Layers go back to float in the order of harm for each multiplication, and bisection
    finds how many.

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

    stay: tuple[str, ...] = ()
    if not fits(stay):
        order = order_by_harm(quantizer.layers, lambda layer: _harm(quantizer, few, layer))
        names = [layer.name for layer in order[: _most_given_back(order)]]
        count = bisect_left(range(1, len(names)), True, key=lambda count: fits(names[:count])) + 1
        stay = tuple(names[:count])
    return quantizer.quantize(stay), stay


def holds(paired: Paired, most_loss: float) -> bool:
    """Say whether scores are where they were, as far as so many pictures can tell.

    The AUROC of a few dozen pictures jumps by more than it matters. A loss that is no more than its own noise is
    allowed the double, and the displacement, which is measured more finely, has to be small in any case.
    """
    if not paired.displacement <= MOST_DISPLACEMENT:
        return False
    chance = paired.loss_interval[0] <= 0
    return paired.loss <= (most_loss if chance else most_loss / 2)


def order_by_harm(layers: Sequence[Layer], harm: Callable[[Layer], float]) -> list[Layer]:
    """Sort layers by squared harm for each multiplication, the largest first."""
    return sorted(layers, key=lambda layer: harm(layer) ** 2 / layer.multiplications, reverse=True)


def _harm(quantizer: Quantizer, few: Yardstick, layer: Layer) -> float:
    others = [other.name for other in quantizer.layers if other != layer]
    return few.measure(quantizer.quantize(others).SerializeToString()).displacement


def _most_given_back(order: Sequence[Layer]) -> int:
    """Return how many of the first layers may stay float."""
    most = MOST_GIVEN_BACK * sum(layer.multiplications for layer in order)
    count = 0
    while count < len(order) and sum(layer.multiplications for layer in order[: count + 1]) <= most:
        count += 1
    return count

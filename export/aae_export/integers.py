"""Numbers as 8-bit integers: real = scale * (integer - zero point).

As ONNX Runtime's processors want it: activations are uint8 with a scale and a zero point for the whole tensor, weights
int8 with a scale per output channel and zero point 0, biases int32 in the product of both scales (Jacob et al., arXiv
1712.05877; Krishnamoorthi, arXiv 1806.08342). Weights take 7 bits: processors without VNNI add two products of 8 bits
in 16, which overflows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WEIGHT_LEVELS = 64
"""Weights run from -64 to 64."""

_BIAS_LEVELS = 2**30
"""Half of what an int32 holds: the sum of products needs room beside the bias."""


@dataclass(frozen=True)
class Scale:
    """How a tensor of activations becomes uint8."""

    scale: float
    zero_point: int

    @classmethod
    def of_range(cls, low: float, high: float) -> Scale:
        """Cover a range; zero is always in it, and hit exactly: padding and rectified values are zeros."""
        low, high = min(low, 0.0), max(high, 0.0)
        if high - low < 1e-30:  # nothing ever happens there
            return cls(1.0, 0)
        # In the precision that the graph computes with, so that a test can foretell every integer.
        scale = float(np.float32((high - low) / 255))
        return cls(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def quantize_weights(
    weights: NDArray[np.float32], bias: NDArray[np.float32], input_scale: float
) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.float32]]:
    """Quantize the weights of a convolution.

    Args:
        weights: (out, in, h, w).
        bias: (out,).
        input_scale: Of the activations that come in.

    Returns:
        int8 weights, int32 bias, and the scale of the weights (out,); the bias's is that times `input_scale`.
    """
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1).astype(np.float64)
    # Where weights are next to nothing and the bias is not, the bias decides how fine the scale may be.
    scale = np.maximum(largest / WEIGHT_LEVELS, np.abs(bias) / (input_scale * _BIAS_LEVELS))
    scale = np.where(scale < 1e-30, 1.0, scale).astype(np.float32)
    integers = np.rint(weights / scale[:, None, None, None]).astype(np.int8)
    return integers, np.rint(bias / (np.float64(input_scale) * scale)).astype(np.int32), scale

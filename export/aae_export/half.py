"""An fp32 detector to fp16, for GPUs: half the memory traffic; pictures go in and maps come out as before."""

from __future__ import annotations

import onnx
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

_STAY = ("Log", "Exp", "Pow", "Sqrt", "ReduceSum", "ReduceMean", "Div", "MatMul", "Range", "CumSum", "Resize")
"""Where half precision runs out of range or of digits: logarithms of next to nothing, sums and quotients of squares."""


def to_half(model: bytes) -> onnx.ModelProto:
    """Convert a model; its inputs and outputs keep their types."""
    half: onnx.ModelProto = convert_float_to_float16(
        onnx.load_from_string(model), keep_io_types=True, op_block_list=list(_STAY)
    )
    ONNXModel(half).topological_sort()  # its casts stand at the end
    onnx.checker.check_model(half)
    return half

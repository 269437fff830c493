"""An fp32 detector to int8: convolutions of encoder, decoder and head by integers, the rest as it was.

ONNX Runtime's static quantization: scales are fixed from pictures that the detector is shown, weights have a scale per
output channel (Jacob et al., arXiv 1712.05877; Krishnamoorthi, arXiv 1806.08342). Weights take 7 bits: processors
without VNNI add two products of 8 bits in 16, which overflows.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

LEARNED = ("encoder.", "decoder.", "judge.head.")
"""Parts of the detector whose convolutions may be quantized; the others measure, and integers measure badly."""


class Quantizer:
    """A detector that was shown pictures, ready to be quantized in one way or another."""

    def __init__(self, model: bytes, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Note the range of everything inside while the detector looks at pictures.

        Args:
            model: The fp32 detector.
            pictures: Model inputs, HxWx3 uint8 BGR.
        """
        with tempfile.TemporaryDirectory() as scratch, _quiet():
            path, prepared = Path(scratch, "fp32.onnx"), Path(scratch, "prepared.onnx")
            path.write_bytes(model)
            # Folds constants and fuses what the quantizer looks for; shapes are known without symbolic inference.
            quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
            self._prepared = prepared.read_bytes()
            calibrator = create_calibrator(
                prepared,
                ["Conv"],
                augmented_model_path=str(Path(scratch, "augmented.onnx")),
                calibrate_method=CalibrationMethod.MinMax,
            )
            calibrator.collect_data(_Reader(pictures))
            self._ranges = calibrator.compute_data()
        proto = onnx.load_from_string(self._prepared)
        weights = {tensor.name for tensor in proto.graph.initializer if tensor.name.startswith(LEARNED)}
        self.nodes = tuple(
            node.name for node in proto.graph.node if node.op_type == "Conv" and weights.intersection(node.input[1:2])
        )
        """Names of the convolutions that may be quantized, from input to output."""

    def quantize(self, stay: Collection[str] = ()) -> onnx.ModelProto:
        """Make an int8 model; nodes in `stay` remain as they are."""
        proto = onnx.load_from_string(self._prepared)
        nodes = [name for name in self.nodes if name not in stay]
        if not nodes:  # an empty list means all of them to ONNX Runtime
            return proto
        with _quiet():
            quantizer = QDQQuantizer(
                proto,
                per_channel=True,
                reduce_range=True,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=self._ranges,
                nodes_to_quantize=nodes,
                nodes_to_exclude=[],
                op_types_to_quantize=["Conv"],
                extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
        quantized: onnx.ModelProto = quantizer.model.model
        onnx.checker.check_model(quantized)
        return quantized


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Gives pictures to ONNX Runtime one by one."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._pictures: Iterator[NDArray[np.uint8]] = iter(pictures)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {"image": picture[np.newaxis]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice to quantize in another way off the user's terminal."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

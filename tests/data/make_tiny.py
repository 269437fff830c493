"""Makes tests/data/tiny.onnx: a detector so simple that its answers can be worked out by hand.

Its reconstruction is plain gray (127). Its map is the mean absolute difference to that over cells of 4x4 pixels and
three channels, divided by 16; so a gray picture scores 0 and a white cell 8. Input 64x64, map 16x16, threshold 2.

usage: python tests/data/make_tiny.py        needs onnx; writes beside itself
"""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aae_detect.spec import METADATA_KEY, Calibration, GoldenSample, ModelSpec

INPUT_HW = (64, 64)
MAP_HW = (16, 16)
GRAY = 127
SCALE = 16.0


def tiny_graph() -> onnx.GraphProto:
    """Return the graph."""
    constants = {
        "gray": np.float32(GRAY),
        "zero": np.float32(0),
        "scale": np.float32(SCALE),
        "channel_axis": np.array([1], np.int64),
        "place_axes": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "gray"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["absolute"]),
        helper.make_node("Transpose", ["absolute"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["planes", "channel_axis"], ["plane"], keepdims=1),
        helper.make_node("AveragePool", ["plane"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Div", ["cells", "scale"], ["scaled"]),
        helper.make_node("Squeeze", ["scaled", "channel_axis"], ["anomaly_map"]),
        helper.make_node("ReduceMax", ["anomaly_map", "place_axes"], ["anomaly_score"], keepdims=0),
        helper.make_node("Mul", ["float", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "gray"], ["drawn"]),
        helper.make_node("Cast", ["drawn"], ["reconstruction"], to=TensorProto.UINT8),
    ]
    image_shape = ["batch", *INPUT_HW, 3]
    return helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, image_shape)],
        [
            helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, ["batch", *MAP_HW]),
            helper.make_tensor_value_info("anomaly_score", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("reconstruction", TensorProto.UINT8, image_shape),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )


def tiny_spec() -> ModelSpec:
    """Return the description; the golden sample is gray with one white 4x4 cell, which scores (255 - 127) / 16 = 8."""
    small = np.full((16, 16, 3), GRAY, np.uint8)
    small[4, 5] = 255
    packed = base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode("ascii")
    return ModelSpec(
        family="aae",
        input_hw=INPUT_HW,
        fit="stretch",
        map_hw=MAP_HW,
        colour_scale=(0.0, 4.0),
        threshold=2.0,
        calibration=Calibration("split", 99, 0.01, 0.01, 0.1, 0.5, 2.0),
        prior="normal",
        latent_dim=8,
        weights_sha256="0" * 64,
        golden=GoldenSample(packed, 8.0),
        versions={"aae-detect": "0.1.0"},
    )


def tiny_model(spec: ModelSpec | None = None, graph: onnx.GraphProto | None = None) -> onnx.ModelProto:
    """Put graph and description together."""
    model = helper.make_model(graph or tiny_graph(), opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, (spec or tiny_spec()).to_json()
    return model


if __name__ == "__main__":
    proto = tiny_model()
    onnx.checker.check_model(proto, full_check=True)
    path = Path(__file__).with_name("tiny.onnx")
    path.write_bytes(proto.SerializeToString())
    print(f"{path}: {path.stat().st_size} bytes")

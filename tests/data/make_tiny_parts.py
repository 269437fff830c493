"""Makes tests/data/tiny_export and tests/data/tiny_encoder.onnx: parts whose answers can be worked out by hand.

Pictures are 48x64, codes have 2 numbers in each of 3 x 4 places, so a place covers 16x16 pixels. A place's first number
says how blue it is and its second how red: 127 + 40 times the number, rounded; green is always 127. The encoder takes
the mean over each place the other way; the stochastic one, in tiny_export, adds half its noise to the code.

usage: python tests/data/make_tiny_parts.py        needs onnx; writes beside itself
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aae_detect.model_file import PART_KEY
from aae_detect.part_file import PICTURES, PartNote, Role

INPUT_HW = (48, 64)
LATENT_CHW = (2, 3, 4)
LATENT_DIM = 24
GRAY, GAIN, NOISE_GAIN = 127, 40, 0.5

_IMAGE_SHAPE = ["batch", *INPUT_HW, 3]
_CODE_SHAPE = ["batch", LATENT_DIM]


def encoder_graph(stochastic: bool) -> onnx.GraphProto:
    """Return image [, noise] -> latent."""
    constants = {
        "gray": np.float32(GRAY),
        "gain": np.float32(GAIN),
        "noise_gain": np.float32(NOISE_GAIN),
        "blue_and_red": np.array([0, 2], np.int64),
        "flat": np.array([-1, LATENT_DIM], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Gather", ["planes", "blue_and_red"], ["kept"], axis=1),
        helper.make_node("AveragePool", ["kept"], ["places"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Sub", ["places", "gray"], ["difference"]),
        helper.make_node("Div", ["difference", "gain"], ["numbers"]),
        helper.make_node("Reshape", ["numbers", "flat"], ["mean" if stochastic else "latent"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, _IMAGE_SHAPE)]
    if stochastic:
        inputs.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, _CODE_SHAPE))
        nodes += [
            helper.make_node("Mul", ["noise", "noise_gain"], ["spread"]),
            helper.make_node("Add", ["mean", "spread"], ["latent"]),
        ]
    else:
        del constants["noise_gain"]
    outputs = [helper.make_tensor_value_info("latent", TensorProto.FLOAT, _CODE_SHAPE)]
    return helper.make_graph(nodes, "tiny_encoder", inputs, outputs, _initializers(constants))


def decoder_graph(input_name: str, output_name: str) -> onnx.GraphProto:
    """Return code -> picture."""
    constants = {
        "grid": np.array([-1, *LATENT_CHW], np.int64),
        "grow": np.array([1, 1, 16, 16], np.float32),
        "gray": np.float32(GRAY),
        "gain": np.float32(GAIN),
        "zero": np.float32(0),
        "one_plane": np.array([0], np.int64),
        "white": np.float32(255),
        "order": np.array([0, 2, 1], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", [input_name, "grid"], ["places"]),
        helper.make_node("Resize", ["places", "", "grow"], ["grown"], mode="nearest"),
        helper.make_node("Mul", ["grown", "gain"], ["contrast"]),
        helper.make_node("Gather", ["contrast", "one_plane"], ["any"], axis=1),
        helper.make_node("Mul", ["any", "zero"], ["no_green"]),
        helper.make_node("Concat", ["contrast", "no_green"], ["blue_red_green"], axis=1),
        helper.make_node("Gather", ["blue_red_green", "order"], ["blue_green_red"], axis=1),
        helper.make_node("Add", ["blue_green_red", "gray"], ["drawn"]),
        helper.make_node("Clip", ["drawn", "zero", "white"], ["clipped"]),
        helper.make_node("Round", ["clipped"], ["rounded"]),
        helper.make_node("Transpose", ["rounded"], ["nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["nhwc"], [output_name], to=TensorProto.UINT8),
    ]
    inputs = [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, _CODE_SHAPE)]
    outputs = [helper.make_tensor_value_info(output_name, TensorProto.UINT8, _IMAGE_SHAPE)]
    return helper.make_graph(nodes, "tiny_decoder", inputs, outputs, _initializers(constants))


def tiny_note(role: Role, noise_dim: int) -> PartNote:
    """Return the note of a part."""
    return PartNote(
        role=role,
        family="aae",
        prior="normal",
        latent_dim=LATENT_DIM,
        latent_chw=LATENT_CHW,
        noise_dim=noise_dim,
        input_hw=INPUT_HW,
        fit="stretch",
        pictures=PICTURES,
        weights_sha256="0" * 64,
    )


def tiny_part(graph: onnx.GraphProto, note: PartNote) -> onnx.ModelProto:
    """Put graph and note together."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    entry = model.metadata_props.add()
    entry.key, entry.value = PART_KEY, note.to_json()
    return model


def _initializers(constants: dict[str, np.ndarray]) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]


if __name__ == "__main__":
    here = Path(__file__).parent
    parts = {
        "tiny_encoder.onnx": tiny_part(encoder_graph(stochastic=False), tiny_note("encoder", 0)),
        "tiny_export/encoder.onnx": tiny_part(encoder_graph(stochastic=True), tiny_note("encoder", LATENT_DIM)),
        "tiny_export/decoder.onnx": tiny_part(
            decoder_graph("latent", "reconstruction"), tiny_note("decoder", LATENT_DIM)
        ),
        "tiny_export/generator.onnx": tiny_part(
            decoder_graph("prior_sample", "picture"), tiny_note("generator", LATENT_DIM)
        ),
    }
    (here / "tiny_export").mkdir(exist_ok=True)
    for name, proto in parts.items():
        onnx.checker.check_model(proto, full_check=True)
        (here / name).write_bytes(proto.SerializeToString())
        print(f"{here / name}: {(here / name).stat().st_size} bytes")

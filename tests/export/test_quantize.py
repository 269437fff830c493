"""Integers in a graph: where they are, what they stand for, and that ONNX Runtime computes with them."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from aae_export.integer_plan import Wiring, make_plan, pixels_behind, repeats
from aae_export.integers import WEIGHT_LEVELS, Scale, quantize_weights
from aae_export.quantize import LEARNED, Quantizer
from aae_export.separation import put_defects


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (-7.3, 0.4), (2.0, 3.0), (-5.0, -4.0)])
def test_a_scale_covers_its_range_and_hits_zero(low: float, high: float) -> None:
    scale = Scale.of_range(low, high)
    values = np.linspace(min(low, 0), max(high, 0), 1001)
    integers = np.rint(values / scale.scale) + scale.zero_point
    assert -1 < integers.min() and integers.max() < 256  # the ends may fall half a step out, and saturate
    back = scale.scale * (np.clip(integers, 0, 255) - scale.zero_point)
    assert np.abs(back - values).max() <= scale.scale * 0.51
    assert 0 <= scale.zero_point <= 255
    assert scale.zero_point == (0 if low >= 0 else 255 if high <= 0 else scale.zero_point)


def test_what_never_happens_has_a_scale_too() -> None:
    assert Scale.of_range(0.0, 0.0) == Scale(1.0, 0)


def test_weights_have_a_scale_for_each_output(rng: np.random.Generator) -> None:
    weights = rng.normal(size=(5, 4, 3, 3)).astype(np.float32) * np.array([1e-3, 1, 10, 0.5, 0])[:, None, None, None]
    weights, bias = weights.astype(np.float32), np.array([100, 1, -2, 0, 3], np.float32)
    integers, integer_bias, scale = quantize_weights(weights, bias, 0.01)
    assert integers.dtype == np.int8 and np.abs(integers).max() == WEIGHT_LEVELS
    assert (np.abs(integers * scale[:, None, None, None] - weights) <= scale[:, None, None, None] / 2 + 1e-9).all()
    step = 0.01 * scale.astype(np.float64)
    assert (np.abs(integer_bias * step - bias) <= step / 2 + 1e-6).all()


def test_a_bias_beside_tiny_weights_does_not_overflow() -> None:
    weights, bias = np.full((1, 1, 1, 1), 1e-12, np.float32), np.array([5.0], np.float32)
    _, integer_bias, scale = quantize_weights(weights, bias, 0.02)
    assert 0 < integer_bias[0] < 2**31 - 1
    assert integer_bias[0] * 0.02 * float(scale[0]) == pytest.approx(5.0, rel=1e-5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def little_detector(rng: np.random.Generator) -> onnx.ModelProto:
    """Bytes, a convolution, x + conv(x), one pixel to four, a convolution that is measured: all that detectors have."""
    shapes = {
        "encoder.a.weight": (8, 3, 3, 3),
        "encoder.b.weight": (8, 8, 3, 3),
        "decoder.c.weight": (8, 10, 2, 2),
        "decoder.d.weight": (12, 10, 3, 3),
        "decoder.e.weight": (3, 12, 1, 1),
        "decoder.f.weight": (12, 8, 1, 1),
    }
    constants = {name: rng.normal(size=shape).astype(np.float32) / 6 for name, shape in shapes.items()}
    for name, count in zip("abcdef", (8, 8, 10, 12, 3, 12), strict=True):
        constants[f"{'encoder' if name < 'c' else 'decoder'}.{name}.bias"] = rng.normal(size=count).astype(np.float32)
    constants |= {
        "a": np.float32(127.5),
        "b": np.float32(1.0),
        "low": np.float32(-1),
        "high": np.float32(1),
        "twice": np.float32([1, 1, 2, 2]),
    }
    node, padded = helper.make_node, {"pads": [1, 1, 1, 1]}
    asymmetric = {"coordinate_transformation_mode": "asymmetric"}
    nodes = [
        node("Transpose", ["image"], ["bytes"], perm=[0, 3, 1, 2]),
        node("Cast", ["bytes"], ["cast"], to=onnx.TensorProto.FLOAT),
        node("Div", ["cast", "a"], ["divided"]),
        node("Sub", ["divided", "b"], ["picture"]),
        node("Conv", ["picture", "encoder.a.weight", "encoder.a.bias"], ["a1"], strides=[2, 2], **padded),
        node("Relu", ["a1"], ["a2"]),
        node("Conv", ["a2", "encoder.b.weight", "encoder.b.bias"], ["b1"], **padded),
        node("Add", ["a2", "b1"], ["b2"]),
        node("Relu", ["b2"], ["b3"]),
        node(
            "ConvTranspose", ["b3", "decoder.c.weight", "decoder.c.bias"], ["c1"], strides=[2, 2], kernel_shape=[2, 2]
        ),
        node("Relu", ["c1"], ["c2"]),
        node("Conv", ["c2", "decoder.d.weight", "decoder.d.bias"], ["d1"], **padded),
        node("Conv", ["b3", "decoder.f.weight", "decoder.f.bias"], ["f1"]),
        node("Resize", ["f1", "", "twice"], ["f2"], mode="nearest", nearest_mode="floor", **asymmetric),
        node("Add", ["d1", "f2"], ["d2"]),
        node("Conv", ["d2", "decoder.e.weight", "decoder.e.bias"], ["e1"]),
        node("Clip", ["e1", "low", "high"], ["drawn"]),
        node("Sub", ["picture", "drawn"], ["anomaly_map"]),
    ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["batch", 12, 16, 3])
    found = helper.make_tensor_value_info("anomaly_map", onnx.TensorProto.FLOAT, ["batch", 3, 12, 16])
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "little", [image], [found], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, image: np.ndarray, output: str = "anomaly_map") -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], {"image": image})[0])


def test_integers_say_what_floats_say(rng: np.random.Generator) -> None:
    """In a graph of every kind of layer, at batch 1 and 3: a byte in the wrong place would be far out."""
    fp32 = little_detector(rng)
    pictures = rng.integers(0, 256, (6, 12, 16, 3), np.uint8)
    quantizer = Quantizer(fp32.SerializeToString(), pictures, pictures)
    assert [layer.name for layer in quantizer.layers] == [
        "encoder.a",
        "encoder.b",
        "decoder.c",
        "decoder.d",
        "decoder.f",
    ]
    counts = [6 * 8 * 8 * 27, 6 * 8 * 8 * 72, 6 * 8 * 8 * 40, 12 * 16 * 12 * 90, 6 * 8 * 12 * 8]
    assert [layer.multiplications for layer in quantizer.layers] == counts
    int8 = quantizer.quantize()
    for images in (pictures[:1], pictures[:3]):
        expected, found = run(fp32, images), run(int8, images)
        assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999
    assert (
        run(quantizer.quantize(["encoder.a", "encoder.b", "decoder.c", "decoder.d", "decoder.f"]), pictures[:1])
        == run(fp32, pictures[:1])
    ).all()


def test_bytes_go_in_as_they_are(rng: np.random.Generator) -> None:
    """No rounding of the picture: the first convolution errs by its weights and by its result's step only."""
    fp32 = little_detector(rng)
    wiring = Wiring(fp32.graph)
    pixels = pixels_behind(wiring, "picture")
    assert pixels is not None and (pixels.name, pixels.zero) == ("bytes", 127.5)
    assert pixels.scale == pytest.approx(1 / 127.5)
    assert pixels_behind(wiring, "a2") is None and pixels_behind(wiring, "image") is None
    pictures = rng.integers(0, 256, (4, 12, 16, 3), np.uint8)
    quantizer = Quantizer(fp32.SerializeToString(), pictures, pictures)
    model = quantizer.quantize(["encoder.b", "decoder.c", "decoder.d", "decoder.f"])
    assert [node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"] == ["a2"]
    reads = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    assert reads["picture.real"] == "bytes"
    assert ["picture", "drawn"] in [
        list(node.input) for node in model.graph.node
    ]  # what measures sees the true picture
    for proto in (fp32, model):
        proto.graph.output.append(helper.make_tensor_value_info("a2", onnx.TensorProto.FLOAT, None))
    gap = np.abs(run(model, pictures, "a2") - run(fp32, pictures, "a2"))[:, :, 1:, 1:]  # but for the padding
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    of_weights = 27 * constants["a1.weight.scale"] / 2
    assert (gap.max(axis=(0, 2, 3)) <= of_weights + constants["a2.scale"] / 2 + 1e-3).all()


def test_sums_join_where_both_terms_are_integers(rng: np.random.Generator) -> None:
    wiring = Wiring(little_detector(rng).graph)
    learned = ["a1", "b1", "c1", "d1", "e1", "f1"]
    assert make_plan(wiring, ["a1", "b1"], learned).nodes == {"a1", "b1", "b2"}
    assert make_plan(wiring, ["a1", "b1"], learned).tensors == {"picture", "a2", "b1", "b3"}
    assert make_plan(wiring, ["a1"], learned).nodes == {"a1"}
    assert make_plan(wiring, ["b1"], learned).nodes == {"b1", "b2"}  # b1 wants its other term as integers, too
    assert make_plan(wiring, ["b1"], learned).made == {"b1", "b3"}
    assert make_plan(wiring, ["f1"], learned).nodes == {"f1", "f2"}  # repeating integers takes no arithmetic
    assert make_plan(wiring, ["d1", "f1"], learned).nodes == {"d1", "f1", "f2", "d2"}
    assert make_plan(wiring, [], learned).tensors == set()


@pytest.mark.parametrize(
    "changed", [{"mode": "linear"}, {"nearest_mode": "ceil"}, {"coordinate_transformation_mode": "align_corners"}]
)
def test_only_what_repeats_every_pixel_takes_integers_as_they_are(
    rng: np.random.Generator, changed: dict[str, str]
) -> None:
    fp32 = little_detector(rng)
    (resize,) = (node for node in fp32.graph.node if node.op_type == "Resize")
    assert repeats(Wiring(fp32.graph), resize)
    for attribute in [each for each in resize.attribute if each.name in changed]:
        resize.attribute.remove(attribute)
    resize.attribute.extend(helper.make_attribute(name, value) for name, value in changed.items())
    assert not repeats(Wiring(fp32.graph), resize)


@pytest.fixture(scope="module")
def quantizer(small_export: Path, demo_pictures: Path) -> Quantizer:
    from aae_detect.picture_source import read_picture
    from aae_detect.preprocess import prepare

    good = [prepare(read_picture(demo_pictures / f"{number}.png"), (64, 96), "stretch")[0] for number in range(6)]
    return Quantizer((small_export / "detector.onnx").read_bytes(), good, put_defects(good))


def test_only_what_was_learned_is_quantized(quantizer: Quantizer) -> None:
    names = [layer.name for layer in quantizer.layers]
    assert all(name.startswith(LEARNED) for name in names)
    assert {"encoder.trunk.0", "encoder.posterior.mean", "decoder.trunk.0", "judge.head.stem.1"} <= set(names)
    assert "judge.head.look.drawing" not in names, "few channels, and none that are bytes already"
    assert "judge.head.look.picture" not in names, "bytes, but what it makes is added to floats"
    assert not {"judge.head.out.3", "decoder.trunk.14"} & set(names), "logits and drawing are measured"
    kept = {tensor.name for tensor in quantizer.quantize().graph.initializer}
    assert not any(f"{layer.name}.weight" in kept for layer in quantizer.layers)
    assert "judge.describe.first" in kept and "judge.places.factors" in kept


def test_onnxruntime_runs_integers_through(quantizer: Quantizer, tmp_path: Path) -> None:
    """Every layer and every sum between layers gets an integer kernel, and little is turned to floats and back."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(quantizer.quantize().SerializeToString(), options)
    optimized = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert optimized["QLinearConv"] == len(quantizer.layers)
    assert optimized["QLinearAdd"] == 3  # where the head's branches meet
    assert optimized["QuantizeLinear"] <= 2 and optimized["DequantizeLinear"] <= 4


def test_layers_that_stay_have_no_integers(quantizer: Quantizer) -> None:
    names = [layer.name for layer in quantizer.layers]

    def turns(stay: list[str]) -> int:
        return [node.op_type for node in quantizer.quantize(stay).graph.node].count("DequantizeLinear")

    assert turns([]) > turns(names[:3]) > turns(names[1:]) > turns(names) == 0
    kept = {tensor.name for tensor in quantizer.quantize(names[:2]).graph.initializer}
    assert {f"{name}.weight" in kept for name in names[:2]} == {True}
    assert not any(f"{name}.weight" in kept for name in names[2:])

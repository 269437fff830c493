"""A detector in another precision: made, measured against the fp32 one, and refused where it costs too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from aae_detect.bench.dataset import LabelledSet
from aae_detect.detector import Detector
from aae_detect.errors import ModelError
from aae_detect.golden import golden_input
from aae_detect.spec import METADATA_KEY, GoldenSample, ModelSpec
from aae_export.half import to_half
from aae_export.quantize import Quantizer
from aae_export.separation import labelled_auroc, measure_scores, put_defects, separation, time_ratio
from aae_train.calibration import colour_scale, conformal_threshold

Precision = Literal["fp16", "int8"]

MOST_LOSS = 0.01
"""Image AUROC that a precision may cost."""

TOLERANCE: dict[Precision, float] = {"fp16": 0.05, "int8": 0.5}
"""How far scores of good pictures may lie from fp32's after the common shift: median, in their standard deviations."""

_MOST_SHOWN, _MOST_TRIED, _MOST_JUDGED = 48, 32, 100
"""Pictures that ranges are taken from, that float layers are chosen by, and that the cost is measured on."""


@dataclass(frozen=True)
class Material:
    """Pictures at the model's input size, HxWx3 uint8 BGR."""

    shown: Sequence[NDArray[np.uint8]]
    """Good ones to take ranges from: the run's select pictures."""

    held_back: Sequence[NDArray[np.uint8]]
    """Good ones for the threshold and for what it finds: the calibrate pictures."""

    labelled: LabelledSet | None = None


@dataclass(frozen=True)
class Cost:
    """What a precision costs and brings, beside fp32 in the same run."""

    precision: Precision
    auroc_fp32: float
    auroc: float
    judged_on: str
    """`labelled pictures`, or `synthetic defects` where there are none."""

    threshold_fp32: float
    threshold: float
    score_shift: float
    """Median change of a good picture's score."""

    score_noise: float
    """Median distance from that, in standard deviations of good pictures' scores."""

    time_ratio: float
    """Time of one inference over the fp32 model's, medians of runs in turn, two threads."""

    stayed_float: tuple[str, ...]

    @property
    def loss(self) -> float:
        """Image AUROC lost; below 0 where it was won."""
        return self.auroc_fp32 - self.auroc

    def to_dict(self) -> dict[str, Any]:
        """Describe it for `export.json`."""
        return asdict(self) | {"loss": self.loss}


def make_precision(fp32: Path, out: Path, precision: Precision, material: Material, force: bool = False) -> Cost:
    """Write a detector in another precision beside the fp32 one.

    Args:
        fp32: The exported fp32 detector.
        out: The file to write.
        precision: What to make.
        material: Pictures to make and to measure it with.
        force: Write it also where it costs too much.

    Raises:
        ModelError: it costs more than `MOST_LOSS` of image AUROC, or its scores are too far from the fp32 model's.
    """
    content = fp32.read_bytes()
    spec = _read_spec(content)
    stay: tuple[str, ...] = ()
    good = _some(material.held_back or material.shown, _MOST_JUDGED)
    defective = put_defects(good)
    if precision == "fp16":
        model = to_half(content)
    else:
        model, stay = _quantize(
            content, _some(material.shown, _MOST_SHOWN), good[:_MOST_TRIED], defective[:_MOST_TRIED]
        )
    before, after = measure_scores(content, good), measure_scores(model.SerializeToString(), good)
    shift = float(np.median(after - before))
    if spec.calibration.method == "split":
        every = measure_scores(model.SerializeToString(), material.held_back)
        threshold = conformal_threshold(every, spec.calibration.target_frr, "split").value
    else:  # the pictures' scores came from models that are not exported; this one is as far from fp32 as on good ones
        threshold = spec.threshold + shift
    _write(out, model, _with_precision(spec, precision, threshold, model))
    auroc_fp32 = separation(before, measure_scores(content, defective))
    auroc = separation(after, measure_scores(model.SerializeToString(), defective))
    judged_on = "synthetic defects"
    if material.labelled is not None:
        auroc_fp32, auroc = (labelled_auroc(path, material.labelled) for path in (fp32, out))
        judged_on = "labelled pictures"
    cost = Cost(
        precision=precision,
        auroc_fp32=auroc_fp32,
        auroc=auroc,
        judged_on=judged_on,
        threshold_fp32=spec.threshold,
        threshold=threshold,
        score_shift=shift,
        score_noise=float(np.median(np.abs(after - before - shift)) / max(float(before.std()), 1e-9)),
        time_ratio=time_ratio(model.SerializeToString(), content, good[0]),
        stayed_float=stay,
    )
    if not force:
        _require(cost, out)
    return cost


def _require(cost: Cost, out: Path) -> None:
    """Take a file back that costs too much."""
    problems = []
    if not cost.loss <= MOST_LOSS:
        problems.append(f"image AUROC falls from {cost.auroc_fp32:.3f} to {cost.auroc:.3f} on {cost.judged_on}")
    if not cost.score_noise <= TOLERANCE[cost.precision]:
        problems.append(f"scores of good pictures move by {cost.score_noise:.2f} of their standard deviation")
    if problems:
        out.unlink()
        raise ModelError(
            f"{cost.precision} costs too much: {', and '.join(problems)}; allowed are {MOST_LOSS:.2f} of AUROC and "
            f"{TOLERANCE[cost.precision]:g}. Keep fp32, or write it nevertheless with --force"
        )


def _quantize(
    fp32: bytes,
    shown: Sequence[NDArray[np.uint8]],
    good: Sequence[NDArray[np.uint8]],
    defective: Sequence[NDArray[np.uint8]],
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Quantize all that may be, then give layers back to float, the most harmful first, until it costs little."""
    quantizer = Quantizer(fp32, shown)
    expected = measure_scores(fp32, good), measure_scores(fp32, defective)
    allowed = separation(*expected) - MOST_LOSS / 2

    def damage(model: onnx.ModelProto) -> tuple[float, float]:
        """Return how far scores lie off on average, and the AUROC."""
        content = model.SerializeToString()
        found = measure_scores(content, good), measure_scores(content, defective)
        gap = np.concatenate(found) - np.concatenate(expected)
        return float(np.abs(gap - np.median(gap)).mean()), separation(*found)

    stay: list[str] = []
    while True:
        model = quantizer.quantize(stay)
        if damage(model)[1] >= allowed or len(stay) >= len(quantizer.nodes) // 2:
            return model, tuple(stay)
        others = [name for name in quantizer.nodes if name not in stay]
        stay.append(min(others, key=lambda name: damage(quantizer.quantize([*stay, name]))[0]))


def _some(pictures: Sequence[NDArray[np.uint8]], most: int) -> list[NDArray[np.uint8]]:
    """Take so many at the most, evenly spread."""
    places = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)
    return [pictures[place] for place in places]


def _read_spec(model: bytes) -> ModelSpec:
    notes = {entry.key: entry.value for entry in onnx.load_from_string(model).metadata_props}
    return ModelSpec.from_json(notes[METADATA_KEY])


def _with_precision(spec: ModelSpec, precision: Precision, threshold: float, model: onnx.ModelProto) -> ModelSpec:
    """Describe the new model: its own threshold, and the golden sample's score as it gives it here."""
    score = measure_scores(model.SerializeToString(), [golden_input(spec)])[0]
    golden = GoldenSample(spec.golden.picture_png_base64, float(score))
    return replace(spec, precision=precision, threshold=threshold, colour_scale=colour_scale(threshold), golden=golden)


def _write(path: Path, model: onnx.ModelProto, spec: ModelSpec) -> None:
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, spec.to_json()
    path.write_bytes(model.SerializeToString())
    Detector.load(path, provider="cpu")  # the golden sample must reproduce here, at least

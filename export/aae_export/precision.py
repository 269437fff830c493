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
from aae_detect.errors import AaeDetectError, ModelError
from aae_detect.golden import golden_input
from aae_detect.spec import METADATA_KEY, GoldenSample, ModelSpec
from aae_detect.threshold import colour_scale, with_scores
from aae_export.displacement import Paired, Yardstick
from aae_export.float_layers import find_float_layers
from aae_export.half import to_half
from aae_export.on_demand import OnDemand
from aae_export.quantize import Quantizer
from aae_export.separation import labelled_scores, measure_scores, put_defects, time_ratio

Precision = Literal["fp16", "int8"]

MOST_LOSS = 0.01
"""Image AUROC that a precision may cost."""

TOLERANCE: dict[Precision, float] = {"fp16": 0.05, "int8": 0.5}
"""How far scores of good pictures may lie from fp32's after the common shift: median, in their standard deviations."""

_MOST_SHOWN, _MOST_TRIED, _MOST_JUDGED = 24, 16, 100
"""Good pictures that ranges are taken from, that each layer is tried with, and that the cost is measured on; as many
with synthetic defects come to them."""


@dataclass(frozen=True)
class Material:
    """Pictures at the model's input size, HxWx3 uint8 BGR."""

    shown: Sequence[NDArray[np.uint8]]
    """Good ones to take ranges from, and to choose float layers by: the run's select pictures."""

    held_back: Sequence[NDArray[np.uint8]]
    """Good ones for the threshold and for what it finds: the calibrate pictures."""

    labelled: LabelledSet | None = None
    """Those that can be read."""

    left_out: tuple[str, ...] = ()
    """Labelled pictures that cannot, each with the reason."""

    inside: NDArray[np.bool_] | None = None
    """(H, W), where the model looks; None: everywhere."""


@dataclass(frozen=True)
class Cost:
    """What a precision costs and brings, beside fp32 in the same run."""

    precision: Precision
    auroc_fp32: float
    auroc: float
    loss_interval: tuple[float, float]
    """Bootstrap interval of what is lost, 95 %: of one minus the other on the same pictures."""

    judged_on: str
    """`labelled pictures`, or `synthetic defects` where there are none."""

    threshold_fp32: float
    threshold: float
    score_shift: float
    """Median change of a good picture's score."""

    score_noise: float
    """Median distance from that, in standard deviations of good pictures' scores."""

    displacement: float
    """Root mean square of the changes of all scores, beside what tells good pictures from defective ones."""

    time_ratio: float
    """Time of one inference over the fp32 model's, medians of runs in turn, two threads."""

    stayed_float: tuple[str, ...]

    @property
    def loss(self) -> float:
        """Image AUROC lost; below 0 where it was won."""
        return self.auroc_fp32 - self.auroc

    def describe(self) -> str:
        """Say it to a person."""
        lost, low, high = (100 * value for value in (self.loss, *self.loss_interval))
        words = (
            f"{self.precision}: image AUROC {self.auroc:.4f}, fp32 {self.auroc_fp32:.4f} on {self.judged_on} "
            f"({lost:+.2f} points lost, 95 % interval {low:+.2f} to {high:+.2f}); threshold {self.threshold:.4g}, fp32 "
            f"{self.threshold_fp32:.4g}; {self.time_ratio:.2f} of fp32's time on this CPU"
        )
        if self.stayed_float:
            words += f"\nstayed float, because they would cost most: {', '.join(self.stayed_float)}"
        return words

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
        ModelError: it costs more than `MOST_LOSS` of image AUROC, its scores are too far from the fp32 model's, or it
            cannot be made here.
    """
    try:
        return _make(fp32, out, precision, material, force)
    except AaeDetectError:
        raise
    except Exception as error:  # of onnx, its quantizer or ONNX Runtime, which share no public base class
        first_line = next(iter(str(error).splitlines()), "")
        raise ModelError(
            f"{precision} cannot be made here ({type(error).__name__}: {first_line:.300}). Keep fp32"
        ) from error


def _make(fp32: Path, out: Path, precision: Precision, material: Material, force: bool) -> Cost:
    content = fp32.read_bytes()
    spec = _read_spec(content)
    stay: tuple[str, ...] = ()
    if precision == "fp16":
        model = to_half(content)
    else:
        model, stay = _quantize(content, material.shown, material.inside)
    judged_by = _yardstick(content, material.held_back or material.shown, _MOST_JUDGED, material.inside)
    paired = judged_by.measure(model.SerializeToString())
    threshold, scores = spec.threshold + paired.shift, np.asarray(spec.calibration.scores) + paired.shift
    if spec.calibration.method == "split":
        before, after = (measure_scores(each, material.held_back) for each in (content, model.SerializeToString()))
        scores = np.sort(after)
        threshold = carry_over(spec.threshold, spec.calibration.extrapolated, before, after, paired.shift)
    # Else the pictures' scores came from models that are not exported; this one is as far from fp32 as on good ones.
    _write(out, model, _with_precision(spec, precision, threshold, scores, model))
    judged, judged_on = paired, "synthetic defects"
    if material.labelled is not None:
        labelled = [labelled_scores(path, material.labelled) for path in (fp32, out)]
        (good, defective), judged_on = zip(*labelled, strict=True), "labelled pictures"
        judged = Paired(good, defective)
    cost = Cost(
        precision=precision,
        auroc_fp32=judged.auroc[0],
        auroc=judged.auroc[1],
        loss_interval=judged.loss_interval,
        judged_on=judged_on,
        threshold_fp32=spec.threshold,
        threshold=threshold,
        score_shift=paired.shift,
        score_noise=paired.score_noise,
        displacement=paired.displacement,
        time_ratio=time_ratio(model.SerializeToString(), content, material.shown[0]),
        stayed_float=stay,
    )
    if not force:
        _require(cost, out)
    return cost


def carry_over(
    threshold: float, extrapolated: bool, before: NDArray[np.float64], after: NDArray[np.float64], shift: float
) -> float:
    """Take a threshold to where it promises what it did: by rank, as far as it lies among the scores.

    An extrapolated one goes with the shift, but never below the highest score, all of which it counts as passed.
    """
    ranked = same_rank(threshold, before, after)
    return max(threshold + shift, ranked) if extrapolated else ranked


def same_rank(threshold: float, before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Take a threshold to where it lets as many of the same good pictures pass as before: what it promises holds on.

    Args:
        threshold: One of the scores `before`, or so nearly as another runtime computes it.
        before: (N,) scores of the detector that it was set for.
        after: (N,) scores of the other one.
    """
    passed = int((before <= threshold + 1e-3 * max(1.0, abs(threshold))).sum())
    return float(np.sort(after)[max(1, passed) - 1])


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
    fp32: bytes, pictures: Sequence[NDArray[np.uint8]], inside: NDArray[np.bool_] | None
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Make an int8 detector with pictures that the threshold does not rest on; returns it and what stayed float."""
    shown = _some(pictures, _MOST_SHOWN)
    quantizer = Quantizer(fp32, shown, put_defects(shown, inside=inside))
    few, many = (_yardstick(fp32, pictures, most, inside) for most in (_MOST_TRIED, _MOST_JUDGED))
    return find_float_layers(quantizer, few, many, MOST_LOSS)


def _yardstick(
    fp32: bytes, pictures: Sequence[NDArray[np.uint8]], most: int, inside: NDArray[np.bool_] | None
) -> Yardstick:
    good = _some(pictures, most)
    return Yardstick(fp32, good, put_defects(good, most, inside))


def _some(pictures: Sequence[NDArray[np.uint8]], most: int) -> OnDemand:
    """Take so many at the most, evenly spread."""
    places = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)
    return OnDemand(len(places), lambda number: pictures[int(places[number])])


def _read_spec(model: bytes) -> ModelSpec:
    notes = {entry.key: entry.value for entry in onnx.load_from_string(model).metadata_props}
    return ModelSpec.from_json(notes[METADATA_KEY])


def _with_precision(
    spec: ModelSpec, precision: Precision, threshold: float, scores: NDArray[np.float64], model: onnx.ModelProto
) -> ModelSpec:
    """Describe the new model: its own threshold and good scores, and the golden sample's score as it gives it here."""
    score = measure_scores(model.SerializeToString(), [golden_input(spec)])[0]
    golden = GoldenSample(spec.golden.picture_png_base64, float(score))
    return replace(
        spec,
        precision=precision,
        threshold=threshold,
        colour_scale=colour_scale(threshold),
        calibration=with_scores(spec.calibration, scores),
        golden=golden,
    )


def _write(path: Path, model: onnx.ModelProto, spec: ModelSpec) -> None:
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, spec.to_json()
    path.write_bytes(model.SerializeToString())
    Detector.load(path, provider="cpu")  # the golden sample must reproduce here, at least

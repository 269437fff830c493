"""What travels inside `detector.onnx` beside the graph: the ModelSpec, as JSON in the ONNX metadata."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from aae_detect.checked_json import read_dataclass
from aae_detect.errors import ModelError

METADATA_KEY = "aae_detect.spec"
SCHEMA_VERSION = 1

Fit = Literal["stretch", "letterbox", "crop"]
FITS: tuple[Fit, ...] = get_args(Fit)
BITS = (10, 12, 16)
"""Depths that uint16 pictures may carry."""


@dataclass(frozen=True)
class Calibration:
    """Where the threshold came from."""

    method: str
    """`split`: scores of pictures that nothing else touched; `cross-fit`: each picture scored by a model that never
    saw it; `site`: frames of the camera that it is for."""

    count: int
    """Good pictures whose scores the threshold rests on."""

    target_frr: float
    """False-reject rate that was asked for, 0 to 1."""

    promised_frr: float
    """False-reject rate that the pictures can support, 0 to 1; above `target_frr` where they are too few, or worth too
    few independent ones."""

    score_min: float
    score_median: float
    score_max: float

    bound_frr: float = 1.0
    """The realised false-reject rate lies below this with a confidence of 95 %; 1 where nothing is known."""

    extrapolated: bool = False
    """Whether the threshold was read from a fitted tail, because `count` scores do not reach so far."""

    effective_count: int = 0
    """What the pictures are worth as a number of independent ones; 0 where nobody looked."""

    scores: tuple[float, ...] = ()
    """The scores themselves, ascending, for p-values; none in files of older versions."""

    def __post_init__(self) -> None:
        rates = self.target_frr, self.promised_frr, self.bound_frr
        if not all(map(math.isfinite, (*rates, self.score_min, self.score_median, self.score_max))):
            raise ValueError("the rates and scores of the calibration are not finite numbers")
        if not all(map(math.isfinite, self.scores)) or list(self.scores) != sorted(self.scores):
            raise ValueError("the scores of the calibration are not finite numbers in ascending order")


@dataclass(frozen=True)
class GoldenSample:
    """A small good picture with the score that it must give: proves graph, provider and machine at once."""

    picture_png_base64: str
    """PNG, 8-bit BGR, a whole fraction of the input size; blown up by repeating pixels, without resampling."""

    score: float
    """`anomaly_score` of that picture, computed by the trained model itself on a CPU in fp32."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything a runtime has to know about a detector, checked when it is made."""

    family: str
    """Model family, `aae`."""

    input_hw: tuple[int, int]
    """Height and width of the model's input, pixels."""

    fit: Fit
    """How a frame is put into the input."""

    map_hw: tuple[int, int]
    """Height and width of `anomaly_map`, cells; divides `input_hw`."""

    colour_scale: tuple[float, float]
    """Map values drawn as the coldest and the hottest colour; the same for every frame."""

    threshold: float
    """A frame is NG when its `anomaly_score` lies above this."""

    calibration: Calibration

    prior: str
    """Prior of the latent code, `normal`."""

    latent_dim: int
    """Length of the latent code."""

    weights_sha256: str
    """SHA-256 of the `model.safetensors` that this was exported from, lower-case hex."""

    golden: GoldenSample

    versions: dict[str, str]
    """Library versions at export."""

    precision: str = "fp32"
    """Numeric type of the graph; tolerances follow from it."""

    colour: str = "BGR"
    """Order of the input's channels."""

    bits: int = 16
    """Depth that the 16-bit pictures carried that it learned from: 10, 12 or 16."""

    drawing_step: int = 1
    """Pixels of the input to one of `reconstruction`: what a narrow code draws is smooth, and half the size will do."""

    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        problems = []
        if self.schema_version != SCHEMA_VERSION:
            problems.append(f"schema_version {self.schema_version} is not {SCHEMA_VERSION}")
        if self.colour != "BGR":
            problems.append(f"colour {self.colour!r} is not BGR")
        for name, (height, width) in (("input_hw", self.input_hw), ("map_hw", self.map_hw)):
            if not (1 <= height <= 16384 and 1 <= width <= 16384):
                problems.append(f"{name} {height}x{width} lies outside 1 to 16384")
        if not problems and (self.input_hw[0] % self.map_hw[0] or self.input_hw[1] % self.map_hw[1]):
            problems.append(f"map_hw {self.map_hw} does not divide input_hw {self.input_hw}")
        if self.bits not in BITS:
            problems.append(f"bits {self.bits} is none of {', '.join(map(str, BITS))}")
        step = self.drawing_step
        if step < 1 or self.input_hw[0] % step or self.input_hw[1] % step:
            problems.append(f"drawing_step {step} does not divide input_hw {self.input_hw}")
        low, high = self.colour_scale
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            problems.append(f"colour_scale {low} to {high} does not rise")
        if not math.isfinite(self.threshold):
            problems.append(f"threshold {self.threshold} is not finite")
        if not math.isfinite(self.golden.score):
            problems.append(f"golden score {self.golden.score} is not finite")
        if problems:
            raise ModelError(f"the model's description is wrong: {'; '.join(problems)}; export the model again")

    @property
    def drawn_hw(self) -> tuple[int, int]:
        """Height and width of `reconstruction`, pixels."""
        return self.input_hw[0] // self.drawing_step, self.input_hw[1] // self.drawing_step

    def to_json(self) -> str:
        """Return the description as compact JSON, as `from_json` reads it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read a description.

        Raises:
            ModelError: not JSON, of a newer schema, with a field missing, unknown or of the wrong type.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the model's description is not JSON ({error}); export the model again") from error
        if not isinstance(data, dict):
            raise ModelError("the model's description is not a JSON object; export the model again")
        version = data.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ModelError(
                f"the model's description has schema version {version}, this aae-detect reads up to {SCHEMA_VERSION}; "
                "upgrade aae-detect on this machine"
            )
        try:
            return read_dataclass(cls, data, "description")
        except (TypeError, ValueError) as error:
            raise ModelError(f"the model's description cannot be read: {error}; export the model again") from error

"""The golden sample: a picture inside the model with the score that it must give on every machine."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.errors import ModelError
from aae_detect.picture_bytes import encode_picture
from aae_detect.scoring import score_map
from aae_detect.spec import ModelSpec

EXACT_TOLERANCE = 1e-3
"""Relative, for fp32 on a CPU: only the order of additions differs between machines."""

LOOSE_TOLERANCE = 2e-2
"""Relative, for anything else: other number formats and providers round otherwise."""


def encode_golden(input_bgr: NDArray[np.uint8], blow_up: int) -> str:
    """Shrink a model input by a whole factor and pack it as base64 PNG.

    Args:
        input_bgr: HxWx3 uint8 of the model's input size.
        blow_up: Factor; divides both sides.
    """
    height, width = input_bgr.shape[:2]
    small = cv2.resize(input_bgr, (width // blow_up, height // blow_up), interpolation=cv2.INTER_AREA)
    return base64.b64encode(encode_picture(".png", small.astype(np.uint8, copy=False))).decode("ascii")


def golden_input(spec: ModelSpec) -> NDArray[np.uint8]:
    """Unpack the golden sample to the model's input, HxWx3 uint8 BGR, by repeating pixels.

    Raises:
        ModelError: the sample is not a picture, or its size does not divide the input's.
    """
    return decode_golden(spec.golden.picture_png_base64, spec.input_hw)


def decode_golden(picture_png_base64: str, input_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """As `golden_input`, from the packed picture and the input's size."""
    problem = "the golden sample in the model is damaged; export the model again"
    try:
        packed = np.frombuffer(base64.b64decode(picture_png_base64, validate=True), np.uint8)
        small = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    except (binascii.Error, ValueError, cv2.error) as error:
        raise ModelError(problem) from error
    if small is None or input_hw[0] % small.shape[0] or input_hw[1] % small.shape[1]:
        raise ModelError(problem)
    rows, columns = input_hw[0] // small.shape[0], input_hw[1] // small.shape[1]
    return np.ascontiguousarray(small.repeat(rows, axis=0).repeat(columns, axis=1), dtype=np.uint8)


def run_golden(spec: ModelSpec, run: Callable[[NDArray[np.uint8]], Any], provider: str) -> None:
    """Have a model judge its golden sample, and compare.

    Args:
        spec: The model's description.
        run: Gives maps (N, h, w) and reconstructions of pictures (N, H, W, 3) uint8 BGR at model size.
        provider: The execution provider that it runs on.

    Raises:
        ModelError: the model does not run, or as `golden_input` and `check_golden`.
    """
    maps, _ = run_or_refuse(run, golden_input(spec)[np.newaxis], provider)
    check_golden(spec, score_map(maps[0]), provider)


def run_or_refuse(run: Callable[[NDArray[np.uint8]], Any], pictures: NDArray[np.uint8], provider: str) -> Any:
    """Run a model that never ran before.

    Raises:
        ModelError: it does not run.
    """
    try:
        return run(pictures)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        first_line = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"the model loads and does not run on {provider}: {first_line:.300}; is there memory for it? See what "
            "`aae-detect --doctor` says, or use --provider cpu"
        ) from error


def check_golden(spec: ModelSpec, score: float, provider: str) -> None:
    """Compare the golden sample's score with the one that the model was shipped with.

    The difference is taken relative to the larger of score and threshold, because a score may lie near zero.

    Raises:
        ModelError: the scores differ by more than the tolerance.
    """
    exact = spec.precision == "fp32" and provider == "CPUExecutionProvider"
    tolerance = EXACT_TOLERANCE if exact else LOOSE_TOLERANCE
    scale = max(abs(spec.golden.score), abs(spec.threshold))
    if not abs(score - spec.golden.score) <= tolerance * scale:
        raise ModelError(
            f"the model does not answer as it was made to: its golden sample scores {score:.6g} on {provider}, "
            f"expected {spec.golden.score:.6g} within {tolerance:g}; the file, the provider or this machine is at "
            "fault: try --provider cpu, or export the model again"
        )

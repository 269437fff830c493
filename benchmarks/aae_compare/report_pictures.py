"""The pictures of the report: the same parts through every family, samples, codes; all from the exported files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_compare.exported import Exported
from aae_compare.pictures import HeldBack
from aae_compare.plots import latent_svg, plane_of
from aae_detect._opencv import cv2
from aae_detect.bench.dataset import LabelledPicture, LabelledSet, read_mask
from aae_detect.detector import Detector
from aae_detect.geometry import resize
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import to_bgr8

GOOD_PARTS, DEFECTIVE_PARTS = 2, 4
SAMPLES = 16
_PART_SIDE, _CELL = 200, 92
_LATENT_PICTURES, _LATENT_POINTS = 64, 500
_SEED = 99


@dataclass(frozen=True, eq=False)
class Seen:
    """What one family makes of one part; pictures as data URIs."""

    reconstruction: str
    heat: str
    verdict: str
    score: float
    threshold: float


def choose_parts(labelled: LabelledSet) -> list[LabelledPicture]:
    """Choose parts to show by chance and before any family has seen them, kinds of defect in turn, then good ones."""
    rng = np.random.default_rng(_SEED)
    by_kind = {
        kind: list(rng.permutation(np.array([p for p in labelled.pictures if p.kind == kind], dtype=object)))
        for kind in labelled.kinds
    }
    chosen: list[LabelledPicture] = []
    while len(chosen) < DEFECTIVE_PARTS and any(by_kind.values()):
        for pictures in by_kind.values():
            if pictures and len(chosen) < DEFECTIVE_PARTS:
                chosen.append(pictures.pop())
    good = np.array([picture for picture in labelled.pictures if not picture.defective], dtype=object)
    return [*chosen, *rng.permutation(good)[:GOOD_PARTS]]


def draw_part(part: LabelledPicture) -> str:
    """Return a test picture, its defect outlined where a mask says where it is."""
    frame = to_bgr8(read_picture(part.path))
    height, width = frame.shape[:2]
    shown = resize(frame, _shown_hw((height, width)))
    if part.mask_path is not None:
        mask = read_mask(part.mask_path, (height, width)).astype(np.uint8)
        small = cv2.resize(mask, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
        around = cv2.dilate((small > 0).astype(np.uint8), np.ones((5, 5), np.uint8))  # beside the defect, not on it
        outlines, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        shown = cv2.drawContours(shown.copy(), outlines, -1, (230, 60, 230), 1, cv2.LINE_AA).astype(np.uint8)
    return to_uri(shown)


def look_at_parts(detector: Detector, parts: Sequence[LabelledPicture]) -> list[Seen]:
    """Run one family's detector over the chosen parts."""
    seen = []
    for part in parts:
        frame = to_bgr8(read_picture(part.path))
        detection = detector(frame)
        shown_hw = _shown_hw(frame.shape[:2])
        heat = _draw_heat(detection.anomaly_map, shown_hw, detector.spec.colour_scale, detection.threshold)
        drawing = resize(detection.reconstruction_bgr, shown_hw)
        seen.append(Seen(to_uri(drawing), to_uri(heat), detection.verdict.value, detection.score, detection.threshold))
    return seen


def draw_samples(exported: Exported) -> str:
    """Return a sheet of drawings of prior samples."""
    return _sheet(list(exported.generator.sample(SAMPLES, _SEED)))


def draw_real(exported: Exported, held_back: HeldBack) -> str:
    """Return a sheet of good pictures, to hold the samples against."""
    places = np.linspace(0, len(held_back.paths) - 1, min(SAMPLES, len(held_back.paths))).astype(int)
    return _sheet([exported.read(held_back.paths[place]) for place in places])


def draw_latent(exported: Exported, held_back: HeldBack) -> tuple[str, str]:
    """Return a plot of the places' codes of good pictures over samples of the prior, and what its axes are."""
    places = np.linspace(0, len(held_back.paths) - 1, min(_LATENT_PICTURES, len(held_back.paths))).astype(int)
    codes = exported.encode_all([exported.read(held_back.paths[place]) for place in places], _SEED)
    rng = np.random.default_rng(_SEED)
    points = rng.permutation(np.concatenate([exported.places(code) for code in codes]))[:_LATENT_POINTS]
    prior = exported.prior
    shaped = prior is not None and prior.kind in ("mixture", "swiss-roll", "custom")
    plane = plane_of(points, first_two=shaped)
    samples = None if prior is None else prior.sample(_LATENT_POINTS, points.shape[1], rng) @ plane
    axes = "first two numbers" if shaped or points.shape[1] < 3 else "first two principal components of the codes"
    return latent_svg(samples, points @ plane), axes


def to_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture HxWx3 uint8 BGR as a data URI of a JPEG."""
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


def _draw_heat(
    anomaly_map: NDArray[np.float32], size_hw: tuple[int, int], colour_scale: tuple[float, float], threshold: float
) -> NDArray[np.uint8]:
    """Colour a map by the model's fixed scale; what lies above the threshold is outlined."""
    low, high = colour_scale
    shown = np.asarray(cv2.resize(anomaly_map, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    levels = np.clip((shown - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    heat = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), np.uint8)
    outlines, _ = cv2.findContours((shown > threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(heat, outlines, -1, (255, 255, 255), 1)
    return heat


def _sheet(pictures: Sequence[NDArray[np.uint8]]) -> str:
    """Put pictures of one size side by side, four in a row."""
    height, width = pictures[0].shape[:2]
    cell = (max(1, round(_CELL * height / max(height, width))), max(1, round(_CELL * width / max(height, width))))
    columns, gap = 4, 3
    lines = -(-len(pictures) // columns)
    sheet = np.full((lines * (cell[0] + gap) - gap, columns * (cell[1] + gap) - gap, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (cell[0] + gap), number % columns * (cell[1] + gap)
        sheet[top : top + cell[0], left : left + cell[1]] = resize(picture, cell)
    return to_uri(sheet)


def _shown_hw(frame_hw: tuple[int, ...]) -> tuple[int, int]:
    scale = _PART_SIDE / max(frame_hw)
    return max(1, round(frame_hw[0] * scale)), max(1, round(frame_hw[1] * scale))

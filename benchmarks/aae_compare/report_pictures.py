"""The pictures of the report: the same parts through every family, samples, codes; all from the exported files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aae_compare.exported import Exported
from aae_compare.pictures import HeldBack
from aae_compare.plots import latent_svg, plane_of
from aae_detect.bench.dataset import LabelledPicture, LabelledSet, read_mask
from aae_detect.detector import Detector
from aae_detect.geometry import resize
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import to_bgr8
from aae_train.heat import draw_heat, outline_mask
from aae_train.report.page import picture_uri, shown_hw

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
    shown = resize(frame, shown_hw((height, width), _PART_SIDE))
    if part.mask_path is not None:
        shown = outline_mask(shown, read_mask(part.mask_path, (height, width)))
    return picture_uri(shown)


def look_at_parts(detector: Detector, parts: Sequence[LabelledPicture]) -> list[Seen]:
    """Run one family's detector over the chosen parts."""
    seen = []
    for part in parts:
        frame = to_bgr8(read_picture(part.path))
        detection = detector(frame)
        size_hw = shown_hw(frame.shape[:2], _PART_SIDE)
        heat = draw_heat(detection.anomaly_map, size_hw, detector.colour_scale, detection.threshold)
        drawing = resize(detection.reconstruction_bgr, size_hw)
        seen.append(
            Seen(picture_uri(drawing), picture_uri(heat), detection.verdict.value, detection.score, detection.threshold)
        )
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
    return picture_uri(sheet)

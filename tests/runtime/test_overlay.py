import math

import numpy as np
import pytest
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.detection import Detection, Latency, Region, Verdict
from aae_detect.errors import FrameError
from aae_detect.geometry import place
from aae_detect.overlay import annotate, annotate_unknown
from aae_detect.overlay_heat import OPACITY, VISIBLE_FROM, blend_heat
from aae_detect.overlay_text import label_size, number, plain, shorten, text_width, wrap
from aae_detect.scoring import judge, map_to_frame
from aae_detect.spec import Fit

INPUT_HW = (256, 256)
MAP_HW = (64, 64)
THRESHOLD = 0.25
SCALE = (0.05, 0.6)
GREEN, RED, AMBER = (40, 130, 0), (30, 20, 215), (0, 175, 255)
QUADRANTS = {
    "left top": (255, 0, 0),
    "right top": (0, 255, 0),
    "left bottom": (0, 0, 255),
    "right bottom": (200, 0, 200),
}


def detect(
    frame_hw: tuple[int, int],
    model_map: NDArray[np.float32] | None = None,
    fit: Fit = "stretch",
    threshold: float = THRESHOLD,
    reconstruction: NDArray[np.uint8] | None = None,
) -> Detection:
    model_map = np.full(MAP_HW, 0.1, np.float32) if model_map is None else model_map
    reconstruction = np.full((*INPUT_HW, 3), 77, np.uint8) if reconstruction is None else reconstruction
    score = float(model_map.max())
    placement = place(frame_hw, INPUT_HW, fit)
    verdict = judge(score, threshold)
    looked_at = np.zeros((*placement.input_hw, 3), np.uint8)
    return Detection(
        score, threshold, verdict, model_map, reconstruction, looked_at, placement, Latency(1.5, 10.25, 0.5)
    )


def spot(row: int, column: int, value: float = 0.5, half: int = 1) -> NDArray[np.float32]:
    model_map = np.full(MAP_HW, 0.1, np.float32)
    model_map[row - half : row + half + 1, column - half : column + half + 1] = value
    return model_map


def gray(height: int, width: int, value: int = 128) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def where(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.intp]:
    return np.argwhere((picture == colour).all(axis=2))


def test_good_frame_stays_as_it_is_below_the_panel() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    before = frame.copy()
    picture = annotate(frame, detect((480, 640)), colour_scale=SCALE, inset=False)
    assert np.array_equal(picture[80:], frame[80:])
    assert not np.shares_memory(picture, frame)
    assert np.array_equal(frame, before)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("frame_hw", [(480, 640), (641, 333), (1080, 1920)])
def test_heat_lies_where_the_map_lies(fit: Fit, frame_hw: tuple[int, int]) -> None:
    detection = detect(frame_hw, spot(30, 26), fit)
    picture = gray(*frame_hw, value=0)
    blend_heat(picture, detection, SCALE)
    heat = picture.astype(float).sum(axis=2)
    visible_from = SCALE[0] + VISIBLE_FROM * (THRESHOLD - SCALE[0])
    expected = np.clip(
        map_to_frame(np.maximum(detection.model_map, visible_from), detection.placement) - visible_from, 0, None
    )
    rows, columns = np.indices(frame_hw)
    for axis in (rows, columns):
        assert abs((axis * heat).sum() / heat.sum() - (axis * expected).sum() / expected.sum()) < 0.6
    cell_px = 4 / min(detection.placement.scale_yx)
    assert abs(np.sqrt((heat > 0).sum()) - np.sqrt((expected > 0).sum())) < 0.5 * cell_px


def test_a_value_has_one_colour_whatever_else_is_in_the_frame() -> None:
    value = 0.4
    weak, strong = spot(20, 20, value, half=6), spot(20, 20, value, half=6)
    strong[50, 50] = 3.0
    pictures = []
    for model_map in (weak, strong):
        picture = gray(640, 640, 100)
        blend_heat(picture, detect((640, 640), model_map), SCALE)
        pictures.append(picture)
    assert np.array_equal(pictures[0][:400, :400], pictures[1][:400, :400])
    ramp = np.uint8(round(255 * (value - SCALE[0]) / (SCALE[1] - SCALE[0])))
    colour = cv2.applyColorMap(np.array([[ramp]], np.uint8), cv2.COLORMAP_TURBO)[0, 0]
    expected = 100 * (1 - OPACITY) + colour * OPACITY
    np.testing.assert_allclose(pictures[0][205, 205], expected, atol=4)


def test_two_spots_one_cell_apart_are_not_laid_on_twice() -> None:
    both, frame_hw = spot(20, 20, 0.5, half=0), (640, 640)
    both[20, 22] = 0.5
    pictures = []
    for model_map in (spot(20, 20, 0.5, half=0), both):
        picture = gray(*frame_hw)
        blend_heat(picture, detect(frame_hw, model_map), SCALE)
        pictures.append(picture)
    assert np.array_equal(pictures[0][:, :210], pictures[1][:, :210])


def test_many_warm_places_are_drawn_in_one_pass_alike() -> None:
    rng = np.random.default_rng(3)
    model_map = np.full(MAP_HW, 0.1, np.float32)
    model_map[2:62:4, 2:62:4] = rng.uniform(0.3, 0.6, (15, 15))
    whole, single = gray(640, 640), gray(640, 640)
    blend_heat(whole, detect((640, 640), model_map), SCALE)
    alone = np.full(MAP_HW, 0.1, np.float32)
    alone[6, 6] = model_map[6, 6]
    blend_heat(single, detect((640, 640), alone), SCALE)
    np.testing.assert_allclose(whole[50:80, 50:80].astype(int), single[50:80, 50:80], atol=8)


def test_values_that_are_no_numbers_draw_nothing() -> None:
    model_map = np.full(MAP_HW, np.nan, np.float32)
    model_map[3, 3] = -np.inf
    picture = gray(240, 320)
    blend_heat(picture, detect((240, 320), model_map), SCALE)
    assert np.array_equal(picture, gray(240, 320))
    model_map[40, 40] = np.inf
    blend_heat(picture, detect((240, 320), model_map), SCALE)
    assert not np.array_equal(picture, gray(240, 320))


@pytest.mark.parametrize("threshold", [-1.0, 0.05, 5.0])
def test_threshold_outside_the_colour_scale(threshold: float) -> None:
    below, above = gray(240, 320), gray(240, 320)
    blend_heat(below, detect((240, 320), np.full(MAP_HW, threshold - 2, np.float32), threshold=threshold), SCALE)
    assert np.array_equal(below, gray(240, 320))
    blend_heat(above, detect((240, 320), np.full(MAP_HW, threshold + 1, np.float32), threshold=threshold), SCALE)
    assert not np.any(np.all(above == 128, axis=2))


def test_heat_map_off_leaves_outlines() -> None:
    frame = gray(480, 640)
    detection = detect((480, 640), spot(32, 32, 0.5, half=4))
    picture = annotate(frame, detection, colour_scale=SCALE, heat_map=False, inset=False)
    region = detection.regions[0]
    inside = picture[region.y + 20 : region.y + region.height - 20, region.x + 20 : region.x + region.width - 20]
    assert np.array_equal(inside, np.full_like(inside, 128))
    assert len(where(picture, (60, 50, 255))) >= 2 * (region.width + region.height)  # the box's line
    with_heat = annotate(frame, detection, colour_scale=SCALE, inset=False)
    assert not np.array_equal(with_heat[240, 320], frame[240, 320])


def test_crop_darkens_what_the_model_did_not_see() -> None:
    picture = annotate(gray(480, 640, 200), detect((480, 640), fit="crop"), colour_scale=SCALE, inset=False)
    assert np.all(picture[100:, :80] == 80)
    assert np.all(picture[100:, 80:560] == 200)
    assert np.all(picture[100:, 560:] == 80)


@pytest.mark.parametrize(
    ("value", "verdict", "colour"),
    [(0.1, Verdict.OK, GREEN), (0.9, Verdict.NG, RED), (math.nan, Verdict.UNKNOWN, AMBER)],
)
def test_verdict_is_a_colour_and_a_word(value: float, verdict: Verdict, colour: tuple[int, int, int]) -> None:
    detection = detect((480, 640), np.full(MAP_HW, value, np.float32))
    assert detection.verdict is verdict
    detection.__dict__["regions"] = ()
    picture = annotate(gray(480, 640), detection, colour_scale=SCALE, heat_map=False, inset=False)
    badge = picture[6:70, 6:100]
    painted = len(where(badge, colour))
    assert painted > badge.shape[0] * badge.shape[1] / 2
    word = (0, 0, 0) if verdict is Verdict.UNKNOWN else (255, 255, 255)
    assert len(where(badge, word)) > 300
    framed = np.all(picture[200, :5] == colour) and np.all(picture[-5:, 300] == colour)
    assert framed == (verdict is not Verdict.OK)


def test_bar_grows_with_the_score_and_the_tick_stays() -> None:
    lengths, ticks = [], []
    for score in (0.1, 0.2):
        detection = detect((480, 640), np.full(MAP_HW, score, np.float32), threshold=0.3)
        picture = annotate(gray(480, 640), detection, colour_scale=(0.0, 0.6), heat_map=False, inset=False)
        row = picture[42, 110:]  # right of the badge
        lengths.append(len(np.flatnonzero((row == (80, 200, 60)).all(axis=1))))
        ticks.append(np.flatnonzero((row == 255).all(axis=1)))
    assert abs(lengths[1] - 2 * lengths[0]) <= 2
    assert np.array_equal(ticks[0], ticks[1])
    bar = np.flatnonzero((row == (80, 200, 60)).all(axis=1) | (row == 90).all(axis=1))
    assert abs(ticks[0].mean() - (bar[0] + bar[-1]) / 2) <= 1  # the threshold lies in the middle of this scale


def quadrants(inside_xywh: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A reconstruction whose quarters differ, with yellow where bars would be."""
    x, y, width, height = inside_xywh
    picture = np.full((*INPUT_HW, 3), (0, 255, 255), np.uint8)
    for name, colour in QUADRANTS.items():
        left = x if "left" in name else x + width // 2
        top = y if "top" in name else y + height // 2
        picture[top : top + height // 2, left : left + width // 2] = colour
    return picture


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("frame_hw", [(480, 640), (640, 480), (1080, 1920)])
@pytest.mark.parametrize("step", [1, 2])
def test_inset_shows_the_reconstruction_as_it_lies_in_the_frame(fit: Fit, frame_hw: tuple[int, int], step: int) -> None:
    reconstruction = quadrants(place(frame_hw, INPUT_HW, fit).inside_xywh)[::step, ::step]
    picture = annotate(gray(*frame_hw), detect(frame_hw, fit=fit, reconstruction=reconstruction), colour_scale=SCALE)
    found = {name: where(picture, colour) for name, colour in QUADRANTS.items()}
    assert all(len(pixels) > 100 for pixels in found.values())
    middles = {name: pixels.mean(axis=0) for name, pixels in found.items()}
    assert middles["left top"][1] < middles["right top"][1]
    assert middles["left top"][0] < middles["left bottom"][0]
    assert middles["right bottom"][1] > 0.75 * frame_hw[1] - 20  # in the right bottom corner
    everything = np.concatenate(list(found.values()))
    height, width = np.ptp(everything, axis=0) + 1
    aspect = 1.0 if fit == "crop" else frame_hw[1] / frame_hw[0]
    assert width / height == pytest.approx(aspect, rel=0.04)
    assert len(where(picture, (0, 255, 255))) == 0


def test_inset_makes_way_for_a_region() -> None:
    reconstruction = np.full((*INPUT_HW, 3), (255, 0, 255), np.uint8)
    corners = []
    for row, column in ((10, 50), (55, 55)):
        detection = detect((480, 640), spot(row, column), reconstruction=reconstruction)
        picture = annotate(gray(480, 640), detection, colour_scale=SCALE)
        corners.append(where(picture, (255, 0, 255)).mean(axis=0))
    assert corners[0][1] > 320
    assert corners[1][1] < 320
    assert min(corner[0] for corner in corners) > 240


def test_regions_are_drawn_up_to_a_number_and_the_rest_is_told() -> None:
    detection = detect((1080, 1920), np.full(MAP_HW, 0.9, np.float32))
    square = np.array([[0, 0], [8, 0], [8, 8], [0, 8]], np.int32)
    detection.__dict__["regions"] = tuple(
        Region(100 + 60 * n, 500, 9, 9, 81, 0.9 - n / 100, square + np.array((100 + 60 * n, 500))) for n in range(25)
    )
    picture = annotate(gray(1080, 1920), detection, colour_scale=SCALE, heat_map=False, inset=False)
    box_columns = np.flatnonzero((picture[504] == (60, 50, 255)).all(axis=1))
    assert box_columns.min() < 100
    assert 100 + 60 * 19 < box_columns.max() < 100 + 60 * 20
    detection.__dict__["regions"] = detection.regions[:20]
    fewer = annotate(gray(1080, 1920), detection, colour_scale=SCALE, heat_map=False, inset=False)
    assert np.all(fewer[1000:1060, 30:300] == 128)
    assert not np.all(picture[1000:1060, 30:300] == 128)


@pytest.mark.parametrize("frame_hw", [(1, 1), (2, 700), (40, 40), (120, 160), (240, 320), (640, 480), (2160, 3840)])
@pytest.mark.parametrize("value", [0.1, 0.9])
def test_any_size_is_drawn(frame_hw: tuple[int, int], value: float) -> None:
    detection = detect(frame_hw, spot(32, 32, value))
    picture = annotate(gray(*frame_hw), detection, colour_scale=SCALE, fps=29.97, note="camera 0, Mängel" * 20)
    assert picture.shape == (*frame_hw, 3)
    assert picture.dtype == np.uint8
    unknown = annotate_unknown(gray(*frame_hw), "the camera gave nothing\nfor a while" * 5)
    assert unknown.shape == (*frame_hw, 3)


def test_things_grow_with_the_frame() -> None:
    heights = []
    for factor in (1, 2, 4):
        hw = (480 * factor, 640 * factor)
        column = annotate(gray(*hw), detect(hw), colour_scale=SCALE, inset=False)[:, 2]
        heights.append(int((column == GREEN).all(axis=1).sum()))
    assert heights[1] == pytest.approx(2 * heights[0], abs=2)
    assert heights[2] == pytest.approx(4 * heights[0], abs=4)


def test_unknown_without_a_picture() -> None:
    picture = annotate_unknown(None, "the cable is out", (240, 320))
    assert picture.shape == (240, 320, 3)
    assert np.all(picture[0] == AMBER)
    assert not np.array_equal(picture, annotate_unknown(None, "", (240, 320)))


def test_unknown_leaves_the_frame_alone() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    before = frame.copy()
    picture = annotate_unknown(frame, "too dark")
    assert np.array_equal(frame, before)
    assert np.array_equal(picture[200:470, 10:630], frame[200:470, 10:630])


def test_wrong_arrays_are_refused() -> None:
    detection = detect((480, 640))
    with pytest.raises(FrameError, match="expected HxWx3 uint8"):
        annotate(np.zeros((480, 640), np.uint8), detection, colour_scale=SCALE)
    with pytest.raises(FrameError, match="expected HxWx3 uint8"):
        annotate_unknown(np.zeros((480, 640, 3), np.float32), "")  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="the frame is 320x240, the detection is of a frame of 640x480"):
        annotate(gray(240, 320), detection, colour_scale=SCALE)


@pytest.mark.parametrize(
    ("value", "like", "expected"),
    [
        (0.5312, 0.25, "0.531"),
        (12.345, 25.0, "12.3"),
        (1234.5, 2500.0, "1234"),
        (0.00123, 0.0025, "0.00123"),
        (1.5e-7, 2.5e-7, "1.50e-07"),
        (-0.5, 0.25, "-0.500"),
        (1.5, 0.0, "1.50"),
        (1e12, 0.25, "1.00e+12"),
        (math.nan, 0.25, "-"),
        (-math.inf, 0.25, "-"),
    ],
)
def test_numbers_keep_their_digits(value: float, like: float, expected: str) -> None:
    assert number(value, like) == expected


def test_text_is_made_to_fit() -> None:
    text = "the camera gave an empty frame; check the cable"
    assert plain("Prüfung\nläuft") == "Pr?fung l?uft"
    for width in (60, 150, 400):
        assert text_width(shorten(text, 12, width), 12) <= width
        lines = wrap(text, 12, width)
        assert all(text_width(line, 12) <= width for line in lines)
    assert wrap(text, 12, 10_000) == [text]
    assert shorten(text, 12, 10_000) == text
    assert shorten(text, 12, 1) == ""
    assert label_size(text, 12)[0] > text_width(text, 12)

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aae_detect import scoring
from aae_detect.detection import Detection, Latency, Verdict
from aae_detect.events import frame_event
from aae_detect.frames import Frame
from aae_detect.geometry import place
from aae_detect.scoring import SILENT, find_most_regions, find_regions, judge, map_to_frame, score_map
from aae_detect.spec import FITS


def spot_map(row: int, column: int, value: float = 5.0) -> np.ndarray:
    result = np.zeros((16, 16), np.float32)
    result[row, column] = value
    return result


def test_the_score_is_the_highest_value_where_somebody_looks() -> None:
    values = spot_map(3, 4)
    assert score_map(values) == 5.0
    values[3, 4] = SILENT
    assert score_map(values) == 0.0


def test_verdicts() -> None:
    assert judge(2.0, 2.0) is Verdict.OK
    assert judge(np.nextafter(2.0, 3.0), 2.0) is Verdict.NG
    assert judge(math.nan, 2.0) is Verdict.UNKNOWN
    assert judge(math.inf, 2.0) is Verdict.NG


def test_a_spot_becomes_one_region_in_the_right_place() -> None:
    placement = place((480, 640), (64, 64), "stretch")
    (region,) = find_regions(spot_map(4, 12), 2.0, placement)
    centre = (region.x + region.width / 2, region.y + region.height / 2)
    assert centre == pytest.approx((12.5 * 40, 4.5 * 30), abs=10)
    assert region.peak == 5.0
    assert region.width <= 80
    assert region.area_px <= region.width * region.height
    inside = (region.contour_xy >= (region.x - 1, region.y - 1)) & (
        region.contour_xy <= (region.x + region.width, region.y + region.height)
    )
    assert inside.all()


def test_an_outline_runs_through_the_pixels_that_it_surrounds() -> None:
    """A map, an input and a frame of the same size: what is above the threshold is known pixel by pixel."""
    same = place((16, 16), (16, 16), "stretch")
    (single,) = find_regions(spot_map(5, 7), 2.0, same)
    assert (single.x, single.y, single.width, single.height) == (7, 5, 1, 1)
    assert single.contour_xy.tolist() == [[7, 5]]
    (square,) = find_regions(sum(spot_map(row, column) for row in (3, 4) for column in (8, 9)), 2.0, same)
    assert sorted(square.contour_xy.tolist()) == [[8, 3], [8, 4], [9, 3], [9, 4]]


def test_regions_are_sorted_by_peak_and_neighbouring_cells_are_one() -> None:
    values = spot_map(2, 2, 3.0) + spot_map(12, 12, 9.0) + spot_map(2, 3, 4.0)
    regions = find_regions(values, 2.0, place((64, 64), (64, 64), "stretch"))
    assert [region.peak for region in regions] == [9.0, 4.0]


def test_nothing_above_the_threshold_is_no_region() -> None:
    assert find_regions(spot_map(3, 3, 2.0), 2.0, place((64, 64), (64, 64), "stretch")) == ()


def test_a_mask_hides_regions() -> None:
    values = spot_map(3, 3) + spot_map(12, 3)
    values[:8] = SILENT
    (region,) = find_regions(values, 2.0, place((64, 64), (64, 64), "stretch"))
    assert region.y >= 32


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), fit=st.sampled_from(FITS), share=st.floats(0.002, 0.5))
def test_what_lies_far_from_all_that_is_above_changes_nothing(seed: int, fit: str, share: float) -> None:
    """Only the part of the map around it is enlarged: whole or not, the regions are the same."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (16, 24)).astype(np.float32)
    rows, columns = sorted(rng.integers(0, 17, 2)), sorted(rng.integers(0, 25, 2))
    values[rows[0] : rows[1], columns[0] : columns[1]] += 3.0
    threshold = float(np.quantile(values, 1 - share))
    placement = place((130, 210), (64, 96), fit)  # type: ignore[arg-type]
    found = find_regions(values, threshold, placement)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aae_detect.scoring._MARGIN_CELLS", 100)
        whole = find_regions(values, threshold, placement)
    assert len(found) == len(whole)
    for one, other in zip(found, whole, strict=True):
        assert one == other and (one.contour_xy == other.contour_xy).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    fit=st.sampled_from(FITS),
    frame_hw=st.tuples(st.integers(8, 300), st.integers(8, 300)),
)
def test_every_ng_map_has_a_region_and_every_region_lies_in_the_frame(
    seed: int, fit: str, frame_hw: tuple[int, int]
) -> None:
    """However barely the score lies above the threshold, and wherever the peak is."""
    values = np.random.default_rng(seed).random((16, 16), np.float32)
    threshold = float(np.sort(values.ravel())[-2])
    placement = place(frame_hw, (64, 64), fit)  # type: ignore[arg-type]
    row, column = np.unravel_index(values.argmax(), values.shape)
    x, y = placement.to_frame(np.array([column * 4 + 2.0, row * 4 + 2.0]))
    regions = find_regions(values, threshold, placement)
    if 0 <= x < frame_hw[1] and 0 <= y < frame_hw[0]:  # what letterbox adds and crop cuts is not in the frame
        assert regions
        assert regions[0].peak == values.max()
    for region in regions:
        assert 0 <= region.x < region.x + region.width <= frame_hw[1]
        assert 0 <= region.y < region.y + region.height <= frame_hw[0]
        assert (region.contour_xy >= (region.x, region.y)).all()
        assert (region.contour_xy < (region.x + region.width, region.y + region.height)).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), fit=st.sampled_from(FITS), most=st.integers(1, 8), frame_w=st.integers(20, 300))
def test_of_many_regions_the_highest_and_the_largest_are_described(
    seed: int, fit: str, most: int, frame_w: int
) -> None:
    values = np.random.default_rng(seed).random((16, 16), np.float32)
    values[::2, ::2] += 1
    placement = place((60, frame_w), (64, 64), fit)  # type: ignore[arg-type]
    every, none = find_most_regions(values, 1.0, placement)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "MOST_REGIONS", most)
        found, more = find_most_regions(values, 1.0, placement)
    assert none == 0 and len(found) + more == len(every) and len(found) <= most
    assert set(map(repr, found)) <= set(map(repr, every))
    peaks = [region.peak for region in found]
    assert peaks[: most - 1] == [region.peak for region in every][: most - 1]
    if every:
        assert max(region.area_px for region in found) == max(region.area_px for region in every)
        assert most == 1 or peaks[0] == every[0].peak


def test_a_frame_full_of_specks_makes_no_endless_event() -> None:
    specks = np.zeros((250, 300), np.float32)
    specks[::2, ::2] = 5.0
    placement = place((1000, 1200), (1000, 1200), "stretch")
    regions, more = find_most_regions(specks, 2.0, placement)
    assert (len(regions), more) == (200, 125 * 150 - 200)
    detection = Detection(
        5.0, 2.0, Verdict.NG, specks, *[np.zeros((1000, 1200, 3), np.uint8)] * 2, placement, Latency(0, 0, 0)
    )
    event = frame_event(Frame(None, 0, datetime.now(UTC), "line"), detection, 0.0)
    assert (len(event["regions"]), event["more_regions"]) == (200, more)
    few = replace(detection, model_map=np.zeros((250, 300), np.float32))
    assert "more_regions" not in frame_event(Frame(None, 0, datetime.now(UTC), "line"), few, 0.0)


def test_the_map_in_frame_coordinates_interpolates_between_cell_centres() -> None:
    """A ramp over the cells is the same ramp over the frame, except at the rim, where nothing lies further out."""
    ramp = np.tile(np.arange(16, dtype=np.float32), (16, 1))
    mapped = map_to_frame(ramp, place((120, 320), (64, 64), "stretch"))
    assert mapped.shape == (120, 320)
    assert mapped.dtype == np.float32
    expected = (np.arange(320) + 0.5) / 20 - 0.5
    assert np.abs(mapped[60, 20:300] - expected[20:300]).max() < 0.05


def test_the_map_of_a_letterboxed_frame_leaves_the_bars_out() -> None:
    values = np.zeros((16, 16), np.float32)
    values[:4] = values[12:] = 7.0  # the bars of a frame twice as wide as high
    mapped = map_to_frame(values, place((100, 200), (64, 64), "letterbox"))
    assert mapped[20:80].max() == 0.0


def test_the_map_of_a_cropped_frame_lies_in_its_middle() -> None:
    mapped = map_to_frame(spot_map(8, 8), place((64, 128), (64, 64), "crop"))
    row, column = np.unravel_index(mapped.argmax(), mapped.shape)
    assert (row, column) == pytest.approx((33.5, 65.5), abs=1)

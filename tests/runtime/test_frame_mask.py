"""Where to look: polygons and pictures, at any frame size."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aae_detect import ConfigError, Detector, FrameError, Verdict, annotate
from aae_detect.calibrate.fit import fit_site
from aae_detect.frame_mask import MAX_BYTES, FrameMask, Polygons, read_mask, read_polygons, write_polygons
from aae_detect.geometry import place

LEFT = ((0.0, 0.0), (320.0, 0.0), (320.0, 480.0), (0.0, 480.0))
HOLE = ((100.0, 100.0), (200.0, 100.0), (200.0, 200.0), (100.0, 200.0))


def left_with_a_hole() -> FrameMask:
    return FrameMask(Polygons((640, 480), look=(LEFT,), ignore=(HOLE,)))


@pytest.mark.parametrize("frame_hw", [(480, 640), (240, 320), (1080, 1920), (97, 133)])
def test_polygons_grow_with_the_frame(frame_hw: tuple[int, int]) -> None:
    inside = left_with_a_hole().inside(frame_hw)
    height, width = frame_hw
    assert inside.shape == frame_hw
    assert inside[height // 2, width // 4]
    assert not inside[height // 2, width * 3 // 4]
    assert not inside[round(height * 150 / 480), round(width * 150 / 640)]
    expected = 0.5 - 100 * 100 / (640 * 480)
    assert inside.mean() == pytest.approx(expected, abs=2.5 / min(frame_hw))


@pytest.mark.parametrize("frame_hw", [(480, 640), (1080, 1920), (97, 133)])
def test_a_picture_says_the_same_as_the_polygons_that_it_shows(frame_hw: tuple[int, int]) -> None:
    mask = left_with_a_hole()
    drawn = FrameMask(picture=mask.inside((480, 640)).astype(np.uint8) * 255)
    assert (drawn.inside(frame_hw) != mask.inside(frame_hw)).mean() < 0.02


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("frame_hw", [(480, 640), (1080, 1440), (300, 400)])
def test_in_the_models_input_it_lies_where_the_frame_does(fit: str, frame_hw: tuple[int, int]) -> None:
    """The mask of the input is that of the frame, carried over like the frame itself."""
    from aae_detect.geometry import fit_image

    placement = place(frame_hw, (256, 256), fit)  # type: ignore[arg-type]
    for mask in (left_with_a_hole(), FrameMask(picture=left_with_a_hole().inside((480, 640)).astype(np.uint8))):
        carried = fit_image(mask.inside(frame_hw).astype(np.uint8) * 255, placement) > 127
        assert (mask.inside((256, 256), placement) != carried).mean() < 0.02


def test_every_cell_with_a_pixel_inside_counts_and_no_other() -> None:
    point = ((301.0, 201.0), (303.0, 201.0), (303.0, 203.0), (301.0, 203.0))
    placement = place((512, 512), (256, 256), "stretch")
    cells = FrameMask(Polygons((512, 512), look=(point,))).cells(placement, (64, 64))
    assert np.argwhere(cells).tolist() == [[25, 37]]  # 202 / 8, 302 / 8


def test_bars_beside_the_frame_do_not_count() -> None:
    placement = place((128, 256), (256, 256), "letterbox")
    picture = FrameMask(picture=np.full((128, 256), 255, np.uint8)).inside((256, 256), placement)
    assert not picture[:60].any()
    assert picture[66:190].all()


def test_borders_are_drawn_where_they_are_and_not_along_the_frame() -> None:
    outlines = left_with_a_hole().outlines((480, 640))
    points = np.concatenate(outlines)[:, 0]
    assert len(outlines) == 2
    assert set(points[:, 0].tolist()) <= {-1, 99, 100, 199, 200, 201, 319, 320}
    assert FrameMask(Polygons((640, 480))).outlines((480, 640)) == []


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "mask.json"
    polygons = Polygons((640, 480), look=(LEFT, HOLE), ignore=(HOLE,))
    write_polygons(path, polygons)
    assert read_polygons(path) == polygons
    assert len(path.read_text().splitlines()) == 4, "a polygon a line"
    assert read_mask(path).polygons == polygons
    assert read_mask(str(path)).polygons == polygons  # as README's example has it
    picture = tmp_path / "mask.png"
    cv2.imwrite(str(picture), left_with_a_hole().inside((480, 640)).astype(np.uint8) * 255)
    assert (read_mask(picture).inside((480, 640)) == left_with_a_hole().inside((480, 640))).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("[]", "is list, not an object"),
        ('{"look": []}', "lacks frame"),
        ('{"frame": [640, 480], "lok": []}', "unknown fields 'lok'"),
        ('{"frame": [640, 0]}', "expected 1 to 16384"),
        ('{"frame": [640, 480], "look": [[[1, 2], [3, 4]]]}', "fewer than three points"),
        ('{"frame": [640, 480], "look": [[[1, 2], [3, 4], [5]]]}', "look is"),
        ('{"frame": [640, 480], "look": [[[1, 2], [3, 4], [5, 1e9]]]}', "nowhere near"),
        ('{"frame": [640, 480], "look": [[[1, 2], [3, 4], [5, NaN]]]}', "nowhere near"),
        ('{"frame": [640, 480], "ignore": [[[0, 0], [640, 0], [640, 480], [0, 480]]]}', "leaves nothing"),
        ('{"frame": [640, 480], "look": [[[-9, 0], [-5, 0], [-5, -5]]]}', "leaves nothing"),
    ],
)
def test_what_is_no_mask_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_mask(path)


def test_files_that_are_missing_large_or_no_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_mask(tmp_path / "mask.json")
    with pytest.raises(ConfigError, match="mask"):
        read_mask(tmp_path / "mask.png")
    with pytest.raises(ConfigError, match="mask"):
        read_mask(tmp_path / "mask\0.png")
    path = tmp_path / "mask.json"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="a pipe or a device"):
        read_mask(path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ConfigError, match="more than the 1048576"):
        read_mask(path)
    path.write_text(json.dumps({"frame": [64, 64], "look": [[[0, 0]] * 10_001]}))
    with pytest.raises(ConfigError, match="more than 10000 points"):
        read_mask(path)


coordinates = st.floats(-40000, 40000, allow_nan=False)


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=6), max_size=3))
def test_any_polygons_near_the_frame_can_be_drawn(polygons: list[list[tuple[float, float]]]) -> None:
    try:
        mask = FrameMask(Polygons((640, 480), look=tuple(map(tuple, polygons))))
    except ValueError:
        return
    assert mask.inside((97, 133)).shape == (97, 133)


GRAY = np.full((64, 64, 3), 127, np.uint8)


def white_cell(row: int, column: int) -> np.ndarray:
    """The tiny model gives such a cell 8, and NG above 2."""
    frame = GRAY.copy()
    frame[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = 255
    return frame


@pytest.mark.parametrize("factor", [1, 3])
def test_a_defect_outside_never_counts_and_one_inside_always_does(tiny_model: Path, factor: int) -> None:
    """At every place of the map, and at any frame size."""
    polygon = ((20.0, 12.0), (48.0, 12.0), (48.0, 52.0), (20.0, 52.0))
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    masked = detector.with_mask(FrameMask(Polygons((64, 64), look=(polygon,))))
    for row in range(16):
        for column in range(16):
            frame = white_cell(row, column).repeat(factor, axis=0).repeat(factor, axis=1)
            inside = 3 <= row < 13 and 5 <= column < 12
            detection = masked(frame)
            assert (detection.verdict is Verdict.NG) == inside, (row, column)
            assert bool(detection.regions) == inside
            assert detector(frame).verdict is Verdict.NG


def test_a_mask_that_leaves_nothing_of_a_frame_is_an_error_of_the_frame(tiny_model: Path) -> None:
    corner = ((0.0, 0.0), (0.4, 0.0), (0.4, 0.4), (0.0, 0.4))
    picture = np.zeros((640, 640), np.uint8)
    picture[0, 0] = 255
    for mask in (FrameMask(picture=picture), FrameMask(Polygons((6400, 6400), look=(corner,)))):
        masked = Detector.load(tiny_model, provider="cpu", threads=1).with_mask(mask)
        if not mask.inside((64, 64)).any():
            with pytest.raises(FrameError, match="leaves nothing of a frame of 64x64"):
                masked(GRAY)


def test_the_overlay_shows_what_is_looked_at(tiny_model: Path) -> None:
    mask = FrameMask(Polygons((640, 480), look=(((100.0, 100.0), (540.0, 100.0), (540.0, 380.0), (100.0, 380.0)),)))
    detector = Detector.load(tiny_model, provider="cpu", threads=1).with_mask(mask)
    frame = np.full((480, 640, 3), 127, np.uint8)
    picture = annotate(
        frame, detector(frame), colour_scale=detector.colour_scale, inset=False, outlines=mask.outlines((480, 640))
    )
    changed = (picture != frame).any(axis=2)
    assert changed[240, 97:103].any()
    assert changed[378:383, 320].any()
    assert not changed[240, 150:500].any()
    assert detector(frame).anomaly_map.min() < -100, "nobody looks there"


def test_a_mask_goes_with_calibration(tiny_model: Path) -> None:
    """What lies outside has no part in what is usual, nor in the threshold."""
    mask = FrameMask(Polygons((64, 64), look=(((0.0, 0.0), (32.0, 0.0), (32.0, 64.0), (0.0, 64.0)),)))
    detector = Detector.load(tiny_model, provider="cpu", threads=1).with_mask(mask)
    rng = np.random.default_rng(0)
    maps = []
    for _ in range(40):
        frame = np.clip(127 + rng.normal(0, 4, (64, 64, 3)), 0, 255).astype(np.uint8)
        frame[:, 40:] = rng.integers(0, 256)
        maps.append(detector(frame).model_map)
    places, threshold = fit_site(np.stack(maps), 0.05)
    assert threshold.value < 1.5
    assert places.share_calmed == 0.0

import itertools
from fractions import Fraction

import numpy as np
import pytest

from aae_detect._opencv import cv2
from aae_detect.geometry import fit_image, place, resize
from aae_detect.preprocess import prepare
from aae_detect.spec import FITS


def test_stretch_fills_the_input() -> None:
    placement = place((480, 640), (256, 256), "stretch")
    assert placement.scale_yx == (256 / 480, 256 / 640)
    assert placement.offset_yx == (0.0, 0.0)
    assert placement.inside_xywh == (0, 0, 256, 256)


def test_letterbox_keeps_the_shape_and_centres() -> None:
    placement = place((480, 640), (256, 256), "letterbox")
    assert placement.scale_yx == (0.4, 0.4)
    assert placement.offset_yx == (32.0, 0.0)
    assert placement.inside_xywh == (0, 32, 256, 192)


def test_crop_keeps_the_shape_and_cuts_both_sides_alike() -> None:
    placement = place((480, 640), (240, 240), "crop")
    assert placement.scale_yx == (0.5, 0.5)
    assert placement.offset_yx == (0.0, -40.0)


CAMERAS_WH = [(640, 480), (800, 600), (1280, 720), (1280, 1024), (1600, 1200), (1920, 1080), (2448, 2048), (4000, 3000)]


@pytest.mark.parametrize("fit", ["letterbox", "crop"])
@pytest.mark.parametrize("frame_wh", CAMERAS_WH)
def test_what_fits_exactly_leaves_nothing_whatever_is_rounded(fit: str, frame_wh: tuple[int, int]) -> None:
    """Against fractions: a rounding error that passed for an overhang had the whole frame stretched."""
    for input_hw in itertools.product(range(32, 1057, 32), repeat=2):
        placement = place(frame_wh[::-1], input_hw, fit)  # type: ignore[arg-type]
        ratios = [Fraction(*sides) for sides in zip(input_hw, frame_wh[::-1], strict=True)]
        ratio = min(ratios) if fit == "letterbox" else max(ratios)
        for offset, side, frame_side in zip(placement.offset_yx, input_hw, frame_wh[::-1], strict=True):
            exact = (side - frame_side * ratio) / 2
            assert (offset == 0) == (exact == 0), input_hw
            assert abs(offset - exact) < 1e-9, input_hw


@pytest.mark.parametrize(("side", "frame_wh"), [(224, (1600, 1200)), (224, (800, 600)), (336, (2448, 2048))])
def test_a_letterboxed_frame_has_its_bars_at_sizes_that_are_no_round_fractions(
    side: int, frame_wh: tuple[int, int]
) -> None:
    picture = fit_image(np.full((*frame_wh[::-1], 3), 200, np.uint8), place(frame_wh[::-1], (side, side), "letterbox"))
    shown = (picture[:, :, 0] == 200).all(axis=1).sum()
    assert shown == pytest.approx(side * frame_wh[1] / frame_wh[0], abs=1)
    assert (picture[[0, -1]] == 0).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("frame_hw", [(480, 640), (640, 480), (101, 333), (31, 57), (1080, 1920), (40, 500)])
def test_a_spot_lands_where_the_placement_says(fit: str, frame_hw: tuple[int, int]) -> None:
    """A bright square in the middle of a dark frame comes out centred on the point that the affine map names."""
    frame = np.full((*frame_hw, 3), 10, np.uint8)
    height, width = frame_hw
    half = max(2, min(frame_hw) // 8)
    y0, x0, y1, x1 = height // 2 - half, width // 2 - half, height // 2 + half + 1, width // 2 + half + 1
    frame[y0:y1, x0:x1] = 250
    picture, placement = prepare(frame, (128, 96), fit)  # type: ignore[arg-type]
    assert picture.shape == (128, 96, 3)
    rows, columns = np.nonzero(picture[:, :, 0] > 130)
    found = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    expected = np.array(
        [
            (x0 + x1) / 2 * placement.scale_yx[1] + placement.offset_yx[1],
            (y0 + y1) / 2 * placement.scale_yx[0] + placement.offset_yx[0],
        ]
    )
    assert np.abs(found - expected).max() <= max(1.0, *placement.scale_yx)
    assert np.abs(placement.to_frame(expected) - [(x0 + x1) / 2, (y0 + y1) / 2]).max() < 1e-9


def test_letterbox_bars_are_black() -> None:
    picture = fit_image(np.full((100, 200, 3), 200, np.uint8), place((100, 200), (64, 64), "letterbox"))
    assert (picture[:16] == 0).all()
    assert (picture[48:] == 0).all()
    assert (picture[16:48] == 200).all()


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, (64, 64)).astype(int) - 128).max() <= 1


def test_a_mixed_resize_does_not_alias_either() -> None:
    """OpenCV's INTER_AREA samples plainly when one axis grows; stripes would come out black or white."""
    stripes = np.zeros((32, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, (64, 64)).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("start", range(1001, 1009))
@pytest.mark.parametrize("upright", [True, False])
def test_a_three_pixel_line_at_1080p_still_shows(start: int, upright: bool) -> None:
    """Wherever it falls between the places where pixels are averaged."""
    frame = np.full((1080, 1920, 3), 180, np.uint8)
    if upright:
        frame[:, start : start + 3] = 20
    else:
        frame[start - 500 : start - 497] = 20
    picture = prepare(frame, (256, 256), "stretch")[0].astype(int)
    assert 180 - picture.min(axis=0 if upright else 1).min() >= 30
    assert np.abs((180 - picture[:, :, 0]).sum() / 160 - 256 * 3 * 256 / (1920 if upright else 1080)) < 256 * 0.02


@pytest.mark.parametrize("size_hw", [(1080, 1920), (1081, 1921), (2160, 3840), (600, 513), (512, 512), (767, 1024)])
def test_halving_gives_what_one_mean_over_each_area_would(size_hw: tuple[int, int]) -> None:
    """A surface that bends slowly, against its mean over the very area that a pixel of the input stands for."""
    rng = np.random.default_rng(3)
    frame = cv2.resize(rng.integers(30, 226, (9, 9), np.uint8), size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    down, across = _area_weights(size_hw[0], 256), _area_weights(size_hw[1], 256)
    means = down @ frame.astype(np.float64) @ across.T
    assert np.abs(resize(frame, (256, 256)) - means).max() < 2.5


def _area_weights(side: int, target: int) -> np.ndarray:
    """Share of each pixel of a line in each of fewer pixels, (target, side)."""
    edges = np.linspace(0, side, target + 1)
    pixels = np.arange(side)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return covered.clip(0) * target / side


def test_the_same_size_is_left_alone() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert (prepare(frame, (64, 64), "stretch")[0] == frame).all()

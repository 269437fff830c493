import time

import cv2
import numpy as np
import pytest

from aae_train.defect_fills import FILLS, Canvas
from aae_train.defect_shapes import SHAPES, value_noise
from aae_train.synthetic import MIN_CHANGE, MIN_CONTRAST, make_defect


def part(height=256, width=256, seed=0, gray=False):
    """A disc with a hole on a noisy ground."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), (70, 90, 60), np.uint8)
    centre = (width // 2, height // 2)
    cv2.circle(picture, centre, min(height, width) // 3, (170, 160, 180), -1, cv2.LINE_AA)
    cv2.circle(picture, centre, min(height, width) // 12, (30, 30, 30), -1, cv2.LINE_AA)
    picture = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    return np.repeat(picture[:, :, :1], 3, axis=2) if gray else picture


def defects(picture, count, foreign=None):
    return [make_defect(picture, np.random.default_rng([1, seed]), foreign) for seed in range(count)]


def test_is_a_function_of_the_generator_alone_and_leaves_the_picture():
    picture = part()
    before = picture.copy()
    first = make_defect(picture, np.random.default_rng(3), part(seed=1))
    second = make_defect(picture, np.random.default_rng(3), part(seed=1))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2] == second[2]
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    "picture",
    [
        part(),
        part(96, 160, gray=True),
        part(32, 32),
        np.zeros((64, 64, 3), np.uint8),
        np.full((64, 64, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8),
        np.zeros((8, 8, 3), np.uint8),
    ],
    ids=["part", "gray wide part", "tiny part", "black", "white", "noise", "smallest"],
)
def test_the_mask_tells_the_truth(picture):
    for defective, mask, kind in defects(picture, 60, foreign=part(seed=1)):
        assert (defective.dtype, defective.shape) == (np.uint8, picture.shape)
        assert (mask.dtype, mask.shape) == (np.uint8, picture.shape[:2])
        assert set(np.unique(mask)) <= {0, 255}
        inside = mask == 255
        change = cv2.absdiff(defective, picture).max(axis=2)
        assert inside.sum() >= 4, kind
        assert change[~inside].max(initial=0) < MIN_CHANGE, kind
        assert (change[inside] >= MIN_CHANGE).mean() > 0.5, kind
        assert change[inside & (change >= MIN_CHANGE)].mean() >= MIN_CONTRAST, kind


def test_every_shape_meets_every_fill():
    kinds = {kind for _, _, kind in defects(part(64, 64), 600, foreign=part(seed=1))}
    assert kinds >= {f"{shape}-{fill}" for shape in SHAPES for fill in FILLS}


def test_sizes_span_two_orders_of_magnitude():
    shares = np.array([(mask > 0).mean() for _, mask, _ in defects(part(), 300)])
    assert shares.min() < 0.002
    assert shares.max() > 0.04
    assert shares.max() < 0.2
    assert 0.003 < np.median(shares) < 0.02


def test_strength_spans_subtle_to_strong():
    picture = part()
    contrasts = [cv2.absdiff(d, picture).max(axis=2)[m > 0].mean() for d, m, _ in defects(picture, 200)]
    assert np.quantile(contrasts, 0.1) < 30
    assert np.quantile(contrasts, 0.9) > 60


def test_defects_are_found_everywhere():
    hits = sum((mask > 0).astype(int) for _, mask, _ in defects(part(), 400))
    assert (cv2.resize(hits.astype(np.float32), (4, 4), interpolation=cv2.INTER_AREA) > 0.5).all()


def test_a_gray_picture_gets_gray_defects():
    for defective, _, kind in defects(part(64, 64, gray=True), 100, foreign=part(seed=1)):
        assert np.ptp(defective.astype(int), axis=2).max() == 0, kind


def test_a_foreign_picture_of_another_size_will_do():
    assert all(mask.any() for _, mask, _ in defects(part(64, 64), 50, foreign=part(30, 400)))


def test_is_fast_enough_to_keep_out_of_the_way_of_training():
    picture, foreign = part(), part(seed=1)
    defects(picture, 5, foreign)
    times = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        start = time.process_time()
        make_defect(picture, rng, foreign)
        times.append(time.process_time() - start)
    assert np.median(times) < 0.010  # about 1 ms here; the bound leaves room for a slow machine


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("hw", [(256, 256), (64, 200), (32, 32)])
def test_shapes_lie_inside_the_picture(name, hw):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        shape = SHAPES[name](rng, hw, rng.uniform(0.001, 0.08) * hw[0] * hw[1])
        rows, columns = shape.box
        assert 0 <= rows.start < rows.stop <= hw[0]
        assert 0 <= columns.start < columns.stop <= hw[1]
        assert shape.alpha.dtype == np.float32
        assert shape.alpha.min() >= 0
        assert 0 < shape.alpha.max() <= 1


@pytest.mark.parametrize("name", ["blob", "smear"])
def test_patches_have_about_the_area_asked_for(name):
    for area in (100, 1000, 4000):
        areas = [(SHAPES[name](np.random.default_rng(s), (256, 256), area).alpha > 0.5).sum() for s in range(40)]
        assert 0.5 * area < np.median(areas) < 2 * area


@pytest.mark.parametrize("name", FILLS)
def test_fills_keep_size_and_type(name):
    picture = part()
    before = picture[100:140, 100:160].astype(np.float32)
    for seed in range(10):
        fill = FILLS[name](np.random.default_rng(seed), Canvas(before, picture, part(seed=1), 0.5))
        assert (fill.dtype, fill.shape) == (np.float32, (40, 60, 3))
        assert np.isfinite(fill).all()


def test_gain_is_what_it_says():
    before = np.full((4, 4, 3), 100, np.float32)
    fills = {FILLS["gain"](np.random.default_rng(s), Canvas(before, part(), None, 0.5))[0, 0, 0] for s in range(20)}
    # 100 * (1 +- 0.6 * 0.5) +- 60 * 0.5
    assert fills == {160.0, 40.0}


def test_moved_pixels_come_from_the_picture():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32] = (200, 100, 50)
    fill = FILLS["moved"](np.random.default_rng(0), Canvas(np.zeros((20, 20, 3), np.float32), picture, None, 1.0))
    shares = fill / np.array([200, 100, 50])
    np.testing.assert_allclose(shares[:, :, 0], shares[:, :, 2], atol=0.03)  # two colours and mixtures of them
    assert shares.max() <= 1.001


def test_noise_is_centred_and_smooth():
    noise = value_noise(np.random.default_rng(0), (128, 128), 32)
    assert (noise.dtype, noise.shape) == (np.float32, (128, 128))
    assert abs(noise.mean() - 0.5) < 0.1
    assert np.abs(np.diff(noise, axis=0)).max() < 0.2
    assert value_noise(np.random.default_rng(0), (5, 7), 100, 3).shape == (5, 7, 3)


def test_where_nothing_would_show_the_last_resort_does(monkeypatch):
    monkeypatch.setattr("aae_train.synthetic._TRIES", 0)
    for picture in (np.zeros((8, 8, 3), np.uint8), np.full((256, 256, 3), 255, np.uint8), part()):
        defective, mask, kind = make_defect(picture, np.random.default_rng(0))
        assert kind == "spots-invert"
        assert mask.any()
        change = cv2.absdiff(defective, picture)
        assert (change[mask == 255] == 128).all()
        assert not change[mask == 0].any()

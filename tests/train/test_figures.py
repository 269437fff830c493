import math
import sys

import cv2
import numpy as np
import pytest

from aae_detect.errors import InstallError
from aae_train.figures import Sample, contact_sheet, training_curves

SCALE = (0.0, 4.0)


def read(path):
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(int)


def near(image, colour, tolerance=60):
    """Pixels of about a colour (BGR)."""
    return np.abs(image - np.array(colour)).max(axis=2) < tolerance


def sample(level=100, peak=0.0, score=None, name="part.png", hw=(64, 64)):
    heat = np.zeros((hw[0] // 4, hw[1] // 4), np.float32)
    heat[heat.shape[0] // 2, heat.shape[1] // 2] = peak
    picture = np.full((*hw, 3), (level, 0, 0), np.uint8)
    drawn = np.full((*hw, 3), (0, level, 0), np.uint8)
    return Sample(picture, drawn, heat, peak if score is None else score, name)


def history(steps=200):
    for step in range(10, steps + 1, 10):
        yield {
            "stage": "final",
            "step": step,
            "reconstruction": 1 / step,
            "discriminator": math.log(4),
            "generator": 0.7,
            "discriminator_accuracy": 0.5,
        }
        if step % 50 == 0:
            yield {"stage": "final", "step": str(step), "reconstruction": "", "select_score": str(step / steps)}


class TestTrainingCurves:
    def test_draws_every_curve_in_its_panel(self, tmp_path):
        training_curves(history(), tmp_path / "curves.png")
        image = read(tmp_path / "curves.png")
        height = image.shape[0]
        assert image.shape[1] >= 1000
        blue, red, green = (180, 119, 31), (40, 39, 214), (44, 160, 44)
        for colour, panel in ((blue, 0), (red, 1), (green, 2)):
            rows = np.nonzero(near(image, colour, 25).any(axis=1))[0]
            assert rows.size > 0
            assert rows.min() > height * (panel / 3 - 0.05)
            assert rows.max() < height * ((panel + 1) / 3 + 0.05)

    def test_reconstruction_falls_from_left_to_right(self, tmp_path):
        training_curves(history(), tmp_path / "curves.png")
        image = read(tmp_path / "curves.png")
        rows, columns = np.nonzero(near(image, (180, 119, 31), 25))
        inside = rows > image.shape[0] * 0.04  # below the legend
        left = rows[inside & (columns < np.quantile(columns[inside], 0.2))].mean()
        right = rows[inside & (columns > np.quantile(columns[inside], 0.8))].mean()
        assert right > left + 50

    def test_long_runs_are_smoothed(self, tmp_path):
        rng = np.random.default_rng(0)
        rows = [{"step": step, "generator": 0.7 + 0.3 * rng.choice([-1, 1])} for step in range(2000)]
        training_curves(rows, tmp_path / "curves.png")
        purple = near(read(tmp_path / "curves.png"), (189, 103, 148), 25)
        rows_px = np.nonzero(purple[500:820, 200:1100])[0]
        # The values jump by 0.6, some 160 pixels; the mean of 50 has a standard deviation of 0.04, some 11 pixels.
        assert np.ptp(rows_px) < 110

    @pytest.mark.parametrize(
        "rows",
        [
            [],
            [{"step": 1, "reconstruction": 0.5}],
            [{"step": 1, "reconstruction": 0.0, "discriminator": None}],
            [{"stage": "fold-1", "step": 5, "reconstruction": 0.5}],
        ],
    )
    def test_takes_runs_that_have_hardly_begun(self, tmp_path, rows):
        training_curves(rows, tmp_path / "curves.png")
        assert read(tmp_path / "curves.png").shape[1] >= 1000

    def test_folds_are_paler_than_the_model_that_ships(self, tmp_path):
        rows = list(history())
        training_curves([{**row, "stage": "fold-1"} for row in rows], tmp_path / "fold.png")
        training_curves(
            [{**row, "stage": "fold-1"} for row in rows]
            + [{**row, "reconstruction": "", "stage": "final"} for row in rows],
            tmp_path / "both.png",
        )
        bold = near(read(tmp_path / "fold.png"), (180, 119, 31), 25).sum()
        pale = near(read(tmp_path / "both.png"), (180, 119, 31), 25).sum()
        assert bold > 500  # a fold alone is the best there is, and is drawn as such
        assert pale == 0

    def test_uses_no_global_state(self, tmp_path):
        loaded_before = "matplotlib.pyplot" in sys.modules
        training_curves(history(), tmp_path / "curves.png")
        assert ("matplotlib.pyplot" in sys.modules) == loaded_before

    def test_says_how_to_get_matplotlib(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(InstallError, match=r"pip install 'aae-detect\[train\]'"):
            training_curves([], tmp_path / "curves.png")


class TestContactSheet:
    def test_shows_picture_reconstruction_and_map_side_by_side(self, tmp_path):
        contact_sheet([sample(200)], tmp_path / "sheet.png", SCALE, 2.0)
        image = read(tmp_path / "sheet.png")
        cold = cv2.applyColorMap(np.zeros((1, 1), np.uint8), cv2.COLORMAP_TURBO)[0, 0]
        tiles = [near(image, colour, 3) for colour in ((200, 0, 0), (0, 200, 0), cold)]
        centres = [np.nonzero(tile)[1].mean() for tile in tiles]
        assert centres == sorted(centres)
        assert all(tile.sum() >= 200 * 200 for tile in tiles)

    def test_the_colours_are_those_of_the_fixed_scale(self, tmp_path):
        weak, strong = tmp_path / "weak.png", tmp_path / "strong.png"
        contact_sheet([sample(peak=1.0)], weak, SCALE, 5.0)
        contact_sheet([sample(peak=9.0, score=1.0)], strong, SCALE, 10.0)
        hottest = cv2.applyColorMap(np.full((1, 1), 255, np.uint8), cv2.COLORMAP_TURBO)[0, 0]
        scale_only = near(read(weak), hottest, 3).sum()
        assert near(read(strong), hottest, 3).sum() > scale_only + 50

    def test_outlines_what_lies_above_the_threshold(self, tmp_path):
        contact_sheet([sample(peak=3.0)], tmp_path / "above.png", SCALE, 1.0)
        contact_sheet([sample(peak=3.0)], tmp_path / "below.png", SCALE, 3.5)
        above, below = read(tmp_path / "above.png"), read(tmp_path / "below.png")
        tile = slice(40, 230), slice(470, 640)  # inside the map's tile, away from its edges
        assert near(above[tile], (255, 255, 255), 5).any()
        assert not near(below[tile], (255, 255, 255), 5).any()

    def test_verdicts_have_their_colours(self, tmp_path):
        good, bad = tmp_path / "good.png", tmp_path / "bad.png"
        contact_sheet([sample(score=1.0)], good, SCALE, 2.0)
        contact_sheet([sample(score=3.0)], bad, SCALE, 2.0)
        for path, green, red in ((good, True, False), (bad, False, True)):
            caption = read(path)[262:300, :400]
            assert (caption[..., 1] - caption[..., 2] > 60).any() == green
            assert (caption[..., 2] - caption[..., 1] > 60).any() == red

    def test_takes_at_most_twelve_spread_evenly(self, tmp_path):
        contact_sheet([sample(level) for level in range(100, 200, 4)], tmp_path / "many.png", SCALE, 2.0)
        contact_sheet([sample(level) for level in range(100, 148, 4)], tmp_path / "twelve.png", SCALE, 2.0)
        many, twelve = read(tmp_path / "many.png"), read(tmp_path / "twelve.png")
        assert many.shape == twelve.shape
        assert near(many, (100, 0, 0), 1).any()
        assert near(many, (196, 0, 0), 1).any()

    @pytest.mark.parametrize("hw", [(32, 256), (256, 32), (96, 64)])
    def test_takes_any_shape_and_name(self, tmp_path, hw):
        names = ["a" * 300, "Prüfling-é.png", ""]
        samples = [sample(180, peak=3.0, name=name, hw=hw) for name in names]
        contact_sheet(samples, tmp_path / "sheet.png", SCALE, 2.0, ("input", "drawn", "heat"))
        blue = near(read(tmp_path / "sheet.png"), (180, 0, 0), 3).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(blue)
        tiles = [(int(h), int(w)) for _, _, w, h, area in boxes[1:] if area > 1000]
        assert len(tiles) == 3
        for height, width in tiles:
            assert max(height, width) == 208
            assert height / width == pytest.approx(hw[0] / hw[1], rel=0.03)

    def test_a_score_that_is_no_number_does_not_break_it(self, tmp_path):
        broken = sample(score=math.nan)
        broken.anomaly_map[:] = np.nan
        contact_sheet([broken], tmp_path / "sheet.png", SCALE, 2.0)
        assert near(read(tmp_path / "sheet.png"), (100, 0, 0), 3).any()

"""`aae-bench accuracy` against the detector's own answers, on pictures whose truth is known."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aae_detect import Detector
from aae_detect._opencv import cv2
from aae_detect.bench import metrics
from aae_detect.bench.accuracy import judge_pictures, map_at, measure_accuracy, name_clips, scores_csv
from aae_detect.bench.dataset import find_labelled_set, read_mask
from aae_detect.errors import ConfigError, ModelError, SourceError
from aae_detect.geometry import place
from aae_detect.picture_source import read_picture
from aae_detect.scoring import map_to_frame

HW = (96, 128)


def picture(seed: int, blob: tuple[int, int, int] | None = None, hw: tuple[int, int] = HW) -> NDArray[np.uint8]:
    """Gray with a little noise; a blob at (x, y) of a brightness stands out."""
    image = np.random.default_rng(seed).integers(126, 131, (*hw, 3)).astype(np.uint8)
    if blob:
        x, y, brightness = blob
        image[y : y + 24, x : x + 32] = brightness
    return image


def save(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def save_defect(root: Path, kind: str, name: str, blob: tuple[int, int, int]) -> None:
    save(root / f"test/{kind}/{name}.png", picture(100 + int(name), blob))
    mask = np.zeros(HW, np.uint8)
    mask[blob[1] : blob[1] + 24, blob[0] : blob[0] + 32] = 255
    save(root / f"ground_truth/{kind}/{name}.png", mask)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four good pictures, two bright and two dark defects."""
    for number in range(4):
        save(tmp_path / f"test/good/{number}.png", picture(number))
    save_defect(tmp_path, "bright", "0", (20, 30, 250))
    save_defect(tmp_path, "bright", "1", (70, 50, 230))
    save_defect(tmp_path, "dark", "2", (40, 20, 10))
    save_defect(tmp_path, "dark", "3", (64, 64, 30))
    return tmp_path


def measure(model: Path, root: Path, threshold: float | None = None) -> dict[str, Any]:
    detector = Detector.load(model, provider="cpu", threads=1, threshold=threshold)
    return measure_accuracy(judge_pictures(detector, find_labelled_set(root)), detector.threshold, resamples=50)


def test_figures_are_those_of_the_detectors_own_maps(tiny_model: Path, root: Path):
    reference = pytest.importorskip("sklearn.metrics")
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    labels, scores, truth, values = [], [], [], []
    for item in find_labelled_set(root).pictures:
        detection = detector(read_picture(item.path))
        labels.append(item.defective)
        scores.append(detection.score)
        values.append(detection.anomaly_map)
        truth.append(read_mask(item.mask_path, HW) if item.mask_path else np.zeros(HW, np.bool_))
    figures = measure(tiny_model, root)
    flat_truth, flat_values = np.ravel(truth), np.ravel(values)
    assert figures["image_auroc"] == reference.roc_auc_score(labels, scores)
    assert figures["image_ap"] == pytest.approx(reference.average_precision_score(labels, scores))
    assert figures["pixel_auroc"] == pytest.approx(reference.roc_auc_score(flat_truth, flat_values), abs=1e-12)
    assert figures["pixel_ap"] == pytest.approx(reference.average_precision_score(flat_truth, flat_values), abs=1e-12)
    called = np.array(scores) > detector.threshold
    assert figures["recall_at_threshold"] == metrics.recall_at(labels, scores, detector.threshold)
    assert figures["f1_at_threshold"] == reference.f1_score(labels, called)


def test_clear_defects_are_told_from_good_parts(tiny_model: Path, root: Path):
    figures = measure(tiny_model, root)
    assert figures["image_auroc"] == 1.0
    assert figures["image_ap"] == 1.0
    assert figures["pixel_auroc"] > 0.95
    assert 0 < figures["aupro_05"] <= figures["aupro_30"] <= 1
    assert figures["aupro_30"] > 0.8
    assert figures["image_auroc_ci95"] == [1.0, 1.0]
    assert figures["pixels"]["method"] == "exact"
    assert figures["pixels"]["regions"] == 4
    assert figures["pixels"]["defective"] == 4 * 24 * 32
    assert figures["pixels"]["other"] == 8 * HW[0] * HW[1] - 4 * 24 * 32


def test_the_threshold_decides_the_figures_at_it(tiny_model: Path, root: Path):
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    judged = judge_pictures(detector, find_labelled_set(root))
    good, bad = sorted(j.score for j in judged[:4]), sorted(j.score for j in judged[4:])
    at_best = measure_accuracy(judged, good[-1], resamples=20)
    assert (at_best["false_reject_rate"], at_best["recall_at_threshold"], at_best["f1_at_threshold"]) == (0.0, 1.0, 1.0)
    too_high = measure_accuracy(judged, bad[0], resamples=20)
    assert (too_high["false_reject_rate"], too_high["recall_at_threshold"]) == (0.0, 0.75)
    too_low = measure_accuracy(judged, good[1], resamples=20)
    assert (too_low["false_reject_rate"], too_low["recall_at_threshold"]) == (0.5, 1.0)
    low, high = too_low["false_reject_rate_ci95"]
    assert 0.0 <= low < 0.5 < high <= 1.0


def test_each_kind_of_defect_has_a_row_against_all_good_pictures(tiny_model: Path, root: Path):
    save(root / "test/unseen/0.png", picture(0))  # the very picture that is good: no detector can tell
    save(root / "test/unseen/1.png", picture(1))
    rows = measure(tiny_model, root)["kinds"]
    assert [(row["kind"], row["pictures"]) for row in rows] == [("bright", 2), ("dark", 2), ("unseen", 2)]
    assert [row["image_auroc"] for row in rows[:2]] == [1.0, 1.0]
    assert rows[2]["image_auroc"] < 0.9


def test_pictures_without_a_mask_count_for_the_image_figures_only(tiny_model: Path, root: Path):
    before = measure(tiny_model, root)
    (root / "ground_truth/bright/0.png").unlink()
    after = measure(tiny_model, root)
    assert after["counts"] == {"good": 4, "defective": 4, "with_mask": 3, "empty_masks": 0, "without_mask": 1}
    assert after["image_auroc"] == before["image_auroc"]
    assert after["pixels"]["defective"] == before["pixels"]["defective"] * 3 / 4
    assert after["pixels"]["other"] == before["pixels"]["other"] - (HW[0] * HW[1] - 24 * 32)


def test_without_any_mask_the_pixel_figures_are_undefined(tiny_model: Path, root: Path):
    for mask in root.glob("ground_truth/*/*"):
        mask.unlink()
    figures = measure(tiny_model, root)
    assert all(math.isnan(figures[name]) for name in ("pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"))
    assert figures["image_auroc"] == 1.0


def test_a_defective_picture_with_an_empty_mask_stays_defective_and_is_counted(tiny_model: Path, root: Path):
    save(root / "ground_truth/dark/2.png", np.zeros(HW, np.uint8))
    figures = measure(tiny_model, root)
    assert figures["counts"] == {"good": 4, "defective": 4, "with_mask": 4, "empty_masks": 1, "without_mask": 0}
    assert figures["pixels"]["regions"] == 3


def test_large_pictures_are_counted_at_512(tiny_model: Path, root: Path):
    large = picture(9, (500, 100, 250), (400, 1024))
    save(root / "test/large/0.png", large)
    mask = np.zeros((400, 1024), np.uint8)
    mask[100:124, 500:532] = 255
    save(root / "ground_truth/large/0.png", mask)
    before = 8 * HW[0] * HW[1]
    pixels = measure(tiny_model, root)["pixels"]
    assert pixels["other"] + pixels["defective"] == before + 200 * 512
    assert pixels["defective"] == 4 * 24 * 32 + 12 * 16


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_a_map_made_for_a_shrunk_frame_is_the_frames_own_map_shrunk(fit: Any):
    generator = np.random.default_rng(0)
    cells = cv2.GaussianBlur(generator.random((16, 16)).astype(np.float32), (0, 0), 1.5)
    placement = place((480, 640), (64, 64), fit)
    full = map_to_frame(cells, placement)
    assert np.array_equal(map_at(cells, placement, (480, 640)), full)
    half = map_at(cells, placement, (240, 320))
    assert np.abs(half - full.reshape(240, 2, 320, 2).mean(axis=(1, 3))).max() < 0.01 * np.ptp(full)


def test_a_mask_that_does_not_fit_is_refused_while_judging(tiny_model: Path, root: Path):
    save(root / "ground_truth/dark/2.png", np.zeros((50, 50), np.uint8))
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    with pytest.raises(SourceError, match=r"dark/2\.png is 50x50, its picture 128x96"):
        judge_pictures(detector, find_labelled_set(root))


def test_a_map_that_is_no_number_is_the_models_fault(root: Path):
    def broken(image: Any) -> Any:
        placement = place(image.shape[:2], (64, 64), "stretch")
        return SimpleNamespace(score=math.nan, model_map=np.full((16, 16), np.nan, np.float32), placement=placement)

    with pytest.raises(ModelError, match=r"good/0\.png holds values that are not finite"):
        judge_pictures(broken, find_labelled_set(root))  # type: ignore[arg-type]


def test_the_csv_has_a_line_for_each_picture(tiny_model: Path, root: Path):
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    done: list[int] = []
    judged = judge_pictures(detector, find_labelled_set(root), done.append)
    lines = [line.split(",") for line in scores_csv(judged, root, judged[4].score).splitlines()]
    assert done == list(range(1, 9))
    assert lines[0] == ["picture", "kind", "defective", "score", "threshold", "verdict", "mask"]
    assert len(lines) == 9
    assert lines[1][:3] == ["test/good/0.png", "good", "0"]
    assert lines[1][5:] == ["OK", ""]
    assert lines[5][:3] == ["test/bright/0.png", "bright", "1"]
    assert float(lines[5][3]) == judged[4].score
    assert lines[5][5:] == ["OK", "ground_truth/bright/0.png"]  # at the threshold, not above


def test_what_belongs_together_is_found_by_names_and_redrawn_as_a_whole(tiny_model: Path, root: Path):
    labelled = find_labelled_set(root)
    first = [item.path.name[0] for item in labelled.pictures]
    assert name_clips(labelled, "^.") == first
    detector = Detector.load(tiny_model)
    figures = measure_accuracy(judge_pictures(detector, labelled), detector.threshold, 50, clips=first)
    assert figures["bootstrap"]["method"] == f"percentile, {len(set(first))} clips as wholes"
    for pattern, words in (
        ("(", "expected a regular expression"),
        ("^q", "finds nothing in"),
        ("png", "in every name"),
    ):
        with pytest.raises(ConfigError, match=words):
            name_clips(labelled, pattern)

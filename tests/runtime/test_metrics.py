"""Figures against hand-computed cases, scikit-learn, and brute force over every threshold."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench import metrics
from aae_detect.bench.aupro import region_weights
from aae_detect.bench.bootstrap import bootstrap_intervals
from aae_detect.bench.pixels import PixelCounts, count_pixels

Pictures = list[tuple[NDArray[np.float32], NDArray[np.bool_]]]


def random_scores(seed: int, count: int, distinct: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Labels and scores that say something of each other, with many ties where `distinct` is small."""
    generator = np.random.default_rng(seed)
    labels = generator.random(count) < 0.3
    scores = np.round((generator.normal(size=count) + labels) * distinct / 6) / 7
    return labels, scores


def random_pictures(seed: int, count: int = 4, distinct: int = 40, size: int = 12) -> Pictures:
    """Small maps and masks, half of the masks empty, with ties, negative values and touching corners."""
    generator = np.random.default_rng(seed)
    pictures = []
    for number in range(count):
        mask = generator.random((size, size + 3)) < (0.12 if number % 2 else 0.0)
        mask |= np.roll(mask, (1, 1), (0, 1))  # diagonal neighbours: one region under 8, two under 4
        noise = generator.normal(size=mask.shape) + 1.2 * mask
        pictures.append((np.round(noise * distinct / 8).astype(np.float32) / 5, mask))
    return pictures


def brute_force_aupro(pictures: Pictures, limit: float) -> float:
    """Every distinct score as a threshold, every region by itself."""
    regions = []
    for number, (_, mask) in enumerate(pictures):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [(number, labels == label) for label in range(1, count)]
    outside = sum(int(np.sum(~mask)) for _, mask in pictures)
    points = [(0.0, 0.0)]
    for threshold in sorted({float(value) for scores, _ in pictures for value in scores.ravel()}, reverse=True):
        overlaps = [float(np.mean(pictures[number][0][region] >= threshold)) for number, region in regions]
        false = sum(int(np.sum((scores >= threshold) & ~mask)) for scores, mask in pictures)
        points.append((false / outside, float(np.mean(overlaps))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit:
            cut = min(x1, limit)
            y_cut = y1 if x1 == x0 else y0 + (y1 - y0) * (cut - x0) / (x1 - x0)
            area += (cut - x0) * (y0 + y_cut) / 2
    return area / limit


def counted(pictures: Pictures, max_distinct: int = 2**21) -> PixelCounts:
    return count_pixels(lambda: iter(pictures), max_distinct)


def flat(pictures: Pictures) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    return np.concatenate([m.ravel() for _, m in pictures]), np.concatenate([s.ravel() for s, _ in pictures])


def test_figures_of_pictures_in_hand_computed_cases():
    labels, scores = [0, 1, 0, 1], [0.1, 0.4, 0.35, 0.8]
    assert metrics.auroc(labels, scores) == 1.0
    # Four pairs: 0.35 > 0.1 and 0.8 above both count 1 each, 0.35 against 0.4 counts 0.
    assert metrics.auroc([0, 1, 0, 1], [0.1, 0.35, 0.4, 0.8]) == 0.75
    # Recall rises by 1/2 at 0.8 (precision 1) and by 1/2 at 0.35 (precision 2/3).
    assert metrics.average_precision([0, 1, 0, 1], [0.1, 0.35, 0.4, 0.8]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert metrics.auroc([1, 0], [0.5, 0.5]) == 0.5
    assert metrics.average_precision([1, 0, 0, 0], [0.5] * 4) == 0.25
    assert metrics.auroc([1, 0], [0.0, 1.0]) == 0.0


def test_a_score_on_the_threshold_is_not_ng():
    labels, scores = [0, 0, 0, 1, 1], [1.0, 2.0, 3.0, 2.0, 5.0]
    assert metrics.false_reject_rate(labels, scores, 2.0) == pytest.approx(1 / 3)
    assert metrics.recall_at(labels, scores, 2.0) == 0.5
    assert metrics.f1_at(labels, scores, 2.0) == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert metrics.f1_at(labels, scores, 9.0) == 0.0


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_what_one_class_alone_cannot_tell_is_nan(labels: list[int]):
    scores = [0.1, 0.2][: len(labels)]
    assert math.isnan(metrics.auroc(labels, scores))
    assert math.isnan(metrics.average_precision(labels, scores))
    assert math.isnan(metrics.recall_at(labels, scores, 0.0)) == (1 not in labels)
    assert math.isnan(metrics.f1_at(labels, scores, 0.0)) == (1 not in labels)
    assert math.isnan(metrics.false_reject_rate(labels, scores, 0.0)) == (0 not in labels)


def test_scores_that_are_no_numbers_or_do_not_match_are_refused():
    with pytest.raises(ValueError, match="not a finite number"):
        metrics.auroc([0, 1], [0.0, math.nan])
    with pytest.raises(ValueError, match=r"shape \(2,\), scores \(3,\)"):
        metrics.recall_at([0, 1], [0.0, 1.0, 2.0], 0.5)


@pytest.mark.parametrize("distinct", [3, 20, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_figures_of_pictures_agree_with_scikit_learn(seed: int, distinct: int):
    reference = pytest.importorskip("sklearn.metrics")
    labels, scores = random_scores(seed, 300, distinct)
    threshold = float(np.median(scores))
    assert metrics.auroc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
    expected = reference.average_precision_score(labels, scores)
    assert metrics.average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)
    assert metrics.f1_at(labels, scores, threshold) == pytest.approx(reference.f1_score(labels, scores > threshold))
    assert metrics.recall_at(labels, scores, threshold) == reference.recall_score(labels, scores > threshold)
    false_reject = reference.recall_score(~labels, scores <= threshold)
    assert metrics.false_reject_rate(labels, scores, threshold) == pytest.approx(1 - false_reject)


@pytest.mark.parametrize("distinct", [3, 40, 10**5])
@pytest.mark.parametrize("seed", range(4))
def test_figures_of_pixels_agree_with_scikit_learn(seed: int, distinct: int):
    reference = pytest.importorskip("sklearn.metrics")
    pictures = random_pictures(seed, distinct=distinct)
    labels, scores = flat(pictures)
    pixels = counted(pictures)
    assert pixels.dropped_bits == 0
    assert pixels.error_bound(0.05) == 0.0
    assert pixels.positives.sum() == labels.sum()
    assert pixels.negatives.sum() == np.sum(~labels)
    assert pixels.auroc() == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
    assert pixels.average_precision() == pytest.approx(reference.average_precision_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("limit", [0.05, 0.30, 1.0])
@pytest.mark.parametrize("distinct", [3, 40, 10**5])
def test_aupro_agrees_with_brute_force(distinct: int, limit: float):
    for seed in range(3):
        pictures = random_pictures(seed, distinct=distinct)
        assert counted(pictures).aupro(limit) == pytest.approx(brute_force_aupro(pictures, limit), abs=1e-12)


def test_aupro_in_a_hand_computed_case():
    # Two regions, of one pixel and of four; six pixels outside.
    mask = np.zeros((3, 5), np.bool_)
    mask[0, 0] = True
    mask[1:, 3:] = True
    scores = np.zeros((3, 5), np.float32)
    scores[0, 0], scores[1:, 3:], scores[2, 0] = 3.0, [[3.0, 1.0], [1.0, 1.0]], 2.0
    # Overlap (1 + 1/4) / 2 up to one false pixel in ten (at 2.0), then at 1.0 all is found, then FPR runs to 1.
    pixels = counted([(scores, mask)])
    assert pixels.regions == 2
    assert pixels.aupro(0.1) == pytest.approx(0.625)
    assert pixels.aupro(0.2) == pytest.approx((0.1 * 0.625 + 0.1 * 1.0) / 0.2)
    assert pixels.aupro(1.0) == pytest.approx(0.1 * 0.625 + 0.9 * 1.0)


def test_aupro_is_cut_on_the_line_where_one_score_crosses_the_limit():
    # All pixels tie: the curve is the diagonal, whose area up to L is L * L / 2, so L / 2 after division.
    mask = np.eye(4, dtype=np.bool_)
    pixels = counted([(np.zeros((4, 4), np.float32), mask)])
    assert pixels.regions == 1  # the diagonal hangs together by its corners
    for limit in (0.05, 0.30):
        assert pixels.aupro(limit) == pytest.approx(limit / 2)
    with pytest.raises(ValueError, match="expected above 0"):
        pixels.aupro(0.0)


def test_small_regions_weigh_as_much_as_large_ones():
    mask = np.zeros((6, 6), np.bool_)
    mask[0, 0], mask[3:, 3:] = True, True
    weights, regions = region_weights(mask)
    assert regions == 2
    assert weights.tolist() == pytest.approx([1.0] + [1 / 9] * 9)


def test_good_pictures_count_as_false_positives():
    mask = np.zeros((2, 2), np.bool_)
    mask[0, 0] = True
    found = (np.array([[1.0, 0.0], [0.0, 0.0]], np.float32), mask)
    clean = (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_))
    glowing = (np.full((2, 2), 2.0, np.float32), np.zeros((2, 2), np.bool_))
    assert counted([found, clean]).auroc() == 1.0
    assert counted([found, glowing]).auroc() == pytest.approx(3 / 7)
    assert counted([found, glowing]).aupro(0.30) == 0.0


def test_pixel_figures_without_a_mask_or_without_other_pixels_are_nan():
    clean = (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_))
    full = (np.zeros((2, 2), np.float32), np.ones((2, 2), np.bool_))
    for pixels in (counted([clean]), counted([full]), counted([])):
        assert math.isnan(pixels.auroc())
        assert math.isnan(pixels.average_precision())
        assert math.isnan(pixels.aupro(0.30))


@pytest.mark.parametrize("max_distinct", [4, 30, 200])
def test_rounded_pixel_figures_stay_within_the_stated_bound(max_distinct: int):
    pictures = random_pictures(7, count=8, distinct=10**6, size=40)
    exact, rounded = counted(pictures), counted(pictures, max_distinct)
    assert exact.dropped_bits == 0
    assert rounded.dropped_bits > 0
    assert (len(rounded.positives) - 1) // 2 <= max_distinct
    for limit in (0.05, 0.30):
        bound = rounded.error_bound(limit)
        assert 0 < abs(rounded.auroc() - exact.auroc()) <= bound
        assert abs(rounded.average_precision() - exact.average_precision()) <= bound
        assert abs(rounded.aupro(limit) - exact.aupro(limit)) <= bound
    assert rounded.positives.sum() == exact.positives.sum()
    assert rounded.negatives.sum() == exact.negatives.sum()


def test_the_bound_shrinks_with_the_scores_that_are_kept():
    pictures = random_pictures(8, count=8, distinct=10**6, size=40)
    coarse, fine = (counted(pictures, size).error_bound(0.30) for size in (8, 400))
    assert fine < coarse / 5
    assert fine < 0.05


def test_maps_that_are_no_numbers_or_do_not_match_are_refused():
    mask = np.eye(2, dtype=np.bool_)
    with pytest.raises(ValueError, match="not finite"):
        counted([(np.array([[0.0, np.nan], [0.0, 0.0]], np.float32), mask)])
    with pytest.raises(ValueError, match=r"shape \(2, 3\), its mask \(2, 2\)"):
        counted([(np.zeros((2, 3), np.float32), mask)])


def test_intervals_are_repeatable_ordered_and_hold_the_figure():
    labels, scores = random_scores(3, 80, 10**6)
    figures = {"auroc": metrics.auroc, "ap": metrics.average_precision}
    first = bootstrap_intervals(labels, scores, figures, resamples=300, seed=1)
    assert first == bootstrap_intervals(labels, scores, figures, resamples=300, seed=1)
    assert first != bootstrap_intervals(labels, scores, figures, resamples=300, seed=2)
    for name, figure in figures.items():
        low, high = first[name]
        assert 0 <= low < figure(labels, scores) < high <= 1


def test_resamples_keep_both_classes_at_their_sizes():
    labels = np.array([True] * 3 + [False] * 9)
    sizes = bootstrap_intervals(labels, np.arange(12.0), {"defective": lambda labels, _: float(labels.sum())}, 50)
    assert sizes["defective"] == (3.0, 3.0)
    alone = bootstrap_intervals([0, 0], [0.1, 0.2], {"auroc": metrics.auroc}, 50)
    assert math.isnan(alone["auroc"][0])


def test_clips_are_redrawn_as_wholes():
    generator = np.random.default_rng(0)
    of_clip = np.repeat(generator.normal(size=12), 30)  # what all frames of a clip have in common
    labels = np.arange(360) // 30 % 2 == 0
    scores = of_clip + labels + 0.2 * generator.normal(size=360)
    clips = [f"clip {number // 30}" for number in range(360)]
    figures = {"auroc": metrics.auroc}
    alone, together = (bootstrap_intervals(labels, scores, figures, 300, clips=c)["auroc"] for c in (None, clips))
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    assert together[0] < metrics.auroc(labels, scores) < together[1]
    # One clip of two has all the defects: they are never missing, and neither are good ones.
    split = bootstrap_intervals([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], figures, 50, clips=["a", "a", "b", "b"])
    assert split["auroc"] == (1.0, 1.0)


def test_intervals_cover_the_truth_of_a_binormal_model():
    # Scores N(1, 1) against N(0, 1): the true AUROC is Phi(1 / sqrt 2).
    truth = 0.5 * (1 + math.erf(0.5))
    generator = np.random.default_rng(0)
    labels = np.repeat([True, False], 40)
    covered = 0
    for trial in range(200):
        scores = generator.normal(size=80) + labels
        low, high = bootstrap_intervals(labels, scores, {"auroc": metrics.auroc}, resamples=200, seed=trial)["auroc"]
        covered += low <= truth <= high
    assert 0.90 <= covered / 200 <= 0.985

"""What the report says and draws of scores: bars, verdict, which pictures to show; by known answers."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")

from aae_detect.bench.dataset import LabelledPicture
from aae_detect.threshold import conformal_threshold
from aae_train.report.histogram import count_above, histogram_svg
from aae_train.report.labelled import Judged, Labelled, choose_to_show
from aae_train.report.opinion import form_opinion

LABELS = [("hole", 20.0)] * 9 + [("hole", 1.0)] + [("good", 1.0)] * 9


@pytest.mark.parametrize("threshold", [9.0, 0.0, 11.0, 400.0, -3.0])
def test_no_bar_of_the_histogram_lies_on_both_sides_of_the_threshold(threshold: float) -> None:
    scores = np.concatenate([np.arange(12.0), [threshold, threshold - 1e-3, threshold + 1e-3, 5000.0]])
    svg = histogram_svg([("scores", scores, "#000")], threshold)
    mark = float(re.search(r'<line x1="([\d.]+)"[^>]*dasharray', svg)[1])  # type: ignore[index]
    bars = re.findall(r'<rect x="([\d.]+)"[^>]*><title>(\d+)</title>', svg)
    assert sum(int(count) for _, count in bars) == len(scores)
    assert sum(int(count) for x, count in bars if float(x) > mark) == count_above(scores, threshold)


def test_histograms_of_scores_that_are_all_alike_or_no_numbers() -> None:
    assert "<rect" in histogram_svg([("one", np.array([2.0]), "#000")], 2.0)
    assert histogram_svg([("none", np.array([np.nan]), "#000")], 2.0) == ""
    assert histogram_svg([("none", np.array([1.0]), "#000")], float("nan")) == ""


def test_the_most_wrong_pictures_are_shown_first_and_no_more_than_asked() -> None:
    def judged(kind: str, scores: list[float]) -> list[Judged]:
        return [Judged(LabelledPicture(Path(f"{score}.png"), kind, None), score) for score in scores]

    everything = judged("good", [1, 2, 3, 12, 40]) + judged("hole", [0.5, 4, 9, 11, 30, 50])
    everything.sort(key=lambda item: -item.score)
    shown = choose_to_show(everything, 10.0, 6)
    assert [item.score for item in shown] == [0.5, 4, 9, 40, 12, 11]
    assert [item.score for item in choose_to_show(everything, 10.0, 2)] == [0.5, 40]
    assert len(choose_to_show(everything, 10.0, 100)) == len(everything)


@pytest.mark.parametrize(
    ("found", "labels", "warnings", "level", "reason"),
    [
        (9, [], [], "good", ""),
        (7, [], [], "doubt", "misses 3 of 10 synthetic"),
        (4, [], [], "bad", "misses 6 of 10 synthetic"),
        (10, [], ["odd", "odder"], "doubt", "2 warnings"),
        (7, LABELS, [], "good", ""),  # real defects decide
        (4, LABELS, [], "doubt", "misses 6 of 10 synthetic"),
        (10, [("hole", 1.0), ("hole", 1.0), ("good", 1.0)], [], "bad", "misses 2 of 2 labelled"),
        (10, [*LABELS, *[("good", 11.0)] * 2], [], "doubt", "rejects 2 of 11 good test pictures"),
        (10, [*LABELS, ("good", 11.0)], [], "good", ""),  # one in ten may happen
    ],
)
def test_what_speaks_against_a_model(
    found: int, labels: list[tuple[str, float]], warnings: list[str], level: str, reason: str
) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 101.0))
    calibration = conformal_threshold(scores, 0.01, "split").calibration
    judged = tuple(Judged(LabelledPicture(Path(f"{n}.png"), kind, None), s) for n, (kind, s) in enumerate(labels))
    defects = np.array([20.0] * found + [5.0] * (10 - found))
    opinion = form_opinion(calibration, 10.0, defects, Labelled(judged, ""), warnings)
    assert opinion.level == level
    assert len(opinion.reasons) == bool(reason) and reason in "".join(opinion.reasons)

"""The report of a run: counts, escaping, no network, bounded size; with labels and without, split and cross-fit."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="needs the train extra")

from aae_detect.bench import metrics
from aae_detect.bench.dataset import LabelledPicture
from aae_detect.threshold import conformal_threshold
from aae_train.config import TrainConfig
from aae_train.evidence_statistics import Statistics
from aae_train.held_out import Answers, Calibrated, Detect, HeldOut
from aae_train.odd import OddOnes
from aae_train.report.document import write_report
from aae_train.report.histogram import count_above
from aae_train.report.labelled import Judged, Labelled
from aae_train.report.measure import Examined, score_defects, score_good, show
from aae_train.report.opinion import chance_of_rejected, form_opinion

HW = (64, 96)
METRICS: dict[str, Any] = {
    "smallest_spot": {"diameter_px": 6, "contrast": 60, "found": {"4": 0.5, "6": 0.9}},
    "model": "aae",
    "encoder": "deterministic",
    "prior": "normal",
    "parameters": 1_000_000,
    "pictures": {"train": 50, "select": 5, "calibrate": 12, "folds": [], "skipped": 0},
    "steps": 10,
    "chosen_step": 10,
    "select_score": 0.5,
    "training_seconds": 3.0,
    "device": "cpu",
    "date": "2026-01-02T03:04:05+0000",
    "versions": {"aae-detect": "0.1.0"},
    "warnings": [],
}


def detect(images: NDArray[np.uint8]) -> Answers:
    """Score a picture by its largest distance from mid-gray; a defect on a flat picture is always found."""
    far = np.abs(images.astype(np.float32) - 128).max(axis=3)
    return Answers(far[:, ::4, ::4], far.max(axis=(1, 2)), images)


def write_folder(data: Path, with_test: bool) -> None:
    """Write a folder in MVTec AD layout; good pictures are gray 128, defective ones have a white spot."""
    good = np.full((*HW, 3), 128, np.uint8)
    spot = good.copy()
    spot[8:20, 8:20] = 255
    pictures = {"train/good/0": good, "train/good/1": good}
    if with_test:
        pictures |= {"test/good/a": good, "test/good/odd": spot}
        pictures |= {"test/hole/b": spot, "test/hole/c": spot, "test/dent/d": good}
    for name, picture in pictures.items():
        path = data / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)


def make_run(
    tmp_path: Path,
    with_test: bool = False,
    folds: int = 1,
    count: int = 12,
    judge: Callable[[int], Detect] | None = None,
) -> Examined:
    """Make a run as it is before its report is written; good picture number n has the score n."""
    data = tmp_path / "machine" / "hall <7> & co"
    write_folder(data, with_test)
    out = tmp_path / "run-1"
    out.mkdir()
    store = np.full((count, *HW, 3), 128, np.uint8)
    store[:, 0, 0] += np.arange(count, dtype=np.uint8)[:, None]
    names = [f"train/good/{number}.png" for number in range(count)]
    parts = np.array_split(np.arange(count), folds)
    held_out = tuple(
        HeldOut(judge(k) if judge else detect, tuple(part.tolist()), detect(store[part]).scores)
        for k, part in enumerate(parts)
    )
    scores = np.concatenate([group.scores for group in held_out])
    mixed = np.random.default_rng(0).permutation(scores)  # in order they would follow each other, and be worth less
    threshold = conformal_threshold(mixed, 0.25, "cross-fit" if folds > 1 else "split")
    nothing = np.zeros((1, 2, HW[0] // 4, HW[1] // 4), np.float32)
    calibrated = Calibrated(detect, Statistics(nothing, nothing + 1), threshold, held_out)
    odd = OddOnes(tuple(range(len(names))), tuple(6.0 - number for number in range(len(names))))
    return Examined(TrainConfig(data=str(data), input_hw=HW), out, store, names, calibrated, odd)


Report = Callable[..., tuple[str, Any]]


@pytest.fixture
def report(read_html: Callable[[str], Any]) -> Report:
    """Write the report of a run; returns it as text and as a page that needs no network."""

    def write(run: Examined, **changes: Any) -> tuple[str, Any]:
        html = write_report(METRICS | changes, run).read_text(encoding="utf-8")
        return html, read_html(html)

    return write


def test_counts_at_the_threshold_are_those_of_the_detector(tmp_path: Path, report: Report) -> None:
    """Twelve good pictures of scores 0 to 11 and a rate of 25 %: the tenth, score 9, is the threshold."""
    run = make_run(tmp_path)
    assert run.calibrated.threshold.value == 9.0
    assert count_above(np.arange(12.0), 9.0) == 2  # the threshold itself is OK
    _, page = report(run)
    assert "Above the threshold: 2 of 12 good pictures, 12 of 12 defects (0 missed)." in page.text
    assert "rejects at most 25.0% of good parts" in page.text
    assert "Nothing speaks against this model." in page.text


def test_names_are_escaped_and_no_path_of_the_machine_is_told(tmp_path: Path, report: Report) -> None:
    run = make_run(tmp_path)
    nasty = '<img src="http://x/y" onerror=alert(1)>&\udcff.png'
    run.names[11] = nasty  # type: ignore[index]
    html, page = report(run, warnings=[f"picture {run.config.data}/train/good/<b>.png: odd"])
    assert "&lt;img src=&quot;http" in html
    assert nasty[:-5] in page.text  # read as text, all but the byte that is no character
    assert "hall <7> & co" in page.text
    assert str(tmp_path) not in html and "machine" not in html
    assert "picture train/good/<b>.png: odd" in page.text
    assert page.text.index("The run gave warnings") < page.text.index("Scores")
    assert "Look closer before you trust this model. The run gave a warning." in page.text


def test_without_labels_it_says_why(tmp_path: Path, report: Report) -> None:
    _, page = report(make_run(tmp_path))
    assert "No labelled test pictures: the data folder has no folder test." in page.text
    assert "nothing was chosen with them" not in page.text


def test_labelled_pictures_are_judged_and_wrong_ones_marked(tmp_path: Path, report: Report) -> None:
    run = make_run(tmp_path, with_test=True)
    (Path(run.config.data) / "test" / "hole" / "torn.png").write_bytes(b"no picture")
    html, page = report(run)
    assert "Labels; nothing was chosen with them." in page.text
    assert "cannot be read: hole/torn.png." in page.text
    rows = re.findall(r"<tr( class=\"wrong\")?><td>(\w+)</td><td class=\"name\">([\w.]+)</td>.*?<td>(\w+)</td>", html)
    assert sorted(rows) == [
        ("", "good", "a.png", "OK"),
        ("", "hole", "b.png", "NG"),
        ("", "hole", "c.png", "NG"),
        (' class="wrong"', "dent", "d.png", "OK"),
        (' class="wrong"', "good", "odd.png", "NG"),
    ]
    assert "it finds 2 (67%), and it rejects 1 of 2 labelled good (50%)" in page.text
    assert "It misses 1 of 3 labelled defective pictures" in page.text
    expected = metrics.auroc([False, True, True, True, False], [0, 127, 127, 0, 127])
    assert f"image AUROC 1 is perfect, 0.5 is guessing {expected:.3f}" in page.text


@pytest.mark.parametrize(("count", "target"), [(22, 0.05), (30, 0.1)])
def test_pictures_like_those_that_were_learned_are_seldom_called_different(count: int, target: float) -> None:
    """What one calibration realises lies around its promise, so more are rejected than a binomial would have it."""
    rng = np.random.default_rng(0)
    accused = 0
    for _ in range(400):
        scores = rng.gumbel(size=count + 101).astype(np.float32)
        threshold = conformal_threshold(scores[:count], target, "split")
        spot = LabelledPicture(Path("x.png"), "hole", None)
        pictures = [Judged(LabelledPicture(Path("x.png"), "good", None), score) for score in scores[count + 1 :]]
        labelled = Labelled((Judged(spot, 100.0), *pictures), "")
        opinion = form_opinion(threshold.calibration, threshold.value, np.array([100.0]), labelled, [])
        accused += any("good test pictures" in reason for reason in opinion.reasons)
    assert accused <= 0.02 * 400


@pytest.mark.parametrize(("count", "target", "above"), [(22, 0.01, 0), (300, 0.01, 2), (12, 0.25, 2), (99, 0.01, 0)])
def test_the_chance_of_rejected_pictures_is_beta_binomial(count: int, target: float, above: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    calibration = conformal_threshold(np.random.default_rng(0).random(count), target, "split").calibration
    for rejected in (0, 1, 40):
        expected = stats.betabinom(2000, above + 1, count - above).sf(rejected - 1)
        assert chance_of_rejected(rejected, 2000, calibration) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_pictures_that_follow_each_other_leave_more_to_chance() -> None:
    scores = np.random.default_rng(0).random(30)
    alike = conformal_threshold(np.repeat(scores, 10), 0.1, "split").calibration
    assert alike.effective_count < 60
    several = conformal_threshold(np.random.default_rng(0).random(300), 0.1, "split").calibration
    assert chance_of_rejected(20, 100, several) < 0.01 < chance_of_rejected(20, 100, alike)


def test_a_test_folder_of_one_class_is_no_error(tmp_path: Path, report: Report) -> None:
    run = make_run(tmp_path, with_test=True)
    shutil.rmtree(Path(run.config.data) / "test" / "good")
    _, page = report(run)
    assert "does not hold both good and defective pictures" in page.text


def test_a_cross_fit_shows_what_the_model_of_the_fold_says(tmp_path: Path, report: Report) -> None:
    asked: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def judge(fold: int) -> Detect:
        def of_fold(images: NDArray[np.uint8]) -> Answers:
            asked[fold] += [int(image[0, 0, 0]) - 128 for image in images]
            return detect(images)

        return of_fold

    run = make_run(tmp_path, folds=3, judge=judge)
    own = {fold: list(group.numbers) for fold, group in enumerate(run.calibrated.held_out)}
    for scored in score_good(run.calibrated.held_out):
        show(scored, run)
    assert {fold: sorted(numbers) for fold, numbers in asked.items()} == own
    defects = score_defects(run.calibrated.held_out, run.store)
    for scored in defects:  # the detector of a picture's fold is the one that scores it and that shows it
        fold = next(fold for fold, numbers in own.items() if scored.number in numbers)
        assert scored.detect is run.calibrated.held_out[fold].detect
        before = len(asked[fold])
        assert show(scored, run).score == scored.score
        assert len(asked[fold]) == before + 1
    assert [len(numbers) for numbers in asked.values()] == [12, 12, 12]
    _, page = report(run, pictures=METRICS["pictures"] | {"train": 12, "folds": [4, 4, 4]})
    assert "3 models were trained beside the one that ships" in page.text
    assert "each scored by a model that had not learned it" in page.text
    assert "10 steps for each of 4 models" in page.text
    run = replace(run, config=replace(run.config, steps=None, minutes=5.0))  # of which the folds share a half
    _, page = report(run, pictures=METRICS["pictures"] | {"train": 12, "folds": [4, 4, 4]})
    assert "10 steps of the model that ships in half of the time, the other half for 3 that" in page.text


def test_defects_are_the_same_each_time_and_few_of_many(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    first, second = (score_defects(run.calibrated.held_out, run.store, most=5) for _ in range(2))
    assert [(item.number, item.score, item.kind) for item in first] == [
        (item.number, item.score, item.kind) for item in second
    ]
    assert {item.number for item in first} == {0, 2, 5, 8, 11}
    shown = show(first[0], run)
    assert shown.mask is not None and shown.mask.any() and shown.score == first[0].score


def test_two_pictures_are_enough(tmp_path: Path, report: Report) -> None:
    _, page = report(make_run(tmp_path, folds=2, count=2))
    assert "Above the threshold: 0 of 2 good pictures" in page.text


def test_few_good_pictures_that_set_the_threshold_alone_are_named(tmp_path: Path, report: Report) -> None:
    run = make_run(tmp_path)
    scores = run.calibrated.held_out[0].scores
    scores[[3, 7]] = (900.0, 1000.0)
    run = replace(run, calibrated=replace(run.calibrated, threshold=conformal_threshold(scores, 0.01, "split")))
    _, page = report(run)
    assert "set the threshold: train/good/7.png , train/good/3.png ." in page.text
    assert "12 instead of 0 defects would be found" in page.text
    assert "Do not trust this model yet. It misses 12 of 12 synthetic defects." in page.text


def test_noise_of_hundreds_of_test_pictures_stays_below_ten_megabytes(tmp_path: Path, report: Report) -> None:
    """Nothing is larger as a JPEG than noise; at this size it is not even smoothed by being enlarged."""
    run = make_run(tmp_path, with_test=True)
    rng = np.random.default_rng(0)
    run = replace(
        run,
        config=replace(run.config, input_hw=(288, 288)),
        store=rng.integers(0, 256, (12, 288, 288, 3), np.uint8),
    )
    for kind in ("good", "hole"):
        for number in range(210):
            picture = rng.integers(0, 256, (32, 48, 3) if number % 10 else (288, 288, 3), np.uint8)
            cv2.imwrite(str(Path(run.config.data) / "test" / kind / f"{number}.bmp"), picture)
    html, page = report(run)
    assert len(html) < 10e6
    assert sum(tag == "tr" for tag, _ in page.tags) > 400
    assert sum(tag == "img" for tag, _ in page.tags) == 3 * (8 + 8 + 16) + 8


def test_a_run_leaves_a_report_and_so_does_one_that_was_killed_while_finishing(
    small_run: Path, tmp_path: Path, read_html: Callable[[str], Any]
) -> None:
    html = (small_run / "report.html").read_text(encoding="utf-8")
    page = read_html(html)
    data = json.loads((small_run / "config.json").read_text())["data"]
    assert data not in html and str(small_run.parent) not in html
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    for name in ("model.safetensors", "report.html", "metrics.json"):
        (run / name).unlink()
    command = [sys.executable, "-m", "aae_train.cli", data, "--out", str(run), "--resume"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert f"look at {run / 'report.html'}" in result.stdout
    assert (run / "model.safetensors").read_bytes() == (small_run / "model.safetensors").read_bytes()
    again = (run / "report.html").read_text(encoding="utf-8")
    assert [words for words in read_html(again).words if "finds" in words] == [
        words for words in page.words if "finds" in words
    ]


def test_a_report_that_fails_costs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aae_train import run as run_module

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run_module, "write_report", fail)
    data = tmp_path / "few"
    data.mkdir()
    for number in range(2):
        cv2.imwrite(str(data / f"{number}.png"), np.full((32, 32, 3), 100 + 40 * number, np.uint8))
    config = TrainConfig(data=str(data), input_hw=(32, 32), steps=1, batch_size=2)
    told: list[str] = []
    run = run_module.Run(config, tmp_path / "run", told.append)
    assert run.train(lambda: False, lambda *_: None)
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert any("report.html could not be written (ZeroDivisionError()" in text for text in told)


def test_odd_pictures_are_shown_with_how_far_they_lie(tmp_path: Path, report: Report) -> None:
    page, _ = report(make_run(tmp_path))
    assert "Good pictures least like the others" in page
    assert "2 of them deserve a look" in page  # 6.0 and 5.0; the limit is 5
    section = page[page.index("Good pictures least like the others") :]
    assert section.index("train/good/0.png") < section.index("train/good/1.png")


def test_a_run_that_compared_nothing_has_no_such_section(tmp_path: Path, report: Report) -> None:
    examined = replace(make_run(tmp_path), odd=OddOnes((), ()))
    page, _ = report(examined)
    assert "Good pictures least like the others" not in page

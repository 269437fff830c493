"""The arithmetic of `aae-compare`: intervals over seeds, recommendation, evidence, settings; by known answers."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")

from aae_compare.cli import main
from aae_compare.document import Document
from aae_compare.evidence import distance_to_bank
from aae_compare.pictures import find_held_back, fingerprint
from aae_compare.plots import curves_svg, intervals_svg, latent_svg, plane_of
from aae_compare.pooled import Scored, draw_figures, interval, mean_figure
from aae_compare.quality import mmd_with_error
from aae_compare.recommend import NO_DIFFERENCE, NO_USE, recommend
from aae_compare.settings import CompareSettings, parse_candidates
from aae_detect.bench import metrics
from aae_detect.bench.bootstrap import bootstrap_intervals
from aae_detect.errors import ConfigError
from aae_train.config import MODELS
from aae_train.labels import Labels, find_labels

SETTINGS = CompareSettings(data="parts", pictures_sha256="0" * 64, input_hw=(64, 96), steps=10)


def scored(scores: object, seed: int = 0, test_set: str = "labels") -> Scored:
    values = np.array(scores, np.float64)
    return Scored(seed, test_set, np.arange(len(values)) >= len(values) // 2, values, 0.5)


def test_one_seed_gives_the_interval_that_aae_bench_gives() -> None:
    run = scored(np.random.default_rng(0).normal(np.repeat([0.0, 1.0], 60)))
    assert mean_figure([run], "image_auroc") == metrics.auroc(run.labels, run.scores)
    ours = interval(draw_figures({"a": [run]}, "image_auroc", resamples=4000)["a"])
    theirs = bootstrap_intervals(run.labels, run.scores, {"auroc": metrics.auroc}, resamples=4000)["auroc"]
    assert ours == pytest.approx(theirs, abs=0.01)


def test_seeds_are_drawn_too_and_families_share_the_draws() -> None:
    """Both seeds' scores are certain, so all that varies is which seeds are drawn: 1, 3/4 or 1/2 on average."""
    right, guess = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]
    families = {"a": [scored(right, 0), scored(guess, 1)], "b": [scored(guess, 0), scored(guess, 1)]}
    assert mean_figure(families["a"], "image_auroc") == 0.75
    draws = draw_figures(families, "image_auroc", resamples=2000)
    values, counts = np.unique(draws["a"], return_counts=True)
    assert values.tolist() == [0.5, 0.75, 1.0]
    assert (counts / 2000).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    assert interval(draws["b"]) == (0.5, 0.5)
    one_family = draw_figures({"a": families["a"]}, "image_auroc", resamples=2000)
    assert np.array_equal(one_family["a"], draws["a"])


def test_differences_are_paired_by_picture() -> None:
    """B ranks as A does wherever the pictures are: whatever is drawn, they do not differ, however wide each varies."""
    rng = np.random.default_rng(3)
    scores = rng.normal(np.repeat([0.0, 0.8], 15))
    families = {"a": [scored(scores)], "b": [scored(np.exp(scores))]}
    draws = draw_figures(families, "image_auroc", resamples=300)
    low, high = interval(draws["a"])
    assert high - low > 0.2
    assert interval(draws["a"] - draws["b"]) == (0, 0)


def family(name: str, auroc: float, ends: tuple[float, float], ms: float = 8, size: int = 3_000_000) -> dict[str, Any]:
    cost = {"latency_ms": {"p50": ms}, "detector_bytes": size, "training_seconds": 60, "models_trained": 1}
    return {"name": name, "detection": {"image_auroc": auroc, "image_auroc_ci95": list(ends)}, "cost": cost}


def test_a_clear_winner_is_recommended() -> None:
    families = [family("vae", 0.80, (0.75, 0.85)), family("aae", 0.90, (0.86, 0.94)), family("gan", 0.6, (0.5, 0.7))]
    noise = np.random.default_rng(0).normal(0, 0.02, 1000)  # shared by all: it cancels in the differences
    draws = {f["name"]: f["detection"]["image_auroc"] + noise for f in families}
    found = recommend(families, draws, "labels")
    assert (found.verdict, found.best, found.runner_up, found.as_good) == ("aae", "aae", "vae", ("aae",))
    assert found.difference == pytest.approx(0.1) and found.difference_ci95 == pytest.approx((0.1, 0.1))
    assert found.sentence.startswith("Ship aae: its image AUROC of 0.900 beats that of the runner-up, vae (0.800), by")


def test_overlap_is_no_clear_difference_and_says_what_else_differs() -> None:
    families = [
        family("aae", 0.91, (0.85, 0.95), ms=8.0),
        family("vae", 0.90, (0.85, 0.95), ms=8.1, size=1_000_000),
        family("gan", 0.89, (0.8, 0.94), ms=4.0),
        family("gmmn", 0.5, (0.4, 0.6)),
    ]
    rng = np.random.default_rng(0)
    draws = {f["name"]: f["detection"]["image_auroc"] + rng.normal(0, 0.02, 1000) for f in families}
    found = recommend(families, draws, "synthetic defects")
    assert found.verdict == NO_DIFFERENCE and found.as_good == ("aae", "vae", "gan")
    assert "aae (0.910 image AUROC) and vae (0.900) differ by 0.010 on drawn defects" in found.sentence
    assert "gan is not clearly behind either" in found.sentence
    assert "gan is the fastest (4 ms a frame; vae: 8.1 ms a frame)" in found.sentence
    assert "vae has the smallest file (1 MB; aae: 3 MB)" in found.sentence
    assert "trains fastest" not in found.sentence and "gmmn" not in found.sentence


def test_equal_costs_are_said_to_be_equal() -> None:
    families = [family("aae", 1.0, (1, 1)), family("vae", 1.0, (1, 1))]
    found = recommend(families, {name: np.ones(100) for name in ("aae", "vae")}, "labels")
    assert found.verdict == NO_DIFFERENCE and found.difference == 0
    assert "their speed, file size and training time hardly differ either" in found.sentence


def test_one_further_down_that_varies_more_may_be_as_good() -> None:
    families = [family("aae", 0.9, (0.8, 1)), family("vae", 0.85, (0.8, 0.9)), family("gan", 0.84, (0.6, 1))]
    wide = 0.84 + np.random.default_rng(0).normal(0, 0.1, 1000)
    found = recommend(families, {"aae": np.full(1000, 0.9), "vae": np.full(1000, 0.85), "gan": wide}, "labels")
    assert found.as_good == ("aae", "gan") and "and gan (0.840) differ by 0.060" in found.sentence


def test_guessing_is_not_recommended_and_one_alone_is_no_choice() -> None:
    chance = [family("aae", 0.55, (0.45, 0.65)), family("vae", 0.2, (0.1, 0.3))]
    found = recommend(chance, {"aae": np.full(9, 0.55), "vae": np.full(9, 0.2)}, "labels")
    assert found.verdict == NO_USE and "train longer" in found.sentence
    found = recommend([family("aae", 0.9, (0.8, 1))], {"aae": np.full(9, 0.9)}, "labels")
    assert found.verdict == "aae" and found.runner_up is None and "nothing to choose from" in found.sentence


def test_distance_to_a_bank_is_the_worst_places_nearest_sample() -> None:
    rng = np.random.default_rng(0)
    places, bank = rng.normal(size=(7, 3)), rng.normal(size=(50, 3))
    nearest = [min(sum((p - b) ** 2) for b in bank) / 3 for p in places]
    assert distance_to_bank(places, bank) == pytest.approx(max(nearest))
    assert distance_to_bank(bank[:5], bank) == pytest.approx(0, abs=1e-12)


def test_mmd_is_zero_within_its_error_where_samples_are_alike() -> None:
    rng = np.random.default_rng(1)
    for shift, most in ((0, 2), (0.5, 1.4)):
        found = [mmd_with_error(rng.normal(size=(40, 8)), rng.normal(shift, size=(40, 8))) for _ in range(40)]
        values, errors = np.array(found).T
        assert (abs(values.mean()) < 3 * values.std() / math.sqrt(40)) == (shift == 0)
        assert 0.8 < errors.mean() / values.std() < most, "the error is the spread over fresh samples, or more"
    apart, error = mmd_with_error(rng.normal(size=(40, 8)), rng.normal(3, size=(40, 8)))
    assert 10 * error < apart < 2
    assert math.isnan(mmd_with_error(np.eye(3), np.eye(3))[1])


def test_candidates_by_name() -> None:
    default = next(option.default for option in main.params if option.name == "models")
    assert [c.name for c in parse_candidates(str(default))] == list(MODELS), "every family is compared by default"
    names = [c.name for c in parse_candidates("aae, aae:gaussian,vae:gaussian,gmmn-ae")]
    assert names == ["aae", "aae:gaussian", "vae", "gmmn-ae"]
    for text in ("", "aae,", "aae:", "aae:none", "AAE"):
        with pytest.raises(ConfigError, match="--models"):
            parse_candidates(text)


def test_settings_come_back_from_json_and_differences_are_named(tmp_path: Path) -> None:
    assert CompareSettings.from_dict(json.loads(json.dumps(SETTINGS.to_dict()))) == SETTINGS
    Document.open(tmp_path / "out", SETTINGS).begin()
    assert Document.open(tmp_path / "out", SETTINGS).rows == []
    other = replace(SETTINGS, steps=None, minutes=2.0, input_hw=(64, 64), pictures_sha256="1" * 64)
    expected = (
        r"what DATA holds was 0{12}, now 1{12}, --size was 64x96, now 64x64, --steps was 10, now not given, "
        r"--minutes was not given, now 2\.0"
    )
    with pytest.raises(ConfigError, match=expected):
        Document.open(tmp_path / "out", other)
    for damaged in ("{", "[]", '{"settings": {}, "rows": []}', '{"settings": {"data": "x"}, "rows": [{}]}'):
        (tmp_path / "out" / "compare.json").write_text(damaged)
        with pytest.raises(ConfigError):
            Document.open(tmp_path / "out", SETTINGS)


def test_which_pictures_are_held_back(demo_pictures: Path, tmp_path: Path) -> None:
    labels = find_labels(demo_pictures)
    assert labels.labelled is None and "good pictures only" in labels.why_not
    names = [f"{number}.png" for number in range(64)]
    split = {"method": "split", "train": names[:40], "select": names[40:50], "calibrate": names[50:], "folds": []}
    (tmp_path / "split.json").write_text(json.dumps(split))
    found = find_held_back(tmp_path, demo_pictures, labels)
    assert [path.name for path in found.paths] == names[50:] and not found.learned
    crossed = {"method": "cross-fit", "train": names, "select": [], "calibrate": [], "folds": [names[:32], names[32:]]}
    (tmp_path / "split.json").write_text(json.dumps(crossed))
    found = find_held_back(tmp_path, demo_pictures, labels)
    assert len(found.paths) == 64 and found.learned and found.what == "pictures that the model learned"


def test_labels_need_good_and_defective_pictures_beside_those_to_learn(demo_pictures: Path, tmp_path: Path) -> None:
    for folder in ("train/good", "test/good"):
        (tmp_path / folder).mkdir(parents=True)
        for path in itertools.islice(sorted(demo_pictures.iterdir()), 3):
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    assert "does not hold both" in find_labels(tmp_path).why_not
    without = fingerprint(tmp_path, find_labels(tmp_path))
    (tmp_path / "test" / "bent").mkdir()
    (tmp_path / "test" / "bent" / "1.png").write_bytes((demo_pictures / "1.png").read_bytes())
    labels = find_labels(tmp_path)
    assert labels.labelled is not None and len(labels.labelled.pictures) == 4
    assert fingerprint(tmp_path, labels) != without == fingerprint(tmp_path, Labels(None, ""))


def test_drawings_hold_what_they_were_given_and_escape_it() -> None:
    drawn = intervals_svg([("a<b", 0.75, (0.5, 1.0)), ("c", 0.6, (0.55, 0.7))], "c")
    assert "a&lt;b" in drawn and "a<b" not in drawn and drawn.count("<circle") == 2
    rows = [
        {"stage": "fold-1", "step": "1", "phase": "all", "reconstruction": "9", "kl": "7"},
        {"stage": "final", "step": "1", "phase": "all", "reconstruction": "0.5", "kl": ""},
        {"stage": "final", "step": "10", "phase": "all", "reconstruction": "0.25", "kl": "nan"},
    ]
    drawn = curves_svg(rows)
    assert drawn.count("<polyline") == 1 and ">0.5<" in drawn and ">none<" in drawn
    assert latent_svg(None, np.zeros((5, 2))).count("h0") == 5
    codes = np.random.default_rng(0).normal(size=(200, 4)) * [1, 1, 9, 5]
    assert np.abs(plane_of(codes, first_two=False)).round(1).argmax(axis=0).tolist() == [2, 3]
    assert np.array_equal(plane_of(codes, first_two=True), np.eye(4, 2))

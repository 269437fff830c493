"""Drift is told when it is there, and not when it is not."""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aae_detect import Detector, Frame
from aae_detect.app import demo_model_path
from aae_detect.drift import Drift, DriftWatch
from aae_detect.frame_reference import fit_reference
from aae_detect.frame_statistics import FrameStatistics, measure_frame
from aae_detect.good_scores import GoodScores
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, Successor, run_loop
from aae_detect.news import ModelChange, News
from aae_detect.threshold import conformal_threshold

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SCENE = np.random.default_rng(0).integers(40, 200, (64, 64, 3), np.uint8)
USUAL = measure_frame(SCENE)
REFERENCE = fit_reference([USUAL] * 40, {(64, 64)}, 0.0)


def watch(scores: np.ndarray, effective_count: int | None = None, threshold: float = math.inf) -> DriftWatch:
    good = GoodScores.from_scores(np.sort(scores).tolist())
    assert good is not None
    return DriftWatch(good, REFERENCE, effective_count or len(scores), threshold)


def first_news(watching: DriftWatch, scores: np.ndarray, seen: FrameStatistics = USUAL) -> tuple[int, Drift | None]:
    for number, score in enumerate(scores.tolist()):
        if (news := watching.take(score, seen, "line", NOON)) is not None:
            return number, news
    return len(scores), None


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_a_week_of_a_part_per_second_brings_at_most_one_false_alarm(seed: int) -> None:
    """A calibration that is off by chance may be told once; most weeks bring nothing."""
    rng = np.random.default_rng(seed)
    watching = watch(rng.gumbel(size=300))
    news = [watching.take(score, USUAL, "line", NOON) for score in rng.gumbel(size=7 * 86400).tolist()]
    alarms = [each for each in news if each is not None and each.advice != "none"]
    assert len(alarms) <= (1 if seed else 0)


@pytest.mark.parametrize("count", [300, 1000])
def test_a_slowly_changing_part_is_told_before_twice_as_many_are_rejected(count: int) -> None:
    """Scores creep up by one and a quarter standard deviations over 100,000 parts."""
    told_at, twice_at = [], []
    for seed in range(4):
        rng = np.random.default_rng([seed, count])
        calibration = rng.gumbel(size=count)
        threshold = conformal_threshold(calibration, 0.01, "site").value
        creeping = np.arange(100_000) / 100_000 * 1.6
        scores = rng.gumbel(size=100_000) + creeping
        accepted = scores <= threshold
        seen, news = first_news(watch(calibration, threshold=threshold), scores[accepted])
        assert news is not None and news.advice == "retrain" and news.shift > 0
        told_at.append(int(np.flatnonzero(accepted)[seen]))
        rate = 1 - np.exp(-np.exp(creeping - threshold))  # of a Gumbel distribution, exactly
        twice_at.append(int(np.argmax(rate >= 2 * rate[0])))
    assert all(told < twice for told, twice in zip(told_at, twice_at, strict=True)), (told_at, twice_at)


@pytest.mark.parametrize("target_frr", [0.05, 0.2])
def test_accepted_parts_lie_lower_than_all_good_ones_and_that_is_no_drift(target_frr: float) -> None:
    news = []
    for seed in range(6):
        rng = np.random.default_rng([seed, 7])
        calibration, coming = rng.gumbel(size=1000), rng.gumbel(size=15_000)
        threshold = float(np.quantile(calibration, 1 - target_frr))
        news.append(first_news(watch(calibration, threshold=threshold), coming[coming <= threshold])[1])
    assert news == [None] * 6


def show_parts(
    watching: DriftWatch, rng: np.random.Generator, seconds: range, shift: float = 0.0
) -> list[tuple[int, Drift]]:
    """A part per second before a camera of 30 frames per second; returns in which second what was told."""
    found = []
    for number in seconds:
        scores = rng.normal(shift) + 0.3 * rng.normal(size=30)
        for step, score in enumerate(scores.tolist()):
            news = watching.take(score, USUAL, "line", NOON, number * 10**9 + step * 33_333_333)
            found += [] if news is None else [(number, news)]
    return found


def test_frames_that_come_faster_than_those_of_the_calibration_are_no_drift() -> None:
    """Calibrated by a frame per second, of a part each; twenty minutes of good parts after that."""
    for seed in range(4):
        rng = np.random.default_rng([seed, 8])
        scores = rng.normal(size=300) + 0.3 * rng.normal(size=300)
        good = GoodScores.from_scores(np.sort(scores).tolist())
        assert good is not None
        watching = DriftWatch(good, REFERENCE, 300, interval_s=1.0)
        assert show_parts(watching, rng, range(1200)) == []
    (told_at, jump), *_ = show_parts(watching, rng, range(1200, 1800), shift=1.5)
    assert jump.advice == "retrain" and 1230 < told_at < 1500, "as soon as by a frame per second"


def test_frames_that_tremble_about_the_calibration_s_rate_all_count() -> None:
    rng = np.random.default_rng(9)
    scores, jump = rng.normal(size=300), rng.normal(1.5, 1, 3000).tolist()
    good = GoodScores.from_scores(np.sort(scores).tolist())
    assert good is not None
    noted, all_of_them = DriftWatch(good, REFERENCE, 300, interval_s=0.1), watch(scores)
    times_ns = (np.arange(3000) * 10**8 + rng.integers(-2 * 10**7, 2 * 10**7, 3000) + 10**9).tolist()
    told = [noted.take(s, USUAL, "line", NOON, t) is not None for s, t in zip(jump, times_ns, strict=True)]
    assert told.index(True) == first_news(all_of_them, np.array(jump))[0]


def test_a_jump_is_told_soon_and_its_end_too() -> None:
    rng = np.random.default_rng(1)
    watching = watch(rng.normal(size=300))
    number, news = first_news(watching, rng.normal(1.5, 1, 3000))
    assert news is not None and number < 300
    number, news = first_news(watching, rng.normal(size=30_000))
    assert news is not None and news.advice == "none"


def test_another_light_asks_for_another_calibration() -> None:
    """A ramp of the lamp, with scores that do not move yet."""
    rng = np.random.default_rng(2)
    watching = watch(rng.normal(size=300))
    for number in range(4000):
        darker = np.clip(SCENE * (1 - number / 20_000), 0, 255).astype(np.uint8)
        news = watching.take(float(rng.normal()), measure_frame(darker), "line", NOON)
        if news is not None:
            break
    assert news is not None and news.advice == "recalibrate" and news.light_shift < -1.9
    assert number < 3000, "before a sixth of the light is gone"


def test_frames_that_follow_each_other_take_longer_to_convince() -> None:
    rng = np.random.default_rng(3)
    patient, quick = watch(rng.normal(size=300), 30), watch(rng.normal(size=300))
    jump = rng.normal(1.5, 1, 20_000)
    assert first_news(patient, jump)[0] > 3 * first_news(quick, jump)[0]


def test_aae_detect_tells_of_another_light(tmp_path: Path) -> None:
    """Calibrated on the demo camera, then shown a darker one: the same pictures at four fifths of the light."""
    site, events = tmp_path / "site.json", tmp_path / "events.jsonl"
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    good = "demo:320x240?defects=0&frames=300&seed=4"
    command = [sys.executable, "-m", "aae_detect.calibrate.cli", str(demo_model_path()), "--source", good]
    done = subprocess.run(
        [*command, "--every", "5", "--out", str(site)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(site.read_text())
    usual = document["entries"][0]["frames"]
    usual["usual_lightness"] = [usual["usual_lightness"][0] * 1.25, usual["usual_lightness"][1]]
    site.write_text(json.dumps(document))
    command = [sys.executable, "-m", "aae_detect", "--source", good, "--model", str(demo_model_path()), "--no-window"]
    command += ["--site", str(site), "--jsonl", str(events)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert "drift: the light is another" in done.stderr, done.stderr
    told = [event for event in map(json.loads, events.read_text().splitlines()) if event["type"] == "drift"]
    assert [event["advice"] for event in told] == ["recalibrate"]


def test_many_defective_parts_are_no_drift(tmp_path: Path) -> None:
    """Half of what comes is NG: the line has a problem, and the calibration has none."""
    site, events = tmp_path / "site.json", tmp_path / "events.jsonl"
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    bad = "demo:320x240?defects=0.5&frames=300&seed=4"
    command = [sys.executable, "-m", "aae_detect.calibrate.cli", str(demo_model_path()), "--for", bad, "--every", "5"]
    command += ["--source", "demo:320x240?defects=0&frames=300&seed=4", "--out", str(site)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-m", "aae_detect", "--source", bad, "--model", str(demo_model_path()), "--no-window"]
    command += ["--site", str(site), "--jsonl", str(events)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 3, done.stderr
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert sum(event.get("verdict") == "NG" for event in told) > 50
    assert [event for event in told if event["type"] == "drift"] == []


def test_a_reference_without_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="not above 0"):
        replace(REFERENCE, usual_lightness=(100.0, 0.0))


class Heard(Output):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def take(self, judged: Judged) -> bool:
        return True

    def tell(self, news: News) -> None:
        self.news.append(news)

    def close(self) -> None:
        pass


class Reloaded:
    """Two frames, and a successor before the second."""

    name, live, fps = "line", False, 0.0

    def __init__(self, reload: Callable[[], None]) -> None:
        self._reload, self._index = reload, -1

    def read(self) -> Frame | None:
        self._index += 1
        if self._index == 1:
            self._reload()
        return None if self._index == 2 else Frame(np.full((64, 64, 3), 127, np.uint8), self._index, NOON, self.name)

    def close(self) -> None:
        pass


def reload_in_a_run(tiny_model: Path, watching: DriftWatch, loaded: bool, outputs: list[Output]) -> DriftWatch | None:
    """Judge a frame, take or refuse a new model, and judge another; returns who watches in the end."""
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    change = ModelChange("line", loaded, detector.model_sha256, 2.0, "" if loaded else "damaged", NOON)
    fresh = watch(np.random.default_rng(5).normal(size=300))

    def leave_successor() -> None:
        stream.successor = Successor(change, detector, None, fresh) if loaded else Successor(change)

    stream = Stream(Reloaded(leave_successor), detector, outputs, drift=watching)
    run_loop([stream], threading.Event())
    return stream.drift


def advising_watch() -> DriftWatch:
    watching = watch(np.random.default_rng(1).normal(size=300))
    dark = measure_frame((SCENE * 0.5).astype(np.uint8))
    assert first_news(watching, np.zeros(1000), dark)[1] is not None
    assert watching.advice == "recalibrate"
    return watching


def test_advice_that_was_followed_is_over_when_the_new_calibration_is_taken(tiny_model: Path) -> None:
    heard = Heard()
    watching = reload_in_a_run(tiny_model, advising_watch(), True, [heard])
    assert watching is not None and watching.advice == "none"
    drifts = [news for news in heard.news if isinstance(news, Drift)]
    assert [(drift.source, drift.advice, drift.at) for drift in drifts] == [("line", "none", NOON)]


def test_a_refused_model_ends_no_advice_and_one_without_advice_tells_of_none(tiny_model: Path) -> None:
    refused, quiet = Heard(), Heard()
    watching = reload_in_a_run(tiny_model, advising_watch(), False, [refused])
    assert watching is not None and watching.advice == "recalibrate"
    reload_in_a_run(tiny_model, watch(np.random.default_rng(1).normal(size=300)), True, [quiet])
    for heard in (refused, quiet):
        assert [type(news) for news in heard.news] == [ModelChange]


def test_metrics_show_no_advice_that_is_over(tiny_model: Path) -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client")
    from aae_detect.sinks.metrics import Metrics
    from aae_detect.sinks.settings import MetricsSettings

    with closing(Metrics(MetricsSettings("127.0.0.1:0"))) as metrics:
        output, gauge = metrics.of("line", 2.0, "0" * 64, []), metrics.drift.labels("line", "recalibrate")
        output.tell(Drift("line", "recalibrate", NOON, 0.0, -3.0))
        assert gauge._value.get() == 1
        reload_in_a_run(tiny_model, advising_watch(), True, [output])
        assert gauge._value.get() == 0

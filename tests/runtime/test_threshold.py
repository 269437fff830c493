import math

import numpy as np
import pytest

from aae_detect.good_scores import GoodScores
from aae_detect.tail import Tail, fit_tail
from aae_detect.threshold import (
    conformal_threshold,
    effective_count,
    pictures_needed,
    rate_bound,
    tell_rate,
    with_scores,
)


def mixed(count: int) -> np.ndarray:
    """The numbers from 0 on, in an order in which none says anything of the next."""
    return np.random.default_rng(1).permutation(np.arange(float(count)))


def test_the_quantile_by_hand() -> None:
    """99 scores, 1 %: k = ceil(100 * 0.99) = 99, the highest. 199 scores: k = ceil(200 * 0.99) = 198."""
    assert conformal_threshold(np.arange(1, 100), 0.01, "split").value == 99
    assert conformal_threshold(np.arange(1, 200), 0.01, "split").value == 198
    assert conformal_threshold(np.arange(1, 10), 0.2, "split").value == 8
    assert conformal_threshold(np.arange(9, 0, -1), 0.2, "split").value == 8


def test_enough_pictures_promise_what_was_asked() -> None:
    threshold = conformal_threshold(mixed(99), 0.01, "split")
    assert threshold.calibration.promised_frr == 0.01
    assert threshold.warning == ""


def test_too_few_pictures_say_what_they_can_promise_and_what_it_would_take() -> None:
    scores = np.random.default_rng(1).gamma(3, size=20)
    threshold = conformal_threshold(scores, 0.01, "cross-fit")
    assert threshold.calibration.extrapolated
    assert scores.max() < threshold.value < 2 * scores.max()
    assert threshold.calibration.promised_frr == pytest.approx(1 / 21)
    assert "4.8%" in threshold.warning
    assert "takes 99" in threshold.warning
    assert "extrapolated" in threshold.warning


def test_a_picture_that_looks_unlike_the_rest_does_not_blind_a_detector_of_few_pictures() -> None:
    scores = np.array([1.0, 98.0, 3.0, 2.0, 5.0])
    odd = np.array([False, True, False, False, False])
    threshold = conformal_threshold(scores, 0.01, "cross-fit", odd)
    assert 5 <= threshold.value < 20
    assert threshold.left_out == 1
    assert threshold.calibration.promised_frr == pytest.approx(2 / 6)  # one rejected picture of five is known
    assert "but for the one that looks unlike the rest" in threshold.warning
    assert threshold.calibration.score_max == 98.0
    assert conformal_threshold(scores, 0.01, "cross-fit").value > 98
    both = conformal_threshold(np.array([1.0, 98.0, 3.0, 2.0, 50.0]), 0.01, "cross-fit", scores > 3)
    assert both.left_out == 2
    assert "but for the 2 that look unlike the rest" in both.warning


def test_odd_pictures_change_nothing_where_they_do_not_set_the_threshold() -> None:
    scores = np.arange(20.0)
    plain = conformal_threshold(scores, 0.01, "split")
    assert conformal_threshold(scores, 0.01, "split", scores == 5) == plain  # it lies below others
    assert conformal_threshold(scores, 0.01, "split", scores >= 0) == plain  # all are odd: then none is
    many = np.arange(300.0)
    assert conformal_threshold(many, 0.01, "split", many >= 298) == conformal_threshold(many, 0.01, "split")


@pytest.mark.parametrize("count", [98, 99, 100, 150, 198, 300])
def test_odd_pictures_never_set_the_threshold_however_many_pictures_there_are(count: int) -> None:
    """One more picture must not blind a detector: with 99, the highest score sets a threshold of 1 %."""
    number = 3 if count == 300 else 1
    scores = mixed(count)
    odd = scores >= count - number
    scores[odd] = 1000.0
    threshold = conformal_threshold(scores, 0.01, "split", odd)
    assert count - number - 1 <= threshold.value < 2 * count
    assert threshold.left_out == number
    if threshold.calibration.effective_count == count:
        assert threshold.calibration.promised_frr == pytest.approx((number + 1) / (count + 1))
    assert threshold.calibration.promised_frr >= (number + 1) / (count + 1) - 1e-9
    assert f"{number} that look" in threshold.warning or "the one that looks" in threshold.warning
    assert threshold.calibration.extrapolated == (count < 100)
    plain = conformal_threshold(scores, 0.01, "split")
    assert plain.value >= 1000 or count > 198, "it would have been blind"


@pytest.mark.parametrize(("rate", "count"), [(0.01, 99), (0.05, 19), (0.5, 1), (0.001, 999), (0.3, 3)])
def test_pictures_needed_is_the_smallest_count_that_keeps_the_promise(rate: float, count: int) -> None:
    assert pictures_needed(rate) == count
    assert conformal_threshold(mixed(count), rate, "split").calibration.promised_frr == rate
    if count > 1:
        assert conformal_threshold(mixed(count - 1), rate, "split").calibration.promised_frr > rate


@pytest.mark.parametrize(("count", "rate"), [(99, 0.01), (150, 0.01), (40, 0.05), (30, 0.1)])
def test_the_realised_rate_keeps_the_promise_on_average(count: int, rate: float) -> None:
    """Over many draws of scores, fresh ones are rejected at most as often as promised, and not far more rarely."""
    rng = np.random.default_rng(0)
    rejected = [
        (rng.gamma(3, size=400) > conformal_threshold(rng.gamma(3, size=count), rate, "split").value).mean()
        for _ in range(1000)
    ]
    standard_error = np.std(rejected) / np.sqrt(len(rejected))
    assert np.mean(rejected) <= rate + 3 * standard_error
    assert np.mean(rejected) >= rate - 1 / (count + 1) - 3 * standard_error


@pytest.mark.parametrize(("count", "above"), [(1, 0), (20, 0), (300, 3), (299, 0), (1000, 50), (5, 4)])
def test_the_bound_is_the_quantile_of_the_beta_distribution(count: int, above: int) -> None:
    beta = pytest.importorskip("scipy.stats").beta
    assert rate_bound(count, above) == pytest.approx(beta.ppf(0.95, above + 1, count - above), rel=1e-6)


def test_the_bound_says_nothing_where_nothing_passed() -> None:
    assert rate_bound(5, 5) == 1.0


@pytest.mark.parametrize(("count", "rate"), [(20, 0.01), (50, 0.05), (300, 0.01), (300, 0.05), (300, 0.001)])
def test_the_realised_rate_lies_below_the_stated_bound(count: int, rate: float) -> None:
    """In 95 of 100 calibrations, also where the threshold is extrapolated; of an exponential, the rate is known."""
    rng = np.random.default_rng(2)
    thresholds = [conformal_threshold(rng.exponential(size=count), rate, "split") for _ in range(600)]
    kept = np.mean([np.exp(-each.value) <= each.calibration.bound_frr for each in thresholds])
    assert kept >= 0.93
    median = np.median([np.exp(-each.value) for each in thresholds])
    assert 0.4 * rate <= median <= 2.2 * rate  # a threshold far out would keep every bound, and find nothing
    if count == 300 and rate == 0.01:
        assert np.mean([each.calibration.bound_frr for each in thresholds]) <= 0.03


def test_scores_that_follow_each_other_are_worth_less() -> None:
    """Of an AR(1) with coefficient a, the sum of autocorrelations is (1 + a) / (1 - a); thirteen of a kind are one."""
    rng = np.random.default_rng(3)
    assert effective_count(rng.normal(size=400)) == 400
    series = np.zeros(4000)
    for step, noise in enumerate(rng.normal(size=3999), start=1):
        series[step] = 0.8 * series[step - 1] + noise
    assert effective_count(series) == pytest.approx(4000 / 9, rel=0.3)
    parts = np.repeat(rng.normal(size=40), 13) + 0.01 * rng.normal(size=520)
    assert 20 <= effective_count(parts) <= 80
    calibration = conformal_threshold(parts, 0.05, "site").calibration
    assert calibration.bound_frr > conformal_threshold(rng.permutation(parts), 0.05, "site").calibration.bound_frr
    assert [effective_count(np.zeros(n)) for n in (1, 2, 3)] == [1, 2, 3]


def test_what_is_promised_comes_from_what_the_scores_are_worth() -> None:
    """300 frames of ten parts; of a normal distribution is known how many other parts lie above the threshold."""
    rng = np.random.default_rng(6)
    realised, promised = [], []
    for _ in range(150):
        scores = np.repeat(rng.normal(size=10), 30) + 0.3 * rng.normal(size=300)
        threshold = conformal_threshold(scores, 0.01, "site")
        calibration = threshold.calibration
        assert threshold.value == np.sort(scores)[297], "it stays where it is"
        assert 0.01 < calibration.promised_frr < calibration.bound_frr
        realised.append(math.erfc(threshold.value / math.sqrt(2 * 1.09)) / 2)
        promised.append(calibration.promised_frr)
    assert np.mean(realised) > 0.02, "far more than one in a hundred"
    assert np.mean(promised) >= np.mean(realised)
    worth = calibration.effective_count
    assert f"(pictures that follow each other are worth {worth} of 300)" in tell_rate(calibration)
    assert f"300 calibration pictures, which follow each other and are worth {worth} indep" in threshold.warning
    assert threshold.warning.endswith("1.0% was asked for; add good pictures of more different parts to do better")
    few = conformal_threshold(scores[:90], 0.01, "site")
    assert "of more different parts" in few.warning and "extrapolated" in few.warning


@pytest.mark.parametrize(("parts", "rounds", "shots"), [(10, 30, 1), (20, 15, 1), (50, 6, 1), (10, 10, 3), (25, 1, 2)])
def test_parts_that_come_round_again_are_worth_no_more_than_once(parts: int, rounds: int, shots: int) -> None:
    """A handful of parts shown again and again, and parts taken twice: each is one."""
    rng = np.random.default_rng(7)
    worth, kept = [], []
    for _ in range(60):
        shown = np.concatenate([np.repeat(rng.normal(size=parts), shots)] * rounds)
        scores = shown + 0.1 * rng.normal(size=len(shown))
        threshold = conformal_threshold(scores, 0.01, "site")
        worth.append(threshold.calibration.effective_count)
        kept.append(math.erfc(threshold.value / math.sqrt(2 * 1.01)) / 2 <= threshold.calibration.bound_frr)
    assert parts / 2 <= np.median(worth) <= 1.5 * parts
    assert np.mean(kept) >= 0.93


@pytest.mark.parametrize("count", [20, 50, 300])
def test_scores_in_no_order_are_rarely_taken_for_less(count: int) -> None:
    rng = np.random.default_rng(8)
    assert np.mean([effective_count(rng.normal(size=count)) < count for _ in range(300)]) < 0.1


def test_a_frozen_camera_is_worth_next_to_nothing() -> None:
    assert effective_count(np.full(300, 2.5)) <= 3


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
def test_a_tail_is_a_generalised_pareto(shape: float) -> None:
    genpareto = pytest.importorskip("scipy.stats").genpareto
    tail = Tail(level=2.0, share=0.1, scale=1.5, shape=shape)
    for value in (2.0, 2.5, 4.0, 6.0):
        expected = 0.1 * genpareto.sf(value, shape, 2.0, 1.5)
        assert tail.probability_above(value) == pytest.approx(expected)
        assert tail.value_at(expected) == pytest.approx(value)
    assert Tail(2.0, 0.1, 1.5, -0.3).probability_above(100.0) == 0.0


def test_a_fitted_tail_finds_a_quantile_that_no_sample_reached() -> None:
    rng = np.random.default_rng(4)
    found = [fit_tail(np.sort(rng.exponential(size=300))).value_at(0.001) for _ in range(200)]
    assert np.median(found) == pytest.approx(np.log(1000), rel=0.1)
    light = [fit_tail(np.sort(rng.random(300))).value_at(0.001) for _ in range(50)]
    assert np.median(light) == pytest.approx(0.999, abs=0.1)


@pytest.mark.parametrize("scores", [[3.0], [3.0, 3.0], [1.0] * 50, [0.0] * 49 + [9.0]])
def test_tails_of_hardly_any_scores_are_finite(scores: list[float]) -> None:
    threshold = conformal_threshold(np.array(scores), 0.001, "split")
    assert np.isfinite(threshold.value)
    assert threshold.value >= max(scores)


def test_p_values_are_those_of_conformal_prediction_and_go_on_beyond() -> None:
    good = GoodScores.from_scores(tuple(float(score) for score in range(1, 100)))
    assert good is not None
    assert good.p_value(0.0) == 1.0
    assert good.p_value(50.0) == pytest.approx(51 / 100)  # 50 to 99 are as high: (50 + 1) / (99 + 1)
    assert good.p_value(99.0) == pytest.approx(2 / 100)
    beyond = [good.p_value(score) for score in (99.5, 105.0, 110.0)]
    assert 1 / 100 >= beyond[0] > beyond[1] > beyond[2] > good.p_value(400.0) > 0, "these scores have a sharp end"
    assert 0 < GoodScores(np.full(50, 2.0), fit_tail(np.full(50, 2.0))).p_value(9.0) <= 1 / 51
    assert GoodScores.from_scores(()) is None


def test_p_values_of_good_pictures_are_small_as_rarely_as_they_say() -> None:
    rng = np.random.default_rng(5)
    p_values = []
    for _ in range(300):
        good = GoodScores.from_scores(np.sort(rng.gamma(3, size=60)).tolist())
        assert good is not None
        p_values += [good.p_value(score) for score in rng.gamma(3, size=30)]
    for level, slack in ((0.005, 2.0), (0.02, 1.35), (0.05, 1.25), (0.2, 1.1)):  # the first one is extrapolated
        assert np.mean(np.array(p_values) <= level) <= level * slack


def test_the_scores_are_kept_as_another_form_of_the_model_gives_them() -> None:
    calibration = conformal_threshold(np.array([3.0, 1.0, 2.0]), 0.3, "split").calibration
    assert calibration.scores == (1.0, 2.0, 3.0)
    other = with_scores(calibration, np.array([1.5, 2.5, 3.5]))
    assert (other.scores, other.score_max, other.count) == ((1.5, 2.5, 3.5), 3.5, 3)
    assert with_scores(calibration, np.array([])) == calibration


def test_what_is_promised_in_words() -> None:
    words = tell_rate(conformal_threshold(np.random.default_rng(0).normal(size=300), 0.01, "split").calibration)
    assert words == "rejects at most 1.0% of good parts on average, and less than 2.1% with a confidence of 95%"
    words = tell_rate(conformal_threshold(np.random.default_rng(0).normal(size=30), 0.05, "cross-fit").calibration)
    assert words == "should reject about 5.0% of good parts or fewer", "proven is nothing there"

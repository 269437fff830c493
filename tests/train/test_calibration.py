import numpy as np
import pytest

from aae_train.calibration import conformal_threshold, pictures_needed


def test_the_quantile_by_hand() -> None:
    """99 scores, 1 %: k = ceil(100 * 0.99) = 99, the highest. 199 scores: k = ceil(200 * 0.99) = 198."""
    assert conformal_threshold(np.arange(1, 100), 0.01, "split").value == 99
    assert conformal_threshold(np.arange(1, 200), 0.01, "split").value == 198
    assert conformal_threshold(np.arange(1, 10), 0.2, "split").value == 8
    assert conformal_threshold(np.arange(9, 0, -1), 0.2, "split").value == 8


def test_enough_pictures_promise_what_was_asked() -> None:
    threshold = conformal_threshold(np.arange(99.0), 0.01, "split")
    assert threshold.calibration.promised_frr == 0.01
    assert threshold.warning == ""


def test_too_few_pictures_say_what_they_can_promise_and_what_it_would_take() -> None:
    threshold = conformal_threshold(np.arange(20.0), 0.01, "cross-fit")
    assert threshold.value == 19.0
    assert threshold.calibration.promised_frr == pytest.approx(1 / 21)
    assert "4.8%" in threshold.warning
    assert "takes 99" in threshold.warning


def test_a_picture_that_looks_unlike_the_rest_does_not_blind_a_detector_of_few_pictures() -> None:
    scores = np.array([1.0, 98.0, 3.0, 2.0, 50.0])
    odd = np.array([False, True, False, False, False])
    threshold = conformal_threshold(scores, 0.01, "cross-fit", odd)
    assert (threshold.value, threshold.left_out) == (50.0, 1)
    assert threshold.calibration.promised_frr == pytest.approx(2 / 6)  # one rejected picture of five is known
    assert "but for the one that looks unlike the rest" in threshold.warning
    assert threshold.calibration.score_max == 98.0
    both = conformal_threshold(scores, 0.01, "cross-fit", scores > 40)
    assert (both.value, both.left_out) == (3.0, 2)
    assert "but for the 2 that look unlike the rest" in both.warning


def test_odd_pictures_change_nothing_where_they_do_not_set_the_threshold() -> None:
    scores = np.arange(20.0)
    plain = conformal_threshold(scores, 0.01, "split")
    assert conformal_threshold(scores, 0.01, "split", scores == 5) == plain  # it lies below others
    assert conformal_threshold(scores, 0.01, "split", scores >= 0) == plain  # all are odd: then none is
    many = np.arange(300.0)
    # Enough pictures for the rate: what the user asked for holds, with the odd ones among the good.
    assert conformal_threshold(many, 0.01, "split", many >= 297) == conformal_threshold(many, 0.01, "split")


@pytest.mark.parametrize(("rate", "count"), [(0.01, 99), (0.05, 19), (0.5, 1), (0.001, 999), (0.3, 3)])
def test_pictures_needed_is_the_smallest_count_that_keeps_the_promise(rate: float, count: int) -> None:
    assert pictures_needed(rate) == count
    assert conformal_threshold(np.arange(float(count)), rate, "split").calibration.promised_frr == rate
    if count > 1:
        assert conformal_threshold(np.arange(count - 1.0), rate, "split").calibration.promised_frr > rate


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

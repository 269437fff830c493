from pathlib import Path

import numpy as np

from aae_detect.threshold import conformal_threshold
from aae_train.evidence_statistics import fit_places
from aae_train.held_out import Answers, Calibrated, HeldOut, score_each
from aae_train.look_through import look_again, weigh_odd_ones, write_odd_ones
from aae_train.odd import OddOnes

COUNT = 12
PICTURES = np.stack([np.full((8, 8, 3), 10 * number, np.uint8) for number in range(COUNT)])
NAMES = [f"{number}.png" for number in range(COUNT)]


def by_brightness(images: np.ndarray) -> Answers:
    return Answers(np.zeros((len(images), 2, 2), np.float32), images[:, 0, 0, 0].astype(np.float32), images)


def calibrated() -> Calibrated:
    """A detector that finds bright pictures bad; pictures 0 and 1 were scored by another one, that never saw them."""
    held_out = HeldOut(by_brightness, (0, 1), np.array([300.0, 2.0], np.float32))
    statistics = fit_places(np.random.default_rng(0).random((4, 1, 2, 2)).astype(np.float32))
    return Calibrated(by_brightness, statistics, conformal_threshold(np.arange(20.0), 0.1, "split"), (held_out,))


def test_held_back_pictures_keep_the_scores_that_the_threshold_was_set_from() -> None:
    assert score_each(calibrated(), [3, 0, 1, 11], PICTURES) == [30.0, 300.0, 2.0, 110.0]


def test_what_only_the_detector_sees_is_named_once() -> None:
    said: list[str] = []
    before = OddOnes(tuple(range(COUNT)[::-1]), (9.0, *np.linspace(1, -1, COUNT - 1)))
    again = look_again(before, calibrated(), PICTURES, NAMES, said.append)
    assert again.named == (11, 0)
    assert len(said) == 1
    assert "1 of the good pictures looks unlike the rest: 0.png;" in said[0]


def cross_fitted(scores: np.ndarray, odd: np.ndarray | None = None) -> Calibrated:
    """A threshold for 1 % from so few scores that it hangs on the highest."""
    held_out = HeldOut(by_brightness, tuple(range(len(scores))), scores)
    statistics = fit_places(np.random.default_rng(0).random((4, 1, 2, 2)).astype(np.float32))
    return Calibrated(by_brightness, statistics, conformal_threshold(scores, 0.01, "cross-fit", odd), (held_out,))


def test_the_user_is_told_which_pictures_a_blind_threshold_hangs_on() -> None:
    said: list[str] = []
    scores = np.r_[np.linspace(-3, 3, COUNT - 2), 22.0, 26.0].astype(np.float32)
    set_to = cross_fitted(scores)
    odd = OddOnes((COUNT - 1, COUNT - 2, 0), (15.0, 13.0, 1.0))
    weigh_odd_ones(odd, set_to, NAMES, said.append)
    assert len(said) == 1
    assert "hangs on 11.png, 10.png; without, it would be" in said[0]
    lower = float(said[0].rsplit(" ", 1)[1])
    assert 3.0 <= lower < 10.0 < 26.0 <= set_to.threshold.value


def test_a_threshold_that_hangs_on_no_odd_picture_is_left_alone() -> None:
    said: list[str] = []
    scores = np.linspace(-3, 3, COUNT).astype(np.float32)
    weigh_odd_ones(OddOnes((COUNT - 1, 0), (9.0, 1.0)), cross_fitted(scores), NAMES, said.append)
    named_before = np.r_[scores[:-1], 26.0].astype(np.float32)
    gave_way = cross_fitted(named_before, np.arange(COUNT) == COUNT - 1)
    weigh_odd_ones(OddOnes((COUNT - 1, 0), (9.0, 1.0)), gave_way, NAMES, said.append)
    assert said == []


def test_where_none_were_ranked_none_are_written(tmp_path: Path) -> None:
    nobody = OddOnes((), ())
    assert look_again(nobody, calibrated(), PICTURES, NAMES, print) == nobody
    write_odd_ones(nobody, PICTURES, NAMES, tmp_path)
    assert not list(tmp_path.iterdir())

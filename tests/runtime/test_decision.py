"""From frames to what the line is told."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from aae_detect import Verdict
from aae_detect.decision.decider import Decider
from aae_detect.decision.decision import Decision
from aae_detect.decision.line_trigger import LineTrigger
from aae_detect.decision.part_finder import PartFinder
from aae_detect.decision.rules import Rules
from aae_detect.detection import Detection, Latency
from aae_detect.frames import Frame
from aae_detect.geometry import place
from aae_detect.judged import Judged

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
EMPTY = np.full((64, 64, 3), 90, np.uint8)
PART = EMPTY.copy()
PART[20:50, 20:50] = 200


def judged(
    number: int, score: float | None, picture: np.ndarray = EMPTY, area_cells: int = 1, since_ns: int = 0
) -> Judged:
    """A frame of 64x64, a hundredth of a second each, with a threshold of 2; no score: nothing can be said."""
    read_ns = since_ns + number * 10**7
    frame = Frame(picture, number, NOON + timedelta(seconds=number / 100), "line", read_ns=read_ns)
    if score is None:
        return Judged(frame, picture, None, "black", None, 0.0, {})
    model_map = np.zeros((16, 16), np.float32)
    model_map[4, 4 : 4 + area_cells] = score
    verdict = Verdict.NG if score > 2 else Verdict.OK
    detection = Detection(
        score, 2.0, verdict, model_map, picture, picture, place((64, 64), (64, 64), "stretch"), Latency(0, 0, 0)
    )
    return Judged(frame, picture, detection, "", None, 0.0, {})


def decide(decider: Decider, scores: Iterable[float | None], first: int = 0) -> list[tuple[int, str, bool]]:
    """Return at which frame what was decided."""
    found = []
    for number, score in enumerate(scores, start=first):
        found += [(number, d.verdict.value, d.stop) for d in decider.take(judged(number, score))]
    return found


def test_by_default_every_change_is_told_at_once() -> None:
    assert decide(Decider(Rules()), [1, 1, 3, 3, 1, None, 1]) == [
        (0, "OK", False),
        (2, "NG", True),
        (4, "OK", False),
        (5, "UNKNOWN", True),
        (6, "OK", False),
    ]


def test_two_of_three_frames_have_to_agree() -> None:
    decider = Decider(Rules(ng_frames=2, of_frames=3))
    assert decide(decider, [1, 3, 1, 1, 3, 1, 3, 1, 1]) == [(0, "OK", False), (6, "NG", True), (7, "OK", False)]


def test_unknown_frames_stop_the_line_only_if_they_might_hide_something_and_only_if_they_shall() -> None:
    scores = [1, 1, 1, None, 1, 1, 1, None, None, 1, 1, 1]
    assert decide(Decider(Rules(ng_frames=2, of_frames=3)), scores) == [
        (0, "OK", False),
        (8, "UNKNOWN", True),
        (10, "OK", False),
    ]
    assert (8, "UNKNOWN", False) in decide(Decider(Rules(ng_frames=2, of_frames=3, unknown="pass")), scores)


def test_a_score_that_trembles_about_the_threshold_is_told_once() -> None:
    scores = [1, 2.1, 1.9, 2.1, 1.85, 2.05, 1.7]
    assert len(decide(Decider(Rules()), scores)) == 7
    assert decide(Decider(Rules(hysteresis=0.1)), scores) == [(0, "OK", False), (1, "NG", True), (6, "OK", False)]


def test_ng_lasts_for_the_cooldown() -> None:
    scores = [1, 3, *[1] * 30]
    assert decide(Decider(Rules(cooldown_s=0.2)), scores) == [(0, "OK", False), (1, "NG", True), (21, "OK", False)]


def test_small_regions_do_not_count() -> None:
    decider = Decider(Rules(least_area_px=40))
    assert [d.verdict.value for d in decider.take(judged(0, 5, area_cells=1))] == ["OK"]
    assert [d.verdict.value for d in decider.take(judged(1, 5, area_cells=6))] == ["NG"]
    patient = Decider(Rules(least_area_px=40, hysteresis=0.1))
    told = [d.verdict.value for n, cells in enumerate((6, 1)) for d in patient.take(judged(n, 5, area_cells=cells))]
    assert told == ["NG", "OK"], "a small one is small, also while NG"


def test_a_small_one_is_small_between_the_thresholds_too() -> None:
    """A speck that lasts must not keep a line standing that a large defect has stopped."""
    decider, large = Decider(Rules(least_area_px=40, hysteresis=0.1)), judged(1, 1.9)
    assert large.detection is not None
    large.detection.model_map[4:10, 4:10] = 1.9
    assert [d.verdict.value for d in decider.take(judged(0, 5, area_cells=6))] == ["NG"]
    assert decider.take(large) == [], "a large one keeps it NG down to 1.8"
    assert [d.verdict.value for d in decider.take(judged(2, 1.9, area_cells=1))] == ["OK"]


def test_a_part_is_judged_once_when_it_has_gone() -> None:
    decider = Decider(Rules(per="part", ng_frames=2))
    found: list[Decision] = []
    number = 0
    for score in (None, 3, 5, 1):  # what each part's frames score, at most
        shown = [(EMPTY, 1.0)] * 20 + [(PART, 1.0 if score is None else score)] * 6 + [(EMPTY, 1.0)] * 5
        for place_in_part, (picture, value) in enumerate(shown):
            value = 1.0 if place_in_part % 3 == 0 else value
            found += decider.take(judged(number, value, picture))
            number += 1
    assert [(d.part, d.verdict.value) for d in found] == [("1", "OK"), ("2", "NG"), ("3", "NG"), ("4", "OK")]
    assert [d.ng_frames >= 2 for d in found] == [False, True, True, False]
    assert all(5 <= d.frames <= 8 for d in found)
    assert found[1].last_frame - found[1].first_frame == found[1].frames - 1


def test_a_part_that_is_still_there_at_the_end_is_judged_too() -> None:
    decider = Decider(Rules(per="part"))
    pictures = [EMPTY] * 20 + [PART] * 5
    assert [d for n, p in enumerate(pictures) for d in decider.take(judged(n, 3.0, p))] == []
    (decision,) = decider.finish()
    assert (decision.verdict, decision.part) == (Verdict.NG, "1")
    assert decider.finish() == []


def test_the_empty_place_follows_the_light_and_noise_is_no_part() -> None:
    finder, rng = PartFinder(0.03), np.random.default_rng(0)
    seen = []
    for number in range(400):
        level = 90 + number / 8  # 50 gray levels brighter in the end
        seen.append(finder.look(np.clip(rng.normal(level, 4, (64, 64, 3)), 0, 255).astype(np.uint8)))
    assert not any(seen)
    brighter = np.full((64, 64, 3), 140, np.uint8)
    brighter[20:50, 20:50] = 30
    assert [finder.look(brighter) for _ in range(3)] == [False, True, True]


def test_a_trigger_asks_for_so_many_frames() -> None:
    trigger, now = LineTrigger(), time.monotonic_ns()
    trigger.put("A7", now * 1e-9)
    trigger.put("", now * 1e-9 + 0.025)
    decider = Decider(Rules(per="trigger", ng_frames=2, of_frames=3), trigger)
    scores = [3, 3, 1, 1, 1, 3, 3, 3, 3]
    found = [d for n, score in enumerate(scores) for d in decider.take(judged(n, score, since_ns=now))]
    assert [(d.part, d.verdict.value, d.first_frame, d.last_frame) for d in found] == [
        ("A7", "NG", 0, 2),
        ("2", "OK", 3, 5),
    ]


def test_frames_that_do_not_come_in_time_leave_a_part_unknown() -> None:
    trigger = LineTrigger()
    trigger.put("A7", 0.0)
    decider = Decider(Rules(per="trigger", ng_frames=3, of_frames=5, timeout_s=0.05), trigger)
    found = [d for number in (0, 10, 20) for d in decider.take(judged(number, None))]
    assert [(d.part, d.verdict.value, d.stop, d.frames) for d in found] == [("A7", "UNKNOWN", True, 1)]
    assert (found[0].first_frame, found[0].last_frame) == (0, 0)

"""What stays in the picture: no memory grows, and what never leaves does not keep other parts from being decided on."""

import weakref
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import pytest

from aae_detect.decision.decider import Decider
from aae_detect.decision.decision import Decision
from aae_detect.decision.line_trigger import LineTrigger
from aae_detect.decision.rules import Rules
from aae_detect.detection import Detection, Latency, Verdict
from aae_detect.frames import Frame
from aae_detect.geometry import place
from aae_detect.judged import Judged

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
EMPTY = np.full((64, 64, 3), 90, np.uint8)
PART = EMPTY.copy()
PART[20:50, 20:50] = 200
LAMP = 30


def judged(number: int, score: float | None = 1.0, picture: np.ndarray = EMPTY) -> Judged:
    """A frame, ten a second, NG above a score of 2; no score: nothing can be said."""
    frame = Frame(picture, number, NOON, "line", read_ns=number * 10**8)
    if score is None:
        return Judged(frame, picture, None, "black", None, 0.0, {})
    geometry, model_map = place((64, 64), (64, 64), "stretch"), np.zeros((16, 16), np.float32)
    verdict = Verdict.NG if score > 2 else Verdict.OK
    detection = Detection(score, 2.0, verdict, model_map, picture, picture, geometry, Latency(0, 0, 0))
    return Judged(frame, picture, detection, "", None, 0.0, {})


class Line:
    """A decider, the frames it was shown, and what it told and said."""

    def __init__(self, rules: Rules, live: bool = True) -> None:
        self.said: list[str] = []
        self.decider = Decider(rules, None, "line", live, self.said.append)
        self.shown = 0

    def show(self, picture: np.ndarray, frames: int, score: float | None = 1.0) -> list[tuple[str, str]]:
        found: list[Decision] = []
        for _ in range(frames):
            found += self.decider.take(judged(self.shown, score, picture))
            self.shown += 1
        return [(decision.part, decision.verdict.value) for decision in found]

    def pass_part(self, score: float, light: int = 0) -> list[tuple[str, str]]:
        """A part comes, and an empty place follows: a second and a half."""
        return self.show(PART + np.uint8(light), 6, score) + self.show(EMPTY + np.uint8(light), 9)


def test_after_a_lamp_was_switched_on_parts_are_decided_on_again() -> None:
    line = Line(Rules(per="part", ng_frames=2, longest_s=10))
    assert line.show(EMPTY, 20) + line.pass_part(5.0) == [("1", "NG")]
    lit = [line.pass_part(5.0 if number % 3 == 2 else 1.0, LAMP) for number in range(20)]
    found = [decision for decisions in lit for decision in decisions]
    # Ten seconds are six parts and two thirds, two of them NG, which the line is told once of.
    assert found[0] == ("2", "NG")
    others = [("NG" if number % 3 == 2 else "OK") for number in range(7, 20)]
    assert found[1:] == [(str(number), verdict) for number, verdict in enumerate(others, start=3)]
    (warning,) = line.said
    assert warning.startswith("warning: line: part 2 has not left the picture for 10 s (longest_s), so it is NG")
    # And the other way round when it is switched off: the former empty place is known at once.
    assert line.pass_part(5.0) == [("16", "NG")]
    assert len(line.said) == 1


@pytest.mark.parametrize(("score", "verdict"), [(1.0, "UNKNOWN"), (5.0, "NG"), (None, "UNKNOWN")])
def test_what_does_not_leave_is_decided_on_once_and_at_best_unknown(score: float | None, verdict: str) -> None:
    line = Line(Rules(per="part", ng_frames=2, longest_s=10))
    assert line.show(EMPTY, 20) + line.show(PART, 3) == []
    assert line.show(PART, 97, score) == []
    assert line.show(PART, 1000, score) == [("1", verdict)]
    assert len(line.said) == 1 and f"so it is {verdict}" in line.said[0]


def test_parts_that_pass_a_blind_camera_are_told_of_once() -> None:
    line = Line(Rules(per="part", timeout_s=2))
    assert line.show(EMPTY, 20) == []
    assert line.show(EMPTY, 15, None) == [], "a moment of it says nothing"
    assert line.show(EMPTY, 5) == []
    assert line.show(EMPTY, 60, None) == [("", "UNKNOWN")]
    assert line.pass_part(5.0) == [("1", "NG")]
    assert line.show(EMPTY, 60, None) == [("", "UNKNOWN")]
    film = Line(Rules(per="part", timeout_s=2), live=False)
    assert film.show(EMPTY, 20) + film.show(EMPTY, 60, None) == []


def test_a_part_on_a_belt_that_stood_is_not_taken_for_the_empty_place_for_good() -> None:
    line = Line(Rules(per="part", ng_frames=2, longest_s=10))
    line.show(EMPTY, 20)
    assert line.show(PART, 600) == [("1", "UNKNOWN")]
    assert line.show(EMPTY, 9) == []
    assert line.pass_part(5.0) == [("2", "NG")], "it lies where the other one lay"


def test_parts_may_stay_for_ever_where_they_shall_and_in_files() -> None:
    for line in (Line(Rules(per="part", longest_s=0)), Line(Rules(per="part", longest_s=10), live=False)):
        assert line.show(EMPTY, 20) + line.show(PART, 10_000) == []
        assert line.show(EMPTY, 3) == [("1", "OK")]
        assert line.said == []


def test_by_default_a_part_may_stay_for_a_minute() -> None:
    line = Line(Rules(per="part"))
    assert line.show(EMPTY, 20) + line.show(PART, 600) + line.show(EMPTY, 3) == [("1", "OK")]
    assert line.show(PART, 603) == [("2", "UNKNOWN")]


def test_a_decision_rests_on_all_frames_of_a_long_stay() -> None:
    decider = Decider(Rules(per="part", ng_frames=2))
    shown: Iterable[tuple[np.ndarray, float | None]] = [
        *[(EMPTY, 1.0)] * 20,
        *[(PART, 1.0)] * 200,
        *[(PART, 7.5), (PART, None), (PART, 6.0)],
        *[(PART, 1.5)] * 100,
        *[(EMPTY, 1.0)] * 2,
    ]
    (found,) = [d for n, (picture, score) in enumerate(shown) for d in decider.take(judged(n, score, picture))]
    assert (found.first_frame, found.last_frame) == (21, 323), "a frame each until it is sure that it came, and went"
    assert (found.frames, found.ng_frames, found.score, found.source) == (303, 2, 7.5, "line")


@pytest.mark.parametrize("per", ["frame", "part", "trigger"])
def test_no_picture_is_kept_while_a_decision_waits(per: str) -> None:
    trigger = LineTrigger()
    trigger.put("A7", 0.0)
    of_frames = 1 if per == "part" else 10_000
    timeout_s = Rules.timeout_s if per == "frame" else 3600
    rules = Rules(per=per, ng_frames=5000, of_frames=of_frames, timeout_s=timeout_s)  # type: ignore[arg-type]
    decider, alive = Decider(rules, trigger), list[weakref.ref[Judged]]()
    for number in range(120):
        seen = judged(number, 1.0, EMPTY if number < 20 else PART)
        alive += [weakref.ref(seen), weakref.ref(seen.frame), weakref.ref(seen.detection)]  # type: ignore[list-item]
        decider.take(seen)
        del seen
    assert [reference for reference in alive if reference() is not None] == []
    if per != "frame":
        (decision,) = decider.finish()
        assert decision.frames >= 99 and decision.last_frame == 119, "they were all counted"

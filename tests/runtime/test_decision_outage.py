"""What the line is told of parts that nobody saw: the frames do not come, or the camera is lost."""

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aae_detect import Detector, Frame, SourceError, Verdict
from aae_detect.decision.commands import CommandOutput
from aae_detect.decision.decider import Decider
from aae_detect.decision.decision import Decision
from aae_detect.decision.line_trigger import LineTrigger
from aae_detect.decision.rules import Command, Rules
from aae_detect.detection import Detection, Latency
from aae_detect.drawer import Drawer
from aae_detect.events import news_event
from aae_detect.frames import Signal
from aae_detect.geometry import place
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.news import News
from aae_detect.outputs import NewsLines
from aae_detect.store.event_store import EventStore, Retention
from aae_detect.store.store_output import StoreOutput

EMPTY = np.full((64, 64, 3), 90, np.uint8)
PART = EMPTY.copy()
PART[20:50, 20:50] = 200
GRAY = np.full((64, 64, 3), 127, np.uint8)


def judged(at_s: float, score: float = 1.0, picture: np.ndarray = EMPTY) -> Judged:
    """A frame that was read at this time, NG above a score of 2; it counts the hundredths of seconds."""
    frame = Frame(picture, round(at_s * 100), datetime.now(UTC), "line", read_ns=round(at_s * 1e9))
    verdict = Verdict.NG if score > 2 else Verdict.OK
    geometry = place((64, 64), (64, 64), "stretch")
    model_map = np.zeros((16, 16), np.float32)
    detection = Detection(score, 2.0, verdict, model_map, picture, picture, geometry, Latency(0, 0, 0))
    return Judged(frame, picture, detection, "", None, 0.0, {})


def told(decisions: Sequence[Decision]) -> list[tuple[str, str, bool, int]]:
    return [(d.part, d.verdict.value, d.stop, d.frames) for d in decisions]


def triggered(*times_s: float) -> LineTrigger:
    trigger = LineTrigger()
    for number, at_s in enumerate(times_s, start=1):
        trigger.put(f"part {number}", at_s)
    return trigger


def test_each_trigger_is_answered_in_time_while_no_frame_comes_and_later_frames_are_none_of_theirs() -> None:
    asked_s = [0.5, 1.25, 1.5, 2.0]
    decider = Decider(Rules(per="trigger", of_frames=2, timeout_s=1.0), triggered(*asked_s), "line 1")
    found = []
    for tenth in range(40):
        found += [(tenth / 10, decision) for decision in decider.tick(tenth / 10)]
    assert told([d for _, d in found]) == [(f"part {n}", "UNKNOWN", True, 0) for n in (1, 2, 3, 4)]
    assert all(1.0 <= at_s - asked <= 1.1 + 1e-9 for (at_s, _), asked in zip(found, asked_s, strict=True))
    assert {(d.source, d.first_frame, d.last_frame, d.score) for _, d in found} == {("line 1", None, None, None)}
    assert [d for n in range(10) for d in decider.take(judged(4 + n / 100, score=5.0))] == []


def test_a_part_that_got_some_of_its_frames_is_told_in_time_too() -> None:
    decider = Decider(Rules(per="trigger", ng_frames=2, of_frames=3, timeout_s=1.0), triggered(1.0, 1.5))
    assert [d for at_s in (1.1, 1.2) for d in decider.take(judged(at_s))] == []
    assert decider.tick(1.9) == []
    (decision,) = decider.tick(2.1)
    assert (decision.part, decision.verdict, decision.frames) == ("part 1", Verdict.OK, 2), "two of three cannot be NG"
    assert [d for at_s in (2.2, 2.3) for d in decider.take(judged(at_s, 5.0))] == []
    (decision,) = decider.take(judged(2.4, 5.0))
    assert (decision.part, decision.verdict, decision.first_frame) == ("part 2", Verdict.NG, 220)


def test_a_frame_from_before_the_trigger_is_not_its_frame() -> None:
    decider = Decider(Rules(per="trigger"), triggered(1.0))
    assert decider.take(judged(0.99, score=5.0)) == []
    (decision,) = decider.take(judged(1.01))
    assert (decision.verdict, decision.first_frame) == (Verdict.OK, 101)


def pass_parts(rules: Rules, asked_s: Sequence[float], frames: Sequence[tuple[float, float]]) -> list[Decision]:
    """Trigger at these times, show frames (when they were read, their score), and tick in between as the loop does."""
    decider, found = Decider(rules, triggered(*asked_s), "line 1"), list[Decision]()
    now_s = 0.0
    for at_s, score in frames:
        while now_s < at_s:
            found += decider.tick(now_s)
            now_s += 0.1
        found += decider.take(judged(at_s, score))
    return found + decider.finish()


def test_a_lost_frame_costs_one_answer_and_every_other_part_keeps_its_own_frame() -> None:
    """Parts a second apart, sooner than `timeout_s`, a frame each; that of part 1 is lost, and part 5 is defective."""
    parts = range(1, 9)
    frames = [(part + 0.02, 5.0 if part == 5 else 1.0) for part in parts if part != 1]
    found = pass_parts(Rules(per="trigger"), parts, frames)
    expected = [(f"part {part}", "NG" if part == 5 else "OK", part * 100 + 2) for part in parts if part != 1]
    assert [(d.part, d.verdict.value, d.first_frame) for d in found] == [("part 1", "UNKNOWN", None), *expected]


@pytest.mark.parametrize("again_s", [0.005, 0.5], ids=["before the frame", "after it"])
def test_a_code_that_was_read_twice_shifts_nothing(again_s: float) -> None:
    asked_s = [1.0, 1.0 + again_s, 2.0, 3.0]
    found = pass_parts(Rules(per="trigger"), asked_s, [(1.02, 1.0), (2.02, 5.0), (3.02, 1.0)])
    verdicts = {(d.part, d.verdict.value, d.first_frame) for d in found}
    assert len(found) == 4 and {("part 3", "NG", 202), ("part 4", "OK", 302)} < verdicts
    assert sorted(d.verdict.value for d in found[:2]) == ["OK", "UNKNOWN"], "one of the two lines has no frame"


def test_frames_after_the_next_trigger_do_not_belong_to_a_part_that_lacks_some() -> None:
    frames = [(1.1, 1.0), (2.1, 5.0), (2.2, 5.0), (3.1, 1.0), (3.2, 1.0)]  # one of part 1 is lost
    found = pass_parts(Rules(per="trigger", of_frames=2), [1.0, 2.0, 3.0], frames)
    assert told(found) == [
        ("part 1", "UNKNOWN", True, 1),
        ("part 2", "NG", True, 2),
        ("part 3", "OK", False, 2),
    ]


def test_a_trigger_ends_no_part_whose_frame_is_still_on_its_way() -> None:
    """The frame was read before the next trigger, and is judged after it."""
    decider = Decider(Rules(per="trigger"), triggered(1.0, 1.5))
    assert decider.tick(1.6) == []
    assert told(decider.take(judged(1.4))) == [("part 1", "OK", False, 1)]
    assert told(decider.take(judged(1.9))) == [("part 2", "OK", False, 1)]


def test_unknown_may_pass_here_too() -> None:
    decider = Decider(Rules(per="trigger", unknown="pass", timeout_s=1.0), triggered(0.0))
    assert told(decider.tick(1.5)) == [("part 1", "UNKNOWN", False, 0)]


def test_while_the_camera_is_lost_triggers_are_answered_at_once() -> None:
    trigger = triggered(1.0, 1.1)
    decider = Decider(Rules(per="trigger", ng_frames=2, of_frames=3, timeout_s=60), trigger)
    assert decider.take(judged(1.05)) == []
    assert told(decider.lose(1.5)) == [("part 1", "UNKNOWN", True, 1), ("part 2", "UNKNOWN", True, 0)]
    trigger.put("part 3", 2.0)
    assert told(decider.tick(2.1)) == [("part 3", "UNKNOWN", True, 0)]
    trigger.put("part 4", 2.2)
    assert told(decider.regain(2.3)) == [("part 4", "UNKNOWN", True, 0)], "it came before the camera did"
    trigger.put("part 5", 2.4)
    assert decider.tick(2.5) == []
    found = [d for at_s in (2.5, 2.6, 2.7) for d in decider.take(judged(at_s))]
    assert told(found) == [("part 5", "OK", False, 3)]


def test_at_the_end_no_part_that_was_triggered_is_left_without_an_answer() -> None:
    decider = Decider(Rules(per="trigger", of_frames=2), triggered(1.0, 1.1))
    assert decider.take(judged(1.05)) == []
    assert told(decider.finish()) == [("part 1", "UNKNOWN", True, 1), ("part 2", "UNKNOWN", True, 0)]
    assert decider.finish() == []


def test_a_file_is_read_when_somebody_asks_so_its_triggers_wait() -> None:
    decider = Decider(Rules(per="trigger", timeout_s=1.0), triggered(0.0, 0.0, 0.0), live=False)
    assert decider.tick(100.0) == []
    found = [d for at_s in (50.0, 60.0) for d in decider.take(judged(at_s))]
    assert told(found) == [("part 1", "OK", False, 1), ("part 2", "OK", False, 1)]


def test_a_lost_camera_is_unknown_once_and_what_was_before_counts_no_longer() -> None:
    decider = Decider(Rules(ng_frames=2, of_frames=3))
    assert told([d for at_s in (1.0, 1.1) for d in decider.take(judged(at_s))]) == [("", "OK", False, 1)]
    assert decider.take(judged(1.2, 5.0)) == []
    assert told(decider.lose(3.0)) == [("", "UNKNOWN", True, 0)]
    assert [*decider.tick(3.1), *decider.lose(3.2), *decider.tick(60.0), *decider.regain(60.0)] == []
    assert told(decider.take(judged(60.1, 5.0))) == [("", "OK", False, 1)], "one of three, as after the start"
    assert told(decider.take(judged(60.2, 5.0))) == [("", "NG", True, 2)]


def test_ng_lasts_for_its_cooldown_also_if_the_camera_is_lost() -> None:
    decider = Decider(Rules(cooldown_s=5.0, unknown="pass"))
    assert told(decider.take(judged(1.0, 5.0))) == [("", "NG", True, 1)]
    assert [*decider.lose(2.0), *decider.tick(5.9)] == []
    assert told(decider.tick(6.1)) == [("", "UNKNOWN", False, 0)]


def test_a_camera_that_was_never_there_is_unknown_too() -> None:
    assert told(Decider(Rules()).lose(0.1)) == [("", "UNKNOWN", True, 0)]
    assert Decider(Rules()).tick(10.0) == [], "it is waited for as long as nobody says that it is lost"


@pytest.mark.parametrize(("score", "verdict"), [(1.0, "UNKNOWN"), (5.0, "NG")])
def test_a_part_in_the_picture_of_a_lost_camera_is_at_best_unknown(score: float, verdict: str) -> None:
    decider = Decider(Rules(per="part", ng_frames=2))
    pictures = [EMPTY] * 20 + [PART] * 6
    assert [d for n, p in enumerate(pictures) for d in decider.take(judged(n / 100, score, p))] == []
    assert told(decider.lose(1.0)) == [("1", verdict, True, 5)]
    assert [*decider.tick(90.0), *decider.regain(90.0)] == [], "no part has a time to keep"
    # The place is empty when the camera is back: nothing is decided, and the next part is the second.
    shown = [EMPTY] * 10 + [PART] * 6 + [EMPTY] * 3
    found = [d for n, p in enumerate(shown) for d in decider.take(judged(90 + n / 100, 1.0, p))]
    assert told(found) == [("2", "OK", False, 6)]


def test_parts_that_may_come_while_the_camera_is_lost_are_unknown_once() -> None:
    decider = Decider(Rules(per="part"))
    assert [d for n in range(20) for d in decider.take(judged(n / 100))] == []
    assert told(decider.lose(1.0)) == [("", "UNKNOWN", True, 0)]
    assert [*decider.lose(2.0), *decider.tick(3.0), *decider.finish()] == []


class Told(Output):
    """Keeps what it hears, in order; a test waits for so many decisions."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, Decision | Signal]] = []
        self._changed = threading.Condition()

    def take(self, judged: Judged) -> bool:
        return True

    def signal(self, signal: Signal) -> None:
        self._keep(signal)

    def tell(self, news: News) -> None:
        assert isinstance(news, Decision)
        self._keep(news)

    def _keep(self, item: Decision | Signal) -> None:
        with self._changed:
            self.heard.append((time.monotonic(), item))
            self._changed.notify_all()

    def close(self) -> None:
        pass

    @property
    def decisions(self) -> list[Decision]:
        return [item for _, item in self.heard if isinstance(item, Decision)]

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.decisions) >= count, 20), f"only {self.heard} was told"


class ScriptedCamera:
    """A live source whose items a generator makes; it takes as long for the next one as it likes."""

    live, fps = True, 0.0

    def __init__(self, name: str, items: Iterator[Frame | Signal]) -> None:
        self.name, self._items = name, items

    def read(self) -> Frame | Signal | None:
        return next(self._items, None)

    def close(self) -> None:
        pass


def frame(number: int) -> Frame:
    time.sleep(0.02)  # each is judged before the next comes
    return Frame(GRAY, number, datetime.now(UTC), "line 1")


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, provider="cpu", threads=1)


def run(detector: Detector, decider: Decider, output: Output, items: Callable[[], Iterator[Frame | Signal]]) -> None:
    run_loop([Stream(ScriptedCamera("line 1", items()), detector, [output], decider=decider)], threading.Event())


def test_four_parts_pass_a_silent_camera_and_the_line_hears_of_each_before_a_frame_comes(detector: Detector) -> None:
    trigger, heard, put_s = LineTrigger(), Told(), list[float]()
    rules = Rules(per="trigger", of_frames=2, timeout_s=2.0)

    def items() -> Iterator[Frame | Signal]:
        yield from (frame(number) for number in range(3))
        for number in range(4):  # the camera is away: nobody gives a frame until all have been told
            put_s.append(time.monotonic())
            trigger.put(f"part {number}")
            time.sleep(0.1)
        heard.wait_for(4)
        yield from (frame(number) for number in range(10, 20))
        trigger.put("part 4")
        more = itertools.takewhile(lambda _: len(heard.decisions) < 5, range(20, 1000))
        yield from (frame(number) for number in more)
        heard.wait_for(5)

    run(detector, Decider(rules, trigger, "line 1"), heard, items)
    unseen = [(f"part {number}", "UNKNOWN", True, 0) for number in range(4)]
    assert told(heard.decisions) == [*unseen, ("part 4", "OK", False, 2)]
    assert heard.decisions[4].first_frame is not None and heard.decisions[4].first_frame >= 20
    waited_s = [at_s - put for (at_s, _), put in zip(heard.heard, put_s, strict=False)]
    assert all(2.0 <= s < 4.0 for s in waited_s), waited_s


def test_the_line_is_stopped_while_the_camera_is_lost_not_after(detector: Detector) -> None:
    heard = Told()

    def items() -> Iterator[Frame | Signal]:
        yield from (frame(number) for number in range(3))
        yield Signal(True, "cable", datetime.now(UTC), "line 1")
        heard.wait_for(2)
        yield Signal(False, "", datetime.now(UTC), "line 1", 2.0)
        yield from (frame(number) for number in range(10, 15))
        heard.wait_for(3)

    run(detector, Decider(Rules(), source="line 1"), heard, items)
    assert told(heard.decisions) == [("", "OK", False, 1), ("", "UNKNOWN", True, 0), ("", "OK", False, 1)]
    kinds = [item.verdict.value if isinstance(item, Decision) else item.lost for _, item in heard.heard]
    assert kinds == ["OK", True, "UNKNOWN", False, "OK"]


def test_a_camera_that_fails_for_good_stops_its_line_while_others_go_on(detector: Detector) -> None:
    heard = Told()

    def failing() -> Iterator[Frame | Signal]:
        yield frame(0)
        raise SourceError("unplugged")

    def others() -> Iterator[Frame | Signal]:
        heard.wait_for(2)
        yield frame(0)

    streams = [
        Stream(ScriptedCamera("line 1", failing()), detector, [heard], decider=Decider(Rules(), source="line 1")),
        Stream(ScriptedCamera("line 2", others()), detector),
    ]
    summaries = run_loop(streams, threading.Event())
    assert [summary.frames for summary in summaries] == [1, 1]
    assert str(summaries[0].failure) == "unplugged"
    assert told(heard.decisions) == [("", "OK", False, 1), ("", "UNKNOWN", True, 0)]


def test_a_decision_without_a_frame_reaches_everybody(tmp_path: Path) -> None:
    decider = Decider(Rules(per="trigger"), triggered(0.0), "line 1")
    (decision,) = decider.tick(10.0)
    event = json.loads(json.dumps(news_event(decision), allow_nan=False))
    nothing = {"first_frame": None, "last_frame": None, "frames": 0, "ng_frames": 0, "score": None}
    assert {name: event[name] for name in nothing} == nothing
    assert (event["source"], event["verdict"], event["stop"], event["part"]) == ("line 1", "UNKNOWN", True, "part 1")
    assert datetime.fromisoformat(event["time"]).tzinfo is not None

    said: list[str] = []
    NewsLines(said.append).tell(decision)
    assert said[0].endswith("line 1: part part 1 UNKNOWN, nobody saw it: stop")
    write = "import sys; open(sys.argv[1], 'w').write(','.join(sys.argv[2:]))"
    program = (sys.executable, "-c", write, str(tmp_path / "run"), "{source}", "{verdict}", "{part}", "{score}")
    with closing(CommandOutput((Command(program, ("stop",)),), said.append)) as output:
        output.tell(decision)
    assert (tmp_path / "run").read_text() == "line 1,UNKNOWN,part 1,"
    with closing(EventStore(tmp_path / "store")) as store:
        StoreOutput(store, Retention(), Drawer(), said.append).tell(decision)
        assert [stored.event for stored in store.events()] == [event]
    assert len(said) == 1, "and nothing went wrong"

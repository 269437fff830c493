"""Decides, frame by frame and while none comes, what the line is told.

All times are seconds on the clock of `time.monotonic`, which frames and triggers share.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from aae_detect.decision.decision import Decision
from aae_detect.decision.line_trigger import LineTrigger, Triggered
from aae_detect.decision.part_finder import PartFinder
from aae_detect.decision.rules import Rules
from aae_detect.decision.tally import SeenFrame, Tally
from aae_detect.detection import Verdict
from aae_detect.judged import Judged
from aae_detect.scoring import find_regions, judge


class Decider:
    """The decisions of one source."""

    def __init__(
        self,
        rules: Rules,
        trigger: LineTrigger | None = None,
        source: str = "",
        live: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Take what is decided by.

        Args:
            rules: What the line is told, and when.
            trigger: Who triggers, where the rules say so.
            source: The source's name, for decisions without a frame.
            live: Whether time passes outside the source: a file's frames are read when somebody asks for them, so that
                a trigger cannot wait too long for them, and no part stay too long.
            say: Told why a part is decided on that has not gone.
        """
        self._rules, self._source, self._live, self._say = rules, source, live, say
        self._trigger = trigger or LineTrigger()  # where nobody triggers
        self._recent: deque[SeenFrame] = deque(maxlen=rules.of_frames)
        self._state: Verdict | None = None
        self._finder = PartFinder(rules.part_share) if rules.per == "part" else None
        self._open: Tally | None = None
        self._parts = 0
        self._ng_until_s = 0.0
        self._lost = False
        self._blind_from_s: float | None = None
        """Since when frames say nothing; infinite once that was told."""

    def take(self, judged: Judged) -> list[Decision]:
        """Take a frame; return what is decided by it, mostly nothing."""
        self._lost = False
        seen = SeenFrame.of(judged, self._verdict_of(judged))
        at_s = judged.frame.read_ns * 1e-9
        if self._rules.per == "frame":
            return self._by_frames(seen, at_s)
        if self._rules.per == "part":
            return self._by_parts(judged, seen, at_s)
        return self._by_trigger(seen, at_s)

    def tick(self, now_s: float) -> list[Decision]:
        """Return what is decided because time has passed; to be called several times a second, also without frames."""
        if self._rules.per == "frame":
            return self._without_frames(now_s)
        return self._overdue(now_s) if self._rules.per == "trigger" and self._live else []

    def lose(self, now_s: float) -> list[Decision]:
        """Hear that the camera is lost; return what is decided by that: what nobody sees is UNKNOWN, until a frame."""
        if self._lost:
            return []
        self._lost = True
        self._recent.clear()
        return self._leave_part() if self._finder is not None else self.tick(now_s)

    def regain(self, now_s: float) -> list[Decision]:
        """Hear that the camera is back; return what is decided on parts that came before."""
        found = self.tick(now_s)
        self._lost = False
        return found

    def finish(self) -> list[Decision]:
        """Decide on parts whose frames have not all come when the source ends."""
        if self._rules.per == "trigger":
            return self._overdue(math.inf)
        tally, self._open = self._open, None
        return [] if tally is None else [self._decide(tally, self._sum_up(tally.ng_frames, tally.unknown_frames))]

    def _verdict_of(self, judged: Judged) -> Verdict:
        """Judge a frame by the rules: small regions do not count, and while NG the threshold lies a little lower."""
        detection = judged.detection
        if detection is None:
            return Verdict.UNKNOWN
        threshold, verdict = detection.threshold, detection.verdict
        lowered = self._state is Verdict.NG and self._rules.hysteresis > 0
        if lowered:
            threshold -= self._rules.hysteresis * abs(threshold)
            verdict = judge(detection.score, threshold)
        if verdict is Verdict.NG and self._rules.least_area_px:
            # By the threshold that made it NG: a speck must not keep the line standing because it is faint.
            found = find_regions(detection.model_map, threshold, detection.placement) if lowered else detection.regions
            return Verdict.NG if any(each.area_px >= self._rules.least_area_px for each in found) else Verdict.OK
        return verdict

    def _by_frames(self, seen: SeenFrame, at_s: float) -> list[Decision]:
        """Tell when the state changes; NG lasts for a while."""
        self._recent.append(seen)
        verdicts = [each.verdict for each in self._recent]
        state = self._sum_up(verdicts.count(Verdict.NG), verdicts.count(Verdict.UNKNOWN))
        if state is Verdict.NG:
            self._ng_until_s = at_s + self._rules.cooldown_s
        if state is self._state or (self._state is Verdict.NG and at_s < self._ng_until_s):
            return []
        self._state = state
        return [self._decide(Tally.of(self._recent), state)]

    def _without_frames(self, now_s: float) -> list[Decision]:
        """Tell once that nobody knows, while the camera is lost; NG lasts for its while first."""
        if not self._lost or self._state is Verdict.UNKNOWN:
            return []
        if self._state is Verdict.NG and now_s < self._ng_until_s:
            return []
        self._state = Verdict.UNKNOWN
        return [self._decide(Tally(), Verdict.UNKNOWN)]

    def _by_parts(self, judged: Judged, seen: SeenFrame, at_s: float) -> list[Decision]:
        """Tell when a part has gone, or has been there for too long to be one."""
        assert self._finder is not None
        present = None if judged.detection is None else self._finder.look(judged.detection.input_bgr)
        if self._open is None and present:
            self._parts += 1
            self._open = Tally(at_s, str(self._parts))
        if self._open is None:
            return self._tell_if_blind(seen, at_s)
        self._blind_from_s = None
        if present is False:
            return self.finish()
        self._open.add(seen)
        if self._live and 0 < self._rules.longest_s <= at_s - self._open.begun_at_s:
            return self._give_up_part()
        return []

    def _tell_if_blind(self, seen: SeenFrame, at_s: float) -> list[Decision]:
        """Tell once that parts may pass which nobody sees, where frames have said nothing for `timeout_s`."""
        if seen.verdict is not Verdict.UNKNOWN:
            self._blind_from_s = None
            return []
        if self._blind_from_s is None:
            self._blind_from_s = at_s
        if not self._live or at_s - self._blind_from_s < self._rules.timeout_s:
            return []
        self._blind_from_s = math.inf
        return [self._decide(Tally.of([seen]), Verdict.UNKNOWN)]

    def _give_up_part(self) -> list[Decision]:
        """Tell of what does not leave, and take it for the empty place: parts that come shall be decided on again."""
        assert self._finder is not None
        self._finder.learn_anew()
        (decision,) = self._leave_part()
        self._say(
            f"warning: {decision.source}: part {decision.part} has not left the picture for {self._rules.longest_s:g} "
            f"s (longest_s), so it is {decision.verdict}, and what is there counts as the empty place from now on; if "
            "no part lies there, the light has changed, the camera has moved, or something was left lying"
        )
        return [decision]

    def _leave_part(self) -> list[Decision]:
        """Tell once that nobody knows: of the part that was in the picture, if one was, and of those that come."""
        assert self._finder is not None
        self._finder.forget_part()
        tally, self._open = self._open or Tally(), None
        self._blind_from_s = math.inf  # told by this
        enough = tally.ng_frames >= self._rules.ng_frames
        return [self._decide(tally, Verdict.NG if enough else Verdict.UNKNOWN)]

    def _by_trigger(self, seen: SeenFrame, at_s: float) -> list[Decision]:
        """Tell when so many frames have come after a trigger, or cannot come any more.

        A camera's frame belongs to the part that was triggered last before: given to an older one that still waits, one
        lost frame would give every later part the frames of the next.
        """
        found = self._overdue(at_s)
        latest_s = at_s if self._live else math.inf
        while (self._live or self._open is None) and (triggered := self._trigger.poll(latest_s)):
            if self._open is not None:
                found.append(self._end())
            self._begin(triggered, at_s)
        if self._open is not None:
            self._open.add(seen)
            if self._open.frames == self._rules.of_frames:
                found.append(self._end())
        return found

    def _overdue(self, now_s: float) -> list[Decision]:
        """Tell of triggers whose frames have not come in time; of all, while the camera is lost."""
        latest_s = now_s if self._lost else now_s - self._rules.timeout_s
        found = []
        if self._open is not None and self._open.begun_at_s < latest_s:
            found.append(self._end())
        while self._live and self._open is None and (triggered := self._trigger.poll(latest_s)):
            self._begin(triggered, now_s)
            found.append(self._end())
        return found

    def _begin(self, triggered: Triggered, now_s: float) -> None:
        """Open a part; a file's begins now, as its trigger may have waited for long."""
        self._parts += 1
        self._open = Tally(triggered.at_s if self._live else now_s, triggered.line or str(self._parts))

    def _end(self) -> Decision:
        """Decide on the part that is open; frames that have not come are UNKNOWN."""
        assert self._open is not None
        tally, self._open = self._open, None
        missing = self._rules.of_frames - tally.frames
        return self._decide(tally, self._sum_up(tally.ng_frames, tally.unknown_frames + missing))

    def _sum_up(self, ng: int, unknown: int) -> Verdict:
        """NG if enough frames are; UNKNOWN if those that say nothing might have made it so; else OK."""
        needed = self._rules.ng_frames
        if ng >= needed:
            return Verdict.NG
        return Verdict.UNKNOWN if unknown and ng + unknown >= needed else Verdict.OK

    def _decide(self, tally: Tally, verdict: Verdict) -> Decision:
        first, last = tally.first, tally.last
        return Decision(
            source=self._source if last is None else last.source,
            verdict=verdict,
            stop=self._stops(verdict),
            at=datetime.now(UTC).astimezone() if last is None else last.captured_at,
            first_frame=None if first is None else first.index,
            last_frame=None if last is None else last.index,
            frames=tally.frames,
            ng_frames=tally.ng_frames,
            score=tally.score,
            part=tally.part,
        )

    def _stops(self, verdict: Verdict) -> bool:
        return verdict is Verdict.NG or (verdict is Verdict.UNKNOWN and self._rules.unknown == "stop")

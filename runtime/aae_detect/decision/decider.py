"""Decides, frame by frame, what the line is told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from aae_detect.decision.decision import Decision
from aae_detect.decision.part_finder import PartFinder
from aae_detect.decision.rules import Rules
from aae_detect.detection import Verdict
from aae_detect.judged import Judged


class Trigger(Protocol):
    """Something outside that says when a part is there."""

    def poll(self) -> str | None:
        """Return what was said since the last call, one at a time; None where nothing was."""


@dataclass
class _Counted:
    """Frames that a decision will rest on."""

    begun_at: float
    part: str = ""
    judged: list[tuple[Judged, Verdict]] = field(default_factory=list)


class Decider:
    """The decisions of one source."""

    def __init__(self, rules: Rules, trigger: Trigger | None = None) -> None:
        """Take the rules; and where they say so, who triggers."""
        self._rules, self._trigger = rules, trigger
        self._recent: deque[tuple[Judged, Verdict]] = deque(maxlen=rules.of_frames)
        self._state: Verdict | None = None
        self._finder = PartFinder(rules.part_share) if rules.per == "part" else None
        self._open: _Counted | None = None
        self._parts = 0
        self._ng_until_s = 0.0

    def take(self, judged: Judged) -> list[Decision]:
        """Take a frame; return what is decided by it, mostly nothing."""
        verdict = self._verdict_of(judged)
        at_s = judged.frame.read_ns * 1e-9
        if self._rules.per == "frame":
            return self._by_frames(judged, verdict, at_s)
        if self._rules.per == "part":
            return self._by_parts(judged, verdict, at_s)
        return self._by_trigger(judged, verdict, at_s)

    def finish(self) -> list[Decision]:
        """Decide on a part that is still in the picture when the source ends."""
        counted, self._open = self._open, None
        return [self._decide(counted)] if counted is not None and counted.judged else []

    def _verdict_of(self, judged: Judged) -> Verdict:
        """Judge a frame by the rules: small regions do not count, and while NG the threshold lies a little lower."""
        detection = judged.detection
        if detection is None:
            return Verdict.UNKNOWN
        if self._state is Verdict.NG and detection.verdict is Verdict.OK:
            lower = detection.threshold - self._rules.hysteresis * abs(detection.threshold)
            return Verdict.NG if detection.score > lower else Verdict.OK
        if detection.verdict is Verdict.NG and self._rules.least_area_px:
            large = any(region.area_px >= self._rules.least_area_px for region in detection.regions)
            return Verdict.NG if large else Verdict.OK
        return detection.verdict

    def _by_frames(self, judged: Judged, verdict: Verdict, at_s: float) -> list[Decision]:
        """Tell when the state changes; NG lasts for a while."""
        self._recent.append((judged, verdict))
        state = self._sum_up([v for _, v in self._recent])
        if state is Verdict.NG:
            self._ng_until_s = at_s + self._rules.cooldown_s
        if state is self._state or (self._state is Verdict.NG and at_s < self._ng_until_s):
            return []
        self._state = state
        return [self._decide(_Counted(0.0, judged=list(self._recent)), state)]

    def _by_parts(self, judged: Judged, verdict: Verdict, at_s: float) -> list[Decision]:
        """Tell when a part has gone."""
        assert self._finder is not None
        present = None if judged.detection is None else self._finder.look(judged.detection.input_bgr)
        if self._open is None and present:
            self._parts += 1
            self._open = _Counted(at_s, str(self._parts))
        if self._open is None:
            return []
        if present is False:
            counted, self._open = self._open, None
            return [self._decide(counted)]
        self._open.judged.append((judged, verdict))
        return []

    def _by_trigger(self, judged: Judged, verdict: Verdict, at_s: float) -> list[Decision]:
        """Tell when so many frames have come after a trigger, or have not come in time."""
        found = []
        if self._open is not None and at_s > self._open.begun_at + self._rules.timeout_s:
            missing = self._rules.of_frames - len(self._open.judged)
            verdicts = [v for _, v in self._open.judged] + [Verdict.UNKNOWN] * missing
            found.append(self._decide(self._open, self._sum_up(verdicts)))
            self._open = None
        if self._open is None and self._trigger is not None and (said := self._trigger.poll()) is not None:
            self._parts += 1
            self._open = _Counted(at_s, said or str(self._parts))
        if self._open is not None:
            self._open.judged.append((judged, verdict))
            if len(self._open.judged) == self._rules.of_frames:
                found += self.finish()
        return found

    def _sum_up(self, verdicts: list[Verdict]) -> Verdict:
        """NG if enough frames are; UNKNOWN if those that say nothing might have made it so; else OK."""
        needed = self._rules.ng_frames
        if verdicts.count(Verdict.NG) >= needed:
            return Verdict.NG
        unknown = verdicts.count(Verdict.UNKNOWN)
        return Verdict.UNKNOWN if unknown and verdicts.count(Verdict.NG) + unknown >= needed else Verdict.OK

    def _decide(self, counted: _Counted, verdict: Verdict | None = None) -> Decision:
        verdicts = [v for _, v in counted.judged]
        verdict = verdict or self._sum_up(verdicts)
        first, last = counted.judged[0][0].frame, counted.judged[-1][0].frame
        scores = [judged.detection.score for judged, _ in counted.judged if judged.detection is not None]
        return Decision(
            source=last.source,
            verdict=verdict,
            stop=self._stops(verdict),
            at=last.captured_at,
            first_frame=first.index,
            last_frame=last.index,
            frames=len(verdicts),
            ng_frames=verdicts.count(Verdict.NG),
            score=max(scores, default=None),
            part=counted.part,
        )

    def _stops(self, verdict: Verdict) -> bool:
        return verdict is Verdict.NG or (verdict is Verdict.UNKNOWN and self._rules.unknown == "stop")

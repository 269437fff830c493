"""What a broker refuses: told, and left out where it would be refused for ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

_FOR_GOOD = (0x90, 0x95, 0x99)
"""Topic name invalid, packet too large, payload format invalid. All others are tried again: not authorized, too, since
rights that are wrong today are put right tomorrow, and the events are still there."""

_FRAME_BYTES = 10
"""What MQTT puts around topic and payload, at most."""


class Refusals:
    """The answers of one broker, over all connections to it."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        """Take how the broker is called, and who is told."""
        self._name, self._say = name, say
        self._reasons: dict[int, ReasonCode] = {}
        """Of messages that were refused, by their number."""

        self._left_out: dict[str, int] = {}
        """How many messages, by their topic, since one was taken there."""

        self._unheard: dict[str, str] = {}
        """Topics that may not be listened to, and why."""

        self._watched: dict[int, tuple[str, MQTTMessageInfo]] = {}
        """Messages whose answer nobody waits for, with their topics, by their number."""

        self._refused: set[str] = set()
        """Topics where the last one of those was refused."""

        self._most_bytes: int | None = None

    def connected(self, most_bytes: int | None) -> None:
        """Begin anew, with the size of the largest packet that the broker takes; None: any."""
        self._reasons.clear()
        self._watched.clear()
        self._most_bytes = most_bytes

    def answered(self, number: int, reason: ReasonCode) -> None:
        """Note an answer. Numbers come again, so a good one takes the place of a bad one that nobody asked for."""
        topic, info = self._watched.pop(number, ("", None))
        if info is not None and not info.is_published():  # else this is the answer to another one of that number
            self._tell(topic, reason)
        elif reason.is_failure:
            self._reasons[number] = reason
        else:
            self._reasons.pop(number, None)

    def watch(self, topic: str, info: MQTTMessageInfo) -> None:
        """Tell if a message is refused whose answer nobody waits for."""
        self._watched[info.mid] = topic, info
        reason = self._reasons.pop(info.mid, None)
        if reason is not None:  # the answer was here first
            self._watched.pop(info.mid, None)
            self._tell(topic, reason)

    def too_large(self, topic: str, payload: bytes) -> str:
        """Say that the broker would end the connection over a message of this size; empty where it takes it."""
        size = _FRAME_BYTES + len(topic.encode()) + len(payload)
        if self._most_bytes is None or size <= self._most_bytes:
            return ""
        return f"it has {size} bytes, and the broker takes {self._most_bytes}"

    def problem_of(self, topic: str, number: int) -> str:
        """Return why a message did not arrive, once it was answered; empty where it did, or is left out."""
        reason = self._reasons.pop(number, None)
        if reason is None:
            if missing := self._left_out.pop(topic, 0):
                self._say(f"{self._name}: {topic} is taken again; messages left out: {missing}")
            return ""
        if reason.value not in _FOR_GOOD:
            return f"the broker refuses a message: {reason}"
        self.leave_out(topic, str(reason))
        return ""

    def leave_out(self, topic: str, why: str) -> None:
        """Say that a message is left out; once for many, as thousands may wait that are all refused."""
        if topic not in self._left_out:
            self._say(
                f"warning: {self._name}: a message on {topic} is refused ({why}); it is left out, and so is all that "
                "is refused there"
            )
        self._left_out[topic] = self._left_out.get(topic, 0) + 1

    def _tell(self, topic: str, reason: ReasonCode) -> None:
        """Say once that messages on a topic are refused, and once that they are taken again."""
        if reason.is_failure and topic not in self._refused:
            self._refused.add(topic)
            self._say(f"warning: {self._name}: what is said on {topic} is refused ({reason}); allow it there")
        elif topic in self._refused and not reason.is_failure:
            self._refused.remove(topic)
            self._say(f"{self._name}: {topic} is taken again")

    def subscribed(self, reasons: Mapping[str, ReasonCode]) -> None:
        """Tell of topics that may not be listened to, and of those that may be again."""
        unheard = {topic: str(reason) for topic, reason in reasons.items() if reason.is_failure}
        for topic, reason in unheard.items():
            if topic not in self._unheard:
                self._say(
                    f"warning: {self._name}: nothing is heard on {topic}, the broker refuses that ({reason}); allow "
                    "it there, and start aae-detect again"
                )
        for topic in self._unheard:
            if topic not in unheard:
                self._say(f"{self._name}: {topic} is heard again")
        self._unheard = unheard

"""All sinks of a run, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from aae_detect.detector import Detector
from aae_detect.judged import Output
from aae_detect.sinks.forwarder import Forwarder
from aae_detect.sinks.settings import SinkSettings
from aae_detect.sinks.sink import Sink
from aae_detect.store.event_store import EventStore

if TYPE_CHECKING:
    from aae_detect.sinks.metrics import Metrics
    from aae_detect.sinks.mqtt_link import MqttLink


class Sinks:
    """Who hears of what happens; nobody, without settings."""

    def __init__(self, settings: SinkSettings, say: Callable[[str], None]) -> None:
        """Make them; connections begin with `start`.

        Raises:
            ConfigError: a secret, a certificate, a function or an address cannot be used.
            InstallError: a package is missing that one of them needs.
        """
        self._settings, self._say = settings, say
        self._closing = ExitStack()
        self.link: MqttLink | None = None
        self.metrics: Metrics | None = None
        self._sinks: list[Sink] = []
        self._forwarders: list[Forwarder] = []
        # What is not asked for is not loaded: most devices need none of it.
        if settings.mqtt is not None:
            from aae_detect.sinks.mqtt_events import MqttEvents
            from aae_detect.sinks.mqtt_link import MqttLink

            self.link = MqttLink(settings.mqtt, say)
            self._sinks.append(MqttEvents(self.link))
        if settings.webhooks:
            from aae_detect.sinks.webhook import Webhook

            self._sinks += [Webhook(hook, say) for hook in settings.webhooks]
        if settings.python:
            from aae_detect.sinks.python_call import PythonCall

            self._sinks += [PythonCall(function) for function in settings.python]
        if settings.metrics is not None:
            from aae_detect.sinks.metrics import Metrics

            self.metrics = Metrics(settings.metrics)
            self._closing.callback(self.metrics.close)

    def start(self, store: EventStore | None, sources: Sequence[str]) -> None:
        """Connect, and forward what the store has and will have.

        Raises:
            ConfigError: the store cannot be opened once more.
        """
        if self.link is not None and self._settings.mqtt is not None:
            from aae_detect.sinks.mqtt_names import same_names

            prefix = self._settings.mqtt.home_assistant
            for one, other in same_names(sources, bool(prefix)):
                self._say(
                    f'warning: {self.link.name}: sources "{one}" and "{other}" have the same name there, and are taken '
                    "for one; call one of them otherwise"
                )
            if prefix:
                from aae_detect.sinks.home_assistant import discovery

                self.link.greetings += discovery(prefix, self.link.topic, sources)
            self._closing.callback(self.link.close)
            self.link.start()
        if store is not None:
            for sink in self._sinks:
                self._forward(store, sink)
        if self.metrics is not None:
            self.metrics.watch(self._forwarders)

    def _forward(self, store: EventStore, sink: Sink) -> None:
        forwarder = Forwarder(store, sink, self._say)
        self._forwarders.append(forwarder)
        self._closing.callback(forwarder.close)

    def outputs(self, source: str, detector: Detector, others: Sequence[Output]) -> list[Output]:
        """Make the outputs of one source; see `Metrics.of`."""
        made: list[Output] = []
        if self.link is not None:
            from aae_detect.sinks.mqtt_events import MqttState

            made.append(MqttState(self.link, source))
        if self.metrics is not None:
            made.append(self.metrics.of(source, detector.threshold, detector.model_sha256, others))
        return made

    def close(self) -> None:
        """Send what waits, for a few seconds, and end."""
        for forwarder in self._forwarders:  # all at once: one that hangs must not take the others' time
            forwarder.stop()
        self._closing.close()

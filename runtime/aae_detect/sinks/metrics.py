"""Figures for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aae_detect import __version__
from aae_detect.decision.decision import Decision
from aae_detect.drift import Drift
from aae_detect.errors import ConfigError, InstallError
from aae_detect.frames import Signal
from aae_detect.judged import Judged, Output
from aae_detect.news import ModelChange, News
from aae_detect.sinks.metrics_server import MetricsServer
from aae_detect.sinks.settings import MetricsSettings

if TYPE_CHECKING:
    from aae_detect.sinks.forwarder import Forwarder

_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Metrics:
    """All figures of this process, and the server that shows them."""

    def __init__(self, settings: MetricsSettings) -> None:
        """Begin to listen.

        Raises:
            ConfigError: the address cannot be listened on.
            InstallError: prometheus-client is missing.
        """
        try:
            from prometheus_client import (
                CollectorRegistry,
                Counter,
                Gauge,
                Histogram,
                Info,
                ProcessCollector,
                make_wsgi_app,
            )
        except ImportError as error:
            raise InstallError(
                "metrics need prometheus-client; install it with `pip install 'aae-detect[metrics]'`"
            ) from error
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        of_source = ["source"]
        self.frames = Counter("aae_frames", "Frames by verdict.", ["source", "verdict"], registry=registry)
        self.decisions = Counter("aae_decisions", "What the line was told.", ["source", "verdict"], registry=registry)
        self.latency = Histogram(
            "aae_latency_seconds",
            "From a frame in memory to its verdict.",
            of_source,
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.age = Histogram(
            "aae_frame_age_seconds",
            "From the camera's read to the verdict.",
            of_source,
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.score = Gauge("aae_score", "Of the newest frame.", of_source, registry=registry)
        self.threshold = Gauge("aae_threshold", "NG above this score.", of_source, registry=registry)
        self.camera_up = Gauge("aae_camera_up", "1 while frames come, 0 while lost.", of_source, registry=registry)
        self.outages = Counter("aae_camera_outages", "Times that the camera was lost.", of_source, registry=registry)
        self.drift = Gauge("aae_drift", "1 for the advice that holds.", ["source", "advice"], registry=registry)
        self.model = Info("aae_model", "The model that judges.", of_source, registry=registry)
        self.waiting = Gauge("aae_events_waiting", "Events that a sink has not got yet.", ["sink"], registry=registry)
        self.dropped = Gauge(
            "aae_dropped_frames", "Frames that an output had no room for.", ["source", "output"], registry=registry
        )
        Info("aae_detect", "This program.", registry=registry).info({"version": __version__})
        host, port = settings.address
        try:
            self._server = MetricsServer(host, port, make_wsgi_app(registry))
        except OSError as error:
            raise ConfigError(f"metrics: {settings.listen} cannot be listened on: {error.strerror}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def watch(self, forwarders: Sequence[Forwarder]) -> None:
        """Show how many events each sink has not got."""
        for forwarder in forwarders:
            self.waiting.labels(forwarder.name).set_function(_waiting_of(forwarder))

    def of(self, source: str, threshold: float, model_sha256: str, others: Sequence[Output]) -> Output:
        """Make the output that counts for one source.

        Args:
            source: Its name.
            threshold: NG above.
            model_sha256: Of the model that judges.
            others: Its other outputs, whose drops are shown.
        """
        self.threshold.labels(source).set(threshold)
        self.model.labels(source).info({"sha256": model_sha256})
        self.camera_up.labels(source).set(1)
        for output in others:
            if (name := getattr(output, "name", "")) and hasattr(output, "dropped"):
                self.dropped.labels(source, name).set_function(_dropped_of(output))
        return _Counted(self, source)

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Counted(Output):
    name = "metrics"

    def __init__(self, metrics: Metrics, source: str) -> None:
        self._metrics, self._source = metrics, source
        self._frames = {name: metrics.frames.labels(source, name) for name in ("OK", "NG", "UNKNOWN")}
        self._latency, self._age = metrics.latency.labels(source), metrics.age.labels(source)
        self._score = metrics.score.labels(source)
        metrics.outages.labels(source)

    def take(self, judged: Judged) -> bool:
        self._frames[judged.verdict.value].inc()
        self._age.observe(judged.age_ms / 1e3)
        if judged.detection is not None:
            self._latency.observe(judged.detection.latency_ms.total / 1e3)
            self._score.set(judged.detection.score)
        return True

    def signal(self, signal: Signal) -> None:
        self._metrics.camera_up.labels(self._source).set(0 if signal.lost else 1)
        if signal.lost:
            self._metrics.outages.labels(self._source).inc()

    def tell(self, news: News) -> None:
        metrics, source = self._metrics, self._source
        if isinstance(news, Decision):
            metrics.decisions.labels(source, news.verdict.value).inc()
        elif isinstance(news, Drift):
            for advice in ("recalibrate", "retrain"):
                metrics.drift.labels(source, advice).set(news.advice == advice)
        elif isinstance(news, ModelChange):
            metrics.threshold.labels(source).set(news.threshold)
            metrics.model.labels(source).info({"sha256": news.model_sha256})

    def close(self) -> None:
        """Nothing is held open."""


def _waiting_of(forwarder: Forwarder) -> Callable[[], float]:
    return lambda: forwarder.waiting


def _dropped_of(output: Output) -> Callable[[], float]:
    return lambda: output.dropped

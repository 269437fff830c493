"""What `aae-calibrate` does once its options are known."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click

from aae_detect.calibrate.collect import Collected, collect
from aae_detect.calibrate.fit import fit_site
from aae_detect.calibrate.site_update import update_site
from aae_detect.camera.opening import connect, open_asked
from aae_detect.detector import Detector
from aae_detect.errors import ConfigError, SourceError
from aae_detect.events import calibration_event
from aae_detect.frame_mask import read_mask
from aae_detect.frame_reference import fit_reference
from aae_detect.frames import FrameSource
from aae_detect.session import AUTO
from aae_detect.signature import OwnerKey
from aae_detect.site_file import SiteEntry, SiteFile, read_site
from aae_detect.site_places import SitePlaces
from aae_detect.source_settings import SourceSettings
from aae_detect.stop_signals import stop_on_signals
from aae_detect.store.event_store import EventStore
from aae_detect.stream_judges import Models
from aae_detect.stream_settings import StreamSettings
from aae_detect.threshold import Threshold, tell_rate
from aae_detect.whole_file import check_target

LEAST_FRAMES = 10
"""Fewer say next to nothing."""

_STOPPED = 130


@dataclass(frozen=True)
class Settings:
    """The options of `aae-calibrate`; see its help."""

    streams: tuple[StreamSettings, ...]
    out: Path
    count: int = 300
    target_frr: float = 0.01
    camera_name: str | None = None
    store: Path | None = None
    provider: str = AUTO
    provider_options: Mapping[str, str] = field(default_factory=dict)
    threads: int | Literal["auto"] = 0
    require_signature: Path | None = None


def run(settings: Settings) -> int:
    """Look at good frames of each source, one source after the other, and write the site file; returns the exit code.

    Raises:
        AaeDetectError: a setting, a model or a source cannot be used, or a source gave too few frames; nothing is
            written then.
    """
    check_target(settings.out, "--out")
    if any(stream.model is None for stream in settings.streams):
        raise ConfigError(
            "no model; give it as in `aae-calibrate detector.onnx ...`, set AAE_DETECT_MODEL, or write model = "
            '"detector.onnx" in the file of --config. Make one from good pictures with `aae-train PICTURES` and '
            "`aae-export RUN`"
        )
    if settings.camera_name is not None and len(settings.streams) > 1:
        raise ConfigError(f"--for names one camera, and {len(settings.streams)} sources are given; leave it out")
    site = read_site(settings.out) if settings.out.exists() else SiteFile(())
    # Opened before the parts pass: a store that cannot be written to must not cost them.
    with nullcontext() if settings.store is None else EventStore(settings.store) as store:
        return _run(settings, site, store)


def _run(settings: Settings, site: SiteFile, store: EventStore | None) -> int:
    owner = None if settings.require_signature is None else OwnerKey(settings.require_signature)
    models = Models(settings.provider, settings.threads, settings.provider_options, None, _say, owner)
    events: list[dict[str, Any]] = []
    entries: list[SiteEntry] = []
    stop = threading.Event()
    with stop_on_signals(stop):
        for stream in settings.streams:
            if (entry := _calibrate(settings, stream, models, stop)) is None:
                click.echo("stopped; nothing was written", err=True)
                return _STOPPED
            held = {known.title: known.threshold for known in site.entries}
            events.append(calibration_event(entry, settings.out, held.get(entry.title, models.of(stream).threshold)))
            site = site.with_entry(entry)
            entries.append(entry)
    update_site(settings.out, entries)
    click.echo(f"written to {settings.out}; use it with `aae-detect ... --site {settings.out}`")
    if store is not None:
        for event in events:
            store.append(event)
    return 0


def _calibrate(
    settings: Settings,
    stream: StreamSettings,
    models: Models,
    stop: threading.Event,
) -> SiteEntry | None:
    """Calibrate one source; None where that was broken off."""
    asked = stream.source
    source = open_asked(asked, _say)  # opens while the model loads
    try:
        detector = models.of(stream)
        if stream.mask is not None:
            detector = detector.with_mask(read_mask(stream.mask))
        connect(source)
    except BaseException:
        source.close()
        raise
    seen = _collect(settings, detector, source, asked, stop)
    if stop.is_set():
        return None
    if len(seen.anomaly_maps) < LEAST_FRAMES:
        raise SourceError(
            f"{asked.shown_name} gave {len(seen.anomaly_maps)} frames that could be judged, expected at least "
            f"{LEAST_FRAMES}, and better {settings.count}"
        )
    places, threshold = fit_site(seen.anomaly_maps, settings.target_frr)
    entry = SiteEntry(
        camera=settings.camera_name or asked.shown_name,
        product=stream.product,
        model_sha256=detector.model_sha256,
        calibrated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        threshold=threshold.value,
        calibration=threshold.calibration,
        places=places.pack(),
        noise_gray=round(seen.noise_gray, 3),
        frames=fit_reference(seen.statistics, seen.sizes_hw, seen.longest_repeat_s if source.live else 0.0),
        mask_sha256=detector.mask.sha256 if detector.mask is not None else "",
        frame_interval_s=round(seen.frame_interval_s, 6) if source.live else 0.0,
    )
    for line in _report(entry, threshold, places, seen, detector.threshold, source.live):
        click.echo(line)
    return entry


def _collect(
    settings: Settings, detector: Detector, source: FrameSource, asked: SourceSettings, stop: threading.Event
) -> Collected:
    with click.progressbar(length=settings.count, label=asked.shown_name, file=sys.stderr, show_pos=True) as bar:
        return collect(detector, source, asked, settings.count, stop, lambda: bar.update(1), _say)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _report(
    entry: SiteEntry, threshold: Threshold, places: SitePlaces, seen: Collected, own_threshold: float, live: bool
) -> list[str]:
    """Say what was found, and what of it is doubtful."""
    calibration, count = entry.calibration, entry.calibration.count
    lines = [
        f"{entry.title}: {count} frames, noise {entry.noise_gray:.1f} gray levels",
        f"threshold {entry.threshold:.4g} (the model's own: {own_threshold:.4g}): {tell_rate(calibration)}",
    ]
    if places.share_calmed > 0:
        lines.append(f"{places.share_calmed:.1%} of the picture is livelier than the rest, and counts for less there")
    if entry.frames.most_shift >= 1:
        lines.append("whether the camera has moved cannot be told here, as nothing in the picture stands still")
    if calibration.effective_count < count:
        lines.append(
            f"warning: the frames follow each other; {count} of them are worth {calibration.effective_count}. Let more "
            f"parts pass: {'--most-fps 1 takes longer' if live else '--every 10 goes farther'}, and sees more"
        )
    if threshold.warning:
        lines.append(f"warning: {threshold.warning}")
    if seen.above:
        lines.append(
            f"warning: {seen.above} of {count} frames lie above the model's own threshold. If their parts are good, "
            "this is what calibrating is for; if not, take them out and calibrate again"
        )
    if seen.unjudged:
        lines.append(f"warning: {seen.unjudged} frames could not be judged, and were left out")
    return lines

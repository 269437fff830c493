"""Who judges each source, and by what: the model, what a site knows, where to look, and the rules of decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aae_detect.decision.decider import Decider
from aae_detect.decision.line_trigger import TriggerLines
from aae_detect.decision.rules import Command, read_rules
from aae_detect.detector import Detector
from aae_detect.drift import DriftWatch
from aae_detect.errors import ConfigError
from aae_detect.frame_checks import FrameChecks
from aae_detect.frame_mask import read_mask
from aae_detect.good_scores import GoodScores
from aae_detect.site_file import read_site_entry
from aae_detect.stream_settings import StreamSettings


@dataclass(frozen=True)
class Judges:
    """All that looks at the frames of one source."""

    detector: Detector
    checks: FrameChecks
    drift: DriftWatch | None = None
    """None without a site file: nobody knows what is usual."""

    decider: Decider | None = None
    commands: tuple[Command, ...] = ()
    """What is run when something is decided."""


def load_judges(
    streams: Sequence[StreamSettings],
    provider: str,
    threads: int | Literal["auto"],
    provider_options: Mapping[str, str],
    default_model: Path | None,
    say: Callable[[str], None],
) -> list[Judges]:
    """Load each model once, however many sources it judges, and read what belongs to each source.

    Args:
        streams: What was asked for.
        provider: As `Detector.load` takes it, like `threads` and `provider_options`.
        threads: Of each model.
        provider_options: Of the provider.
        default_model: For sources that name none.
        say: Told of what the user should know.

    Raises:
        ModelError: a model is refused.
        ConfigError: a source has no model, or a file that it names cannot be used.
    """
    loaded: dict[tuple[Path, int | None], Detector] = {}
    triggers = TriggerLines()
    judges = []
    for stream in streams:
        path, bits = stream.model or default_model, stream.source.camera.bits
        if path is None:
            raise ConfigError(
                "no model; give --model detector.onnx or set AAE_DETECT_MODEL. Make one from a folder of good pictures "
                "with `aae-train PICTURES` and `aae-export RUN`, or see the shipped one at work with --demo"
            )
        if (path, bits) not in loaded:
            loaded[path, bits] = Detector.load(path, provider, threads, bits=bits, provider_options=provider_options)
            for warning in loaded[path, bits].warnings:
                say(f"warning: {warning}")
        judges.append(_of_stream(loaded[path, bits], stream, triggers))
    return judges


def _of_stream(detector: Detector, stream: StreamSettings, triggers: TriggerLines) -> Judges:
    checks, drift, decider = FrameChecks(), None, None
    commands: tuple[Command, ...] = ()
    if stream.site is not None:
        entry = read_site_entry(stream.site, stream.source.shown_name, stream.product)
        detector, checks = detector.with_site(entry), FrameChecks(entry.frames, stream.source.live)
        good_scores = GoodScores.from_scores(entry.calibration.scores)
        if good_scores is not None:
            drift = DriftWatch(good_scores, entry.frames, entry.calibration.effective_count)
    if stream.mask is not None:
        detector = detector.with_mask(read_mask(stream.mask))
    if stream.decide is not None:
        rules = read_rules(stream.decide)
        decider = Decider(rules, triggers.subscribe() if rules.per == "trigger" else None)
        commands = rules.commands
    return Judges(detector.with_threshold(stream.threshold), checks, drift, decider, commands)

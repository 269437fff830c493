"""Who judges each source, and by what: the model, what a site knows, where to look, and the rules of decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aae_detect.decision.decider import Decider
from aae_detect.decision.line_trigger import LineTrigger, TriggerLines
from aae_detect.decision.rules import Rules, read_rules
from aae_detect.detector import Detector
from aae_detect.drift import DriftWatch
from aae_detect.errors import ConfigError
from aae_detect.frame_checks import FrameChecks
from aae_detect.frame_mask import read_mask
from aae_detect.signature import OwnerKey
from aae_detect.site_file import read_site_entry
from aae_detect.sources import is_local_camera
from aae_detect.spec import BITS
from aae_detect.stream_settings import StreamSettings

if TYPE_CHECKING:
    from aae_detect.sinks.mqtt_link import MqttLink


@dataclass(frozen=True)
class Judges:
    """All that looks at the frames of one source."""

    detector: Detector
    checks: FrameChecks
    drift: DriftWatch | None = None
    """None without a site file: nobody knows what is usual."""


class Models:
    """Loads each model once, however many sources it judges."""

    def __init__(
        self,
        provider: str,
        threads: int | Literal["auto"],
        provider_options: Mapping[str, str],
        default: Path | None,
        say: Callable[[str], None],
        owner: OwnerKey | None = None,
    ) -> None:
        """Take how models are loaded, as `Detector.load` takes it.

        Args:
            provider: Of each model.
            threads: Of each model.
            provider_options: Of the provider.
            default: For sources that name none.
            say: Told of what the user should know.
            owner: Whose signature models must have; None: nobody's.
        """
        self._owner = owner
        self._provider, self._threads, self._options = provider, threads, provider_options
        self._default, self._say = default, say
        self._loaded: dict[tuple[Path, int | None], Detector] = {}

    def of(self, stream: StreamSettings) -> Detector:
        """Return the model of a source as it came.

        Raises:
            ModelError: it is refused.
            ConfigError: there is none, or it cannot be loaded so.
        """
        path, bits = stream.model or self._default, stream.source.camera.bits
        if path is None:
            raise ConfigError(
                "no model; give --model detector.onnx or set AAE_DETECT_MODEL. Make one from a folder of good pictures "
                "with `aae-train PICTURES` and `aae-export RUN`, or see the shipped one at work with --demo"
            )
        if (path, bits) not in self._loaded:
            detector = Detector.load(
                path,
                self._provider,
                self._threads,
                bits=bits,
                provider_options=self._options,
                owner=self._owner,
            )
            for warning in detector.warnings:
                self._say(f"warning: {warning}")
            self._loaded[path, bits] = detector
        detector = self._loaded[path, bits]
        if bits is None and detector.spec.bits < max(BITS) and is_local_camera(stream.source.source):
            self._say(
                f"warning: {stream.source.shown_name} is asked for pictures of 8 bits, and the model has learned from "
                f"some of {detector.spec.bits}; give --bits {detector.spec.bits}"
            )
        return detector


def load_judges(streams: Sequence[StreamSettings], make_models: Callable[[], Models]) -> list[Judges]:
    """Load the models, and read what is known of each source.

    Args:
        streams: What was asked for.
        make_models: Gives models that are read from the disk now.

    Raises:
        ModelError: a model is refused.
        ConfigError: a source has no model, or a file that it names cannot be used.
    """
    models = make_models()
    return [_of_stream(models.of(stream), stream) for stream in streams]


def load_deciders(
    streams: Sequence[StreamSettings], say: Callable[[str], None], link: MqttLink | None = None
) -> list[tuple[Decider, Rules] | None]:
    """Read the rules of each source; return who decides, and by which; None where nobody does.

    Args:
        streams: What was asked for.
        say: Told when a trigger falls silent, and when a part does not leave.
        link: Where triggers by MQTT come from, not yet started; None without a broker.

    Raises:
        ConfigError: a file of rules cannot be used, or a GPIO line cannot be had.
        InstallError: a package is missing that rules need.
    """
    lines, found = TriggerLines(say), list[tuple[Decider, Rules] | None]()
    read = [None if stream.decide is None else read_rules(stream.decide) for stream in streams]
    require_own_lines({s.source.shown_name: rules for s, rules in zip(streams, read, strict=True) if rules})
    for stream, rules in zip(streams, read, strict=True):
        if stream.decide is None or rules is None:
            found.append(None)
            continue
        require_broker(stream.decide, rules, link)
        trigger = _trigger(rules, stream.source.live, lines, say, link)
        found.append((Decider(rules, trigger, stream.source.shown_name, stream.source.live, say), rules))
    return found


def require_own_lines(rules: Mapping[str, Rules]) -> None:
    """See that no GPIO line is asked for twice: the kernel gives it away once.

    Args:
        rules: By the names of the sources that they are for.

    Raises:
        ConfigError: one is; says for which sources.
    """
    taken: dict[tuple[str, int | str], str] = {}
    for name, of_source in rules.items():
        for line in (*of_source.gpio, *([of_source.gpio_trigger] if of_source.gpio_trigger else [])):
            if (other := taken.get((line.chip, line.offset))) is not None:
                who = name if other == name else f"{other} and {name}"
                raise ConfigError(
                    f"GPIO line {line.line} is asked for twice, by {who}, and can be had once only; name another line, "
                    "in a file of rules (decide) for each source"
                )
            taken[line.chip, line.offset] = name


def require_broker(file: Path, rules: Rules, link: MqttLink | None) -> None:
    """See that there is a broker where rules name a topic.

    Raises:
        ConfigError: there is none.
    """
    if rules.mqtt_topic and link is None:
        raise ConfigError(f"{file}: mqtt_topic needs a broker; add --sinks FILE with [mqtt] in it")


def require_site(stream: StreamSettings) -> None:
    """See that there is a site file where a product is named: its entry is all that the name says.

    Raises:
        ConfigError: there is none.
    """
    if stream.product and stream.site is None:
        raise ConfigError(
            f'product "{stream.product}" names an entry of a site file, and {stream.source.shown_name} has none; add '
            "--site FILE, from aae-calibrate, or leave the product out"
        )


def _trigger(
    rules: Rules, live: bool, lines: TriggerLines, say: Callable[[str], None], link: MqttLink | None
) -> LineTrigger | None:
    """Find who says when a part is there: a GPIO line or an MQTT topic if one is named, else lines."""
    if rules.per != "trigger":
        return None
    if rules.gpio_trigger is not None:
        from aae_detect.decision.gpio import GpioTrigger

        return GpioTrigger(rules.gpio_trigger, say)
    if link is None or not rules.mqtt_topic:
        return lines.subscribe(live)
    trigger = LineTrigger(live, say)
    link.listen(rules.mqtt_topic, trigger.put)
    return trigger


def _of_stream(detector: Detector, stream: StreamSettings) -> Judges:
    checks, drift = FrameChecks(), None
    mask = None if stream.mask is None else read_mask(stream.mask)
    require_site(stream)
    if stream.site is None:
        detector = detector.with_threshold(stream.threshold)
    else:
        entry = read_site_entry(stream.site, stream.source.shown_name, stream.product)
        entry.require_mask(mask)
        detector, checks = detector.with_site(entry), FrameChecks(entry.frames, stream.source.live)
        detector = detector.with_threshold(stream.threshold)
        if (good := detector.good_scores) is not None:
            # A file's frames come as fast as they are read.
            interval_s = entry.frame_interval_s if stream.source.live else 0.0
            worth = entry.calibration.effective_count
            drift = DriftWatch(good, entry.frames, worth, detector.threshold, interval_s)
    return Judges(detector if mask is None else detector.with_mask(mask), checks, drift)

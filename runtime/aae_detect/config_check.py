"""`aae-detect --check-config`: whether a configuration would run, without opening a camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aae_detect.decision.rules import Rules, read_rules
from aae_detect.errors import AaeDetectError
from aae_detect.frame_mask import read_mask
from aae_detect.model_file import read_model
from aae_detect.signature import OwnerKey
from aae_detect.sinks.opening import Sinks
from aae_detect.sinks.settings import read_sinks, require_store
from aae_detect.site_file import read_site_entry
from aae_detect.source_options import read_streams
from aae_detect.source_secrets import fill_secrets
from aae_detect.stream_judges import require_broker, require_own_lines, require_site

if TYPE_CHECKING:
    from aae_detect.sinks.mqtt_link import MqttLink
    from aae_detect.stream_settings import StreamSettings


def check_config(
    path: Path,
    sinks: Path | None = None,
    require_signature: Path | None = None,
    options: Mapping[str, Any] | None = None,
    store: Path | None = None,
) -> tuple[list[str], bool]:
    """Read a configuration and every file that it names.

    Args:
        path: Of `--config`.
        sinks: Of `--sinks`; nothing is connected or sent.
        require_signature: Of `--require-signature`.
        options: What else a run would be given, by options or the environment, as `read_streams` takes it: it holds
            for each source, whatever the file says.
        store: Of `--store`; nothing is written there.

    Returns:
        A line for each source, or for each thing that is wrong; and whether all is well.

    Raises:
        ConfigError: the file itself is wrong, or an option; says in which line, or which.
    """
    lines, fine, link = [], True, None
    owner = None if require_signature is None else OwnerKey(require_signature)
    if sinks is not None:
        settings = replace(read_sinks(sinks), metrics=None)  # which would listen
        try:
            link = Sinks(settings, lambda _text: None).link
            require_store(sinks, settings, store)
            lines.append(f"{sinks}: fine")
        except AaeDetectError as error:
            fine = False
            lines.append(f"{sinks}: {error}")
    streams = read_streams(None, (), path, False, options or {})
    for stream in streams:
        problems = list(dict.fromkeys(_problems(stream, link, owner)))  # a bad model troubles its site, too
        fine = fine and not problems
        name = stream.source.shown_name
        lines += [f"{path}: {name}: {problem}" for problem in problems] or [f"{name}: fine"]
    try:
        require_own_lines(_readable_rules(streams))
    except AaeDetectError as error:
        fine = False
        lines.append(f"{path}: {error}")
    return lines, fine


def _problems(stream: StreamSettings, link: MqttLink | None, owner: OwnerKey | None) -> Iterator[str]:
    if stream.model is None:
        yield 'no model; write model = "detector.onnx", or set AAE_DETECT_MODEL'
    checks: list[Callable[[], object]] = [
        lambda: fill_secrets(stream.source.source),
        lambda: stream.model and read_model(stream.model, owner),
        lambda: _check_site(stream, owner),
        lambda: stream.mask and read_mask(stream.mask),
        lambda: _check_rules(stream, link),
    ]
    for check in checks:
        try:
            check()
        except AaeDetectError as error:
            yield str(error)


def _readable_rules(streams: Sequence[StreamSettings]) -> dict[str, Rules]:
    """Read the rules of each source, less those of which is told already what is wrong."""
    found = {}
    for stream in streams:
        if stream.decide is not None:
            with suppress(AaeDetectError):
                found[stream.source.shown_name] = read_rules(stream.decide)
    return found


def _check_rules(stream: StreamSettings, link: MqttLink | None) -> None:
    """See that rules can be read, and have a broker where they need one."""
    if stream.decide is not None:
        require_broker(stream.decide, read_rules(stream.decide), link)


def _check_site(stream: StreamSettings, owner: OwnerKey | None) -> None:
    """See that there is an entry, and that it is for the model."""
    require_site(stream)
    if stream.site is None:
        return
    entry = read_site_entry(stream.site, stream.source.shown_name, stream.product)
    entry.require_mask(None if stream.mask is None else read_mask(stream.mask))
    if stream.model is not None and stream.model.is_file():
        entry.require_model(read_model(stream.model, owner).sha256)

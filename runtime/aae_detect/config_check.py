"""`aae-detect --check-config`: whether a configuration would run, without opening a camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from aae_detect.decision.rules import read_rules
from aae_detect.errors import AaeDetectError
from aae_detect.frame_mask import read_mask
from aae_detect.model_file import read_model
from aae_detect.site_file import read_site_entry
from aae_detect.source_secrets import fill_secrets
from aae_detect.stream_settings import StreamSettings, read_config


def check_config(path: Path) -> tuple[list[str], bool]:
    """Read a configuration and every file that it names.

    Returns:
        A line for each source, or for each thing that is wrong; and whether all is well.

    Raises:
        ConfigError: the file itself is wrong; says in which line.
    """
    lines, fine = [], True
    for stream in read_config(path, {}):
        problems = list(_problems(stream))
        fine = fine and not problems
        name = stream.source.shown_name
        lines += [f"{path}: {name}: {problem}" for problem in problems] or [f"{name}: fine"]
    return lines, fine


def _problems(stream: StreamSettings) -> Iterator[str]:
    if stream.model is None:
        yield 'no model; write model = "detector.onnx"'
    checks: list[Callable[[], object]] = [
        lambda: fill_secrets(stream.source.source),
        lambda: stream.model and read_model(stream.model),
        lambda: _check_site(stream),
        lambda: stream.mask and read_mask(stream.mask),
        lambda: stream.decide and read_rules(stream.decide),
    ]
    for check in checks:
        try:
            check()
        except AaeDetectError as error:
            yield str(error)


def _check_site(stream: StreamSettings) -> None:
    """See that there is an entry, and that it is for the model."""
    if stream.site is None:
        return
    entry = read_site_entry(stream.site, stream.source.shown_name, stream.product)
    if stream.model is not None and stream.model.is_file():
        entry.require_model(read_model(stream.model).sha256)

"""What a run of `aae-detect` is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aae_detect.log_lines import Format
from aae_detect.session import AUTO
from aae_detect.stream_settings import StreamSettings


@dataclass(frozen=True)
class Settings:
    """The options of `aae-detect`; see its help."""

    streams: tuple[StreamSettings, ...]
    demo: bool = False
    provider: str = AUTO
    provider_options: Mapping[str, str] = field(default_factory=dict)
    threads: int | Literal["auto"] = 0
    require_signature: Path | None = None
    """Public key of whoever must have signed the models."""

    window: bool = True
    save_video: Path | None = None
    jsonl: str | None = None
    save_ng: Path | None = None
    store: Path | None = None
    sinks: Path | None = None
    log: Format = "text"
    show_reconstruction: bool = True
    max_frames: int | None = None
    stats: bool = False
    wait: bool = False
    """Whether to wait for a camera that is not there at the start, as for one that is lost later."""

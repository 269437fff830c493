"""What outputs hear beside frames: decisions, drift, and changes of the model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aae_detect.decision.decision import Decision
from aae_detect.drift import Drift


@dataclass(frozen=True)
class ModelChange:
    """A source has a new model, or keeps the old one."""

    source: str
    loaded: bool
    model_sha256: str
    """Of the model that judges from now on."""

    threshold: float
    reason: str
    """Why the new one was refused; empty where it was not."""

    at: datetime


News = Decision | Drift | ModelChange

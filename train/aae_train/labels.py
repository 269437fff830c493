"""Labelled test pictures beside the good ones: to measure with afterwards, never to learn or to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aae_detect.bench.dataset import LabelledSet, find_labelled_set
from aae_detect.errors import ConfigError
from aae_train.data_folder import find_pictures


@dataclass(frozen=True)
class Labels:
    """What DATA says of defects."""

    labelled: LabelledSet | None
    why_not: str
    """Why there are no labels to measure with; else empty."""


def find_labels(data: Path, limit: int | None = None) -> Labels:
    """Look for labelled test pictures that no model learns from.

    Args:
        data: The folder that a model learns from.
        limit: At most so many pictures of each kind, spread evenly over the names; None takes all.

    Raises:
        ConfigError: DATA holds no pictures to learn from.
    """
    if find_pictures(data).layout != "mvtec":
        return Labels(None, "DATA is a folder of good pictures only")
    if not (data / "test").is_dir():
        return Labels(None, "DATA has no folder test")
    try:
        return Labels(find_labelled_set(data, limit), "")
    except ConfigError:
        return Labels(None, "DATA's folder test does not hold both good and defective pictures")

"""What a frame of the demo camera really shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartTruth:
    """One part in a frame."""

    part_id: int
    """Counts the parts from 0; the same in all frames that show the part."""

    shape: str
    """`disc`, `nut`, `plate` or `gear`."""

    box_xywh: tuple[int, int, int, int]
    """Box around the part, frame pixels, cut at the frame's edge."""

    wholly_visible: bool

    defect: str | None
    """What is wrong with the part (`scratch`, `dent`, `stain`, `missing_hole`), seen in this frame or not."""

    defect_box_xywh: tuple[int, int, int, int] | None
    """Box around the defect, frame pixels, cut at the frame's edge; None where this frame does not show it."""


@dataclass(frozen=True)
class FrameTruth:
    """What a frame really shows."""

    index: int
    parts: tuple[PartTruth, ...]
    """From right to left, so in the order in which they came."""

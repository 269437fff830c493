"""The picture for people: frame, heat map, regions, verdict, figures, and what the part should look like.

All sizes follow the frame's, so that the same things are readable at 640x480 and at 4K. Small frames show less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.detection import Detection, Region, Verdict
from aae_detect.errors import FrameError
from aae_detect.geometry import Placement, resize
from aae_detect.overlay_heat import blend_heat
from aae_detect.overlay_panel import PAPER, SMALL, Panel
from aae_detect.overlay_text import (
    BLACK,
    WHITE,
    Box,
    Colour,
    dim,
    label_size,
    number,
    overlap,
    plain,
    put_border,
    put_label,
    put_text,
    shorten,
    text_width,
    wrap,
)
from aae_detect.scoring import SILENT

INSET_TITLE = "should look like"

_REGION: Colour = (60, 50, 255)
_FAINT: Colour = (200, 200, 200)
_DARK: Colour = (25, 25, 25)

_BORDER = (255, 200, 0)
"""BGR of the border of what is looked at: a colour that neither verdicts nor heat have."""

_BACKING = 0.3
"""Brightness that is left of the picture behind text."""

_MOST_REGIONS = 20
"""Regions that are drawn, the highest peaks first: more would hide the part, and cost time without end."""


def annotate(
    frame_bgr: NDArray[np.uint8],
    detection: Detection,
    *,
    colour_scale: tuple[float, float],
    fps: float | None = None,
    heat_map: bool = True,
    inset: bool = True,
    note: str = "",
    outlines: Sequence[NDArray[np.int32]] = (),
) -> NDArray[np.uint8]:
    """Draw a detection over its frame.

    Args:
        frame_bgr: HxWx3 uint8 BGR, the frame that was judged; not changed.
        detection: What the detector said of it.
        colour_scale: Map values of the coldest and the hottest colour: the model's `spec.colour_scale`.
        fps: Frames per second that are reached, shown where given.
        heat_map: Whether to lay the anomaly map over the picture. Contours and boxes are drawn in any case.
        inset: Whether to show the reconstruction in a corner.
        note: One line for the lower edge, such as the source's name.
        outlines: Borders of what is looked at, (points, 1, 2) each in frame pixels, from `FrameMask.outlines`.

    Returns:
        A new HxWx3 uint8 BGR picture of the frame's size.

    Raises:
        FrameError: the frame is not a uint8 BGR picture, or not of the size that was judged.
    """
    _check(frame_bgr, detection.placement)
    picture = frame_bgr.copy()
    unit = _unit(picture)
    if heat_map:
        blend_heat(picture, detection, colour_scale)
    _dim_unseen(picture, detection.placement)
    borders = list(outlines) or _silent_borders(detection)
    cv2.polylines(picture, borders, True, _BORDER, max(1, round(unit)), cv2.LINE_AA)
    panel = Panel(picture, detection.verdict, unit)
    panel.add_score(detection, colour_scale, fps)
    dim(picture, panel.box, _BACKING)
    regions = detection.regions[:_MOST_REGIONS]
    if (more := len(detection.regions) - len(regions) + detection.more_regions) > 0:
        note = f"{note}   and {more} more regions".strip()
    taken = [panel.box]
    if inset and unit >= SMALL:
        taken.append(_draw_inset(picture, detection, regions, panel.box, unit))
    if note and unit >= SMALL:
        taken.append(_draw_note(picture, plain(note), taken[1:], unit))
    # After everything that covers the picture: a region shows wherever it lies.
    _draw_outlines(picture, regions, unit)
    if unit >= SMALL:
        _draw_peaks(picture, regions, taken, detection.threshold, unit)
    panel.draw()
    if detection.verdict is not Verdict.OK:
        put_border(picture, max(1, round(5 * unit)), PAPER[detection.verdict])
    return picture


def annotate_unknown(
    frame_bgr: NDArray[np.uint8] | None, reason: str, size_hw: tuple[int, int] = (480, 640)
) -> NDArray[np.uint8]:
    """Draw a frame that could not be judged.

    Args:
        frame_bgr: HxWx3 uint8 BGR, not changed; or None where there is no picture.
        reason: Why there is no verdict, for people.
        size_hw: Size of the picture that is drawn where there is none, pixels.

    Returns:
        A new HxWx3 uint8 BGR picture, of the frame's size or of `size_hw`.

    Raises:
        FrameError: the frame is not a uint8 BGR picture.
    """
    if frame_bgr is None:
        picture = np.full((max(1, size_hw[0]), max(1, size_hw[1]), 3), 45, np.uint8)
    else:
        _check(frame_bgr, None)
        picture = frame_bgr.copy()
    height, width = picture.shape[:2]
    unit = _unit(picture)
    panel = Panel(picture, Verdict.UNKNOWN, unit)
    dim(picture, panel.box, _BACKING)
    panel.draw()
    capital_px, pad = max(8.0, 18 * unit), round(14 * max(unit, SMALL))
    line_height = round(2 * capital_px)
    top = panel.box[3] + pad
    lines = wrap(plain(reason), capital_px, width - 4 * pad)[: max(0, (height - top - pad) // line_height)]
    if lines:
        lines_width = max(text_width(line, capital_px) for line in lines)
        dim(picture, (pad, top, lines_width + 2 * pad, len(lines) * line_height), _BACKING)
    for line_number, line in enumerate(lines):
        line_top = top + line_number * line_height + round((line_height - capital_px) / 2)
        put_text(picture, line, 2 * pad, line_top, capital_px, WHITE)
    put_border(picture, max(1, round(5 * unit)), PAPER[Verdict.UNKNOWN])
    return picture


def _check(frame_bgr: NDArray[np.uint8], placement: Placement | None) -> None:
    found = getattr(frame_bgr, "shape", None), str(getattr(frame_bgr, "dtype", type(frame_bgr).__name__))
    if found[0] is None or len(found[0]) != 3 or found[0][2] != 3 or found[1] != "uint8" or not frame_bgr.size:
        raise FrameError(
            f"overlay: found an array of shape {found[0]} and type {found[1]}, expected HxWx3 uint8 BGR; "
            "convert the frame with aae_detect.preprocess.to_bgr8 first"
        )
    if placement is not None and found[0][:2] != placement.frame_hw:
        raise FrameError(
            f"overlay: the frame is {found[0][1]}x{found[0][0]}, the detection is of a frame of "
            f"{placement.frame_hw[1]}x{placement.frame_hw[0]}; give the very frame that was judged"
        )


def _unit(picture: NDArray[np.uint8]) -> float:
    """Size of things, 1.0 at 640x480; the narrower side decides."""
    height, width = picture.shape[:2]
    return float(min(height / 480, width / 640))


def _dim_unseen(picture: NDArray[np.uint8], placement: Placement) -> None:
    """Darken what `crop` kept from the model: nothing is said of it."""
    if min(placement.offset_yx) >= 0:
        return
    height, width = placement.frame_hw
    left, top, right, bottom = _seen(placement)
    for box in ((0, 0, left, height), (right, 0, width - right, height), (left, 0, right - left, top)):
        dim(picture, box, 0.4)
    dim(picture, (left, bottom, right - left, height - bottom), 0.4)


def _silent_borders(detection: Detection) -> list[NDArray[np.int32]]:
    """Find the borders of the cells at which the model was taught not to look, in frame pixels."""
    cells = detection.model_map > SILENT / 2
    if cells.all():
        return []
    (rows, columns), placement = cells.shape, detection.placement
    cell_h, cell_w = placement.input_hw[0] // rows, placement.input_hw[1] // columns
    fine = cells.astype(np.uint8).repeat(cell_h, axis=0).repeat(cell_w, axis=1)
    found, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [np.rint(placement.to_frame(outline + 0.5)).astype(np.int32) for outline in found]


def _seen(placement: Placement) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what the model saw, frame pixels."""
    input_h, input_w = placement.input_hw
    corners = placement.to_frame(np.array([[0.0, 0.0], [input_w, input_h]]))
    (left, top), (right, bottom) = np.clip(np.rint(corners), 0, placement.frame_hw[::-1]).astype(int).tolist()
    return left, top, right, bottom


def _draw_outlines(picture: NDArray[np.uint8], regions: tuple[Region, ...], unit: float) -> None:
    """Draw contours and boxes, each line on a darker and wider one, so that it shows on any picture."""
    line = max(1, round(2 * unit))
    # In a region hardly larger than its line the contour would hide what it should show; the box is enough there.
    contours = [region.contour_xy for region in regions if min(region.width, region.height) >= 7 * line]
    boxes = [_around(region, max(line, round(6 * unit))) for region in regions]
    # Small frames have no room for the dark line.
    wide = [(BLACK, line + 2 * max(1, line // 2))] if unit >= SMALL else []
    for colour, thickness in (*wide, (WHITE, line)):
        cv2.polylines(picture, contours, True, colour, thickness)
    for colour, thickness in (*wide, (_REGION, line)):
        for x, y, width, height in boxes:
            cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), colour, thickness)


def _around(region: Region, margin: int) -> Box:
    """A region's box with some room, so that its line does not cover what it shows."""
    return region.x - margin, region.y - margin, region.width + 2 * margin, region.height + 2 * margin


def _draw_peaks(
    picture: NDArray[np.uint8], regions: tuple[Region, ...], taken: list[Box], threshold: float, unit: float
) -> None:
    """Write each region's peak beside its box, where that hides nothing else; highest first."""
    capital_px = max(8.0, 13 * unit)
    frame_h, frame_w = picture.shape[:2]
    edge = max(1, round(5 * unit))
    taken = list(taken)
    for region in regions:
        text = number(region.peak, threshold)
        width, height = label_size(text, capital_px)
        x, y, box_w, box_h = _around(region, round(6 * unit))
        left = min(max(x, edge), frame_w - width - edge)
        right_side = (x + box_w, min(max(y, edge), frame_h - height - edge))
        left_side = (x - width, right_side[1])
        for label_x, label_y in ((left, y - height), (left, y + box_h), right_side, left_side):
            box = (label_x, label_y, width, height)
            inside = edge <= label_x <= frame_w - width - edge and edge <= label_y <= frame_h - height - edge
            if inside and not any(overlap(box, other) for other in taken):
                cv2.rectangle(picture, box, PAPER[Verdict.NG], cv2.FILLED)
                put_label(picture, text, box, capital_px)
                taken.append(box)
                break


def _draw_inset(
    picture: NDArray[np.uint8], detection: Detection, regions: tuple[Region, ...], panel: Box, unit: float
) -> Box:
    """Show the reconstruction in the corner where it hides least; returns the box that it takes."""
    frame_h, frame_w = picture.shape[:2]
    capital_px = 11 * unit
    title_w, title_h = label_size(INSET_TITLE, capital_px)
    line, margin = max(1, round(1.5 * unit)), round(10 * unit)
    share = max(0.27, (title_w + 2 * line) / frame_w)
    inner_w, inner_h = round(share * frame_w), round(share * frame_h)
    width, height = inner_w + 2 * line, inner_h + title_h + line
    right, bottom = frame_w - width - margin, frame_h - height - margin
    corners = [(right, bottom), (margin, bottom), (right, margin)]
    boxes = [(x, y, width, height) for x, y in corners]
    boxes = [box for box in boxes if not overlap(box, panel)] or boxes[:1]
    around = [_around(region, round(6 * unit)) for region in regions]
    box = min(boxes, key=lambda candidate: sum(overlap(candidate, other) for other in around))
    x, y = box[:2]
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), _DARK, cv2.FILLED)
    put_label(picture, INSET_TITLE, (x + (width - title_w) // 2, y, title_w, title_h), capital_px)
    inner = picture[y + title_h : y + title_h + inner_h, x + line : x + line + inner_w]
    inner[:] = _as_frame(detection, (inner_h, inner_w))
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), _FAINT, line)
    return box


def _as_frame(detection: Detection, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The reconstruction as it would lie in the frame, at a smaller size: bars cut off, cut-off parts black."""
    left, top, right, bottom = _seen(detection.placement)
    frame_h, frame_w = detection.placement.frame_hw
    ratio_y, ratio_x = size_hw[0] / frame_h, size_hw[1] / frame_w
    x0, y0, x1, y1 = round(left * ratio_x), round(top * ratio_y), round(right * ratio_x), round(bottom * ratio_y)
    drawing = detection.reconstruction_bgr
    step = detection.placement.input_hw[0] // drawing.shape[0]
    x, y, width, height = (side // step for side in detection.placement.inside_xywh)
    canvas = np.zeros((*size_hw, 3), np.uint8)
    if x1 > x0 and y1 > y0:
        inside = drawing[y : y + max(1, height), x : x + max(1, width)]
        canvas[y0:y1, x0:x1] = resize(inside, (y1 - y0, x1 - x0))
    return canvas


def _draw_note(picture: NDArray[np.uint8], note: str, insets: list[Box], unit: float) -> Box:
    """Write one line at the lower edge, beside the inset where there is one; returns the box that it takes."""
    frame_h, frame_w = picture.shape[:2]
    capital_px, margin = 12 * unit, round(10 * unit)
    left, right = margin, frame_w - margin
    for x, y, width, height in insets:
        if y + height >= frame_h - 2 * margin:
            left, right = (x + width + margin, right) if x <= margin else (left, x - margin)
    text = shorten(note, capital_px, right - left - 2 * round(capital_px / 2))
    width, height = label_size(text, capital_px)
    box = (left, frame_h - margin - height, width, height)
    dim(picture, box, _BACKING)
    put_label(picture, text, box, capital_px)
    return box

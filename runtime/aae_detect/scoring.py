"""From anomaly map to score, verdict and regions: the one place where that is decided."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.detection import Region, Verdict
from aae_detect.geometry import Placement

SILENT = np.float32(-1000.0)
"""Of map cells where nobody looks: far below anything that a model says, and still a number."""

_MARGIN_CELLS = 2
"""So far around what lies above the threshold the map is enlarged: farther off, no interpolation reaches above it."""

MOST_REGIONS = 200
"""Regions of a frame that are described: nobody reads more, and a frame full of specks must not hold up the next."""


def score_map(anomaly_map: NDArray[np.float32]) -> float:
    """Score a picture: the highest value of its map.

    Args:
        anomaly_map: (h, w) float32; `SILENT` where nobody looks.

    Returns:
        The score, raw.
    """
    return float(anomaly_map.max())


def judge(score: float, threshold: float) -> Verdict:
    """NG above the threshold, OK at or below it, UNKNOWN where the score is not a number."""
    if math.isnan(score):
        return Verdict.UNKNOWN
    return Verdict.NG if score > threshold else Verdict.OK


def find_regions(anomaly_map: NDArray[np.float32], threshold: float, placement: Placement) -> tuple[Region, ...]:
    """As `find_most_regions`, without the number of the others."""
    return find_most_regions(anomaly_map, threshold, placement)[0]


def find_most_regions(
    anomaly_map: NDArray[np.float32], threshold: float, placement: Placement
) -> tuple[tuple[Region, ...], int]:
    """Find the connected places above the threshold.

    The map is enlarged to the model's input size, not to the frame's: a 4K frame costs no more than a small one; and of
    the map only the part that holds all that lies above the threshold.

    Args:
        anomaly_map: (h, w) float32; `SILENT` where nobody looks.
        threshold: The verdict's own threshold; an NG map has at least one region.
        placement: Where the frame lies in the model's input.

    Returns:
        Regions in frame pixels, clipped to the frame, highest peak first; and how many more there are. Of more than
        `MOST_REGIONS` those with the highest peaks are returned, and always the largest: whoever asks whether any has
        some area gets the answer that all of them would give.
    """
    cells_above = anomaly_map > threshold
    if not cells_above.any():
        return (), 0
    input_h, input_w = placement.input_hw
    cell_h, cell_w = input_h // anomaly_map.shape[0], input_w // anomaly_map.shape[1]
    part = _around(cells_above)
    values, cells_above = anomaly_map[part], cells_above[part]
    size_wh = cell_w * cells_above.shape[1], cell_h * cells_above.shape[0]
    above = cv2.resize(values, size_wh, interpolation=cv2.INTER_LINEAR) > threshold
    # Interpolation rounds peaks off. A cell above the threshold must show, however narrow it is: add its middle half.
    middle = np.zeros((cell_h, cell_w), np.bool_)
    middle[cell_h // 4 : cell_h // 2 + 1, cell_w // 4 : cell_w // 2 + 1] = True
    above |= np.kron(cells_above, middle)
    binary = above.astype(np.uint8)
    count, found_labels, found_boxes, _ = cv2.connectedComponentsWithStats(binary, connectivity=8, ltype=cv2.CV_32S)
    labels = found_labels.astype(np.int32, copy=False)
    cell_labels = labels[cell_h // 2 :: cell_h, cell_w // 2 :: cell_w]
    corner_xy = part[1].start * cell_w, part[0].start * cell_h
    boxes = found_boxes.astype(np.int32)
    boxes[:, :2] += corner_xy
    found, more = list(range(1, count)), 0
    if len(found) > MOST_REGIONS:
        found, more = _foremost(cell_labels, values, boxes, threshold, placement)
    regions = []
    for label in found:
        inside = values[cell_labels == label]
        # A part of the enlarged map that covers no cell's centre hangs on the flank of a peak that lies elsewhere.
        peak = float(inside.max()) if inside.size else float(threshold)
        region = _to_frame(labels, label, boxes[label], corner_xy, peak, placement)
        if region is not None:
            regions.append(region)
    return tuple(sorted(regions, key=lambda region: -region.peak)), more


def _around(cells_above: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns that hold all cells above the threshold, and the margin around them."""
    rows, columns = (np.flatnonzero(cells_above.any(axis=axis)) for axis in (1, 0))
    first = max(0, rows[0] - _MARGIN_CELLS), max(0, columns[0] - _MARGIN_CELLS)
    return slice(first[0], rows[-1] + 1 + _MARGIN_CELLS), slice(first[1], columns[-1] + 1 + _MARGIN_CELLS)


def _foremost(
    cell_labels: NDArray[np.int32],
    values: NDArray[np.float32],
    boxes: NDArray[np.int32],
    threshold: float,
    placement: Placement,
) -> tuple[list[int], int]:
    """Choose which components to describe, in their order, and count the others that lie in the frame."""
    peaks = np.full(len(boxes), -np.inf)
    np.maximum.at(peaks, cell_labels, values)
    peaks[np.isneginf(peaks)] = threshold  # no cell's centre, see above
    first, last = _in_frame(boxes, placement)
    seen = np.flatnonzero((last > first).all(axis=1))
    seen = seen[seen > 0]  # 0 is all that lies below the threshold
    kept = seen[np.argsort(-peaks[seen], kind="stable")[:MOST_REGIONS]]
    largest = seen[boxes[seen, cv2.CC_STAT_AREA].argmax()] if len(seen) else 0
    if len(seen) and largest not in kept:
        kept[-1] = largest
    return sorted(kept.tolist()), len(seen) - len(kept)


def _in_frame(boxes: NDArray[np.int32], placement: Placement) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Take boxes of the input (..., left, top, width, height, area) to the frame: first and last corners (..., x, y).

    Last is exclusive, and no larger than first where a box lies wholly outside.
    """
    start_xy, edges_xy = boxes[..., :2], placement.frame_hw[::-1]
    first, last = placement.to_frame(np.array([start_xy, start_xy + boxes[..., 2:4]], np.float64))
    return np.clip(np.floor(first), 0, edges_xy).astype(int), np.clip(np.ceil(last), 0, edges_xy).astype(int)


def _to_frame(
    labels: NDArray[np.int32],
    label: int,
    box: NDArray[np.int32],
    corner_xy: tuple[int, int],
    peak: float,
    placement: Placement,
) -> Region | None:
    """Take one labelled component from input to frame pixels; None where it lies wholly outside the frame.

    `box` counts from the input's corner, `labels` from `corner_xy` in it.
    """
    left, top, width, height, area = (int(value) for value in box)
    row, column = top - corner_xy[1], left - corner_xy[0]
    component = (labels[row : row + height, column : column + width] == label).astype(np.uint8)
    outlines, _ = cv2.findContours(component, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = max(outlines, key=len)[:, 0, :] + (left + 0.5, top + 0.5)
    frame_h, frame_w = placement.frame_hw
    (x0, y0), (x1, y1) = _in_frame(box, placement)
    if x1 <= x0 or y1 <= y0:
        return None
    # The pixel in which the point lies: pixel 3 reaches from 3.0 to 4.0.
    contour = np.clip(np.floor(placement.to_frame(outline)), 0, (frame_w - 1, frame_h - 1)).astype(np.int32)
    area_px = max(1, round(area / (placement.scale_yx[0] * placement.scale_yx[1])))
    return Region(int(x0), int(y0), int(x1 - x0), int(y1 - y0), area_px, peak, contour)


def map_to_frame(anomaly_map: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Take a map to frame coordinates by linear interpolation between the cells' centres.

    Args:
        anomaly_map: (h, w) float32 over the whole model input.
        placement: Where the frame lies in the model's input.

    Returns:
        (H, W) float32 of the frame's size. What `crop` cut off takes the value of the nearest cell.
    """
    frame_h, frame_w = placement.frame_hw
    cell_h = placement.input_hw[0] / anomaly_map.shape[0]
    cell_w = placement.input_hw[1] / anomaly_map.shape[1]
    scale_y, scale_x = placement.scale_yx[0] / cell_h, placement.scale_yx[1] / cell_w
    # The centre of frame pixel x lies at map coordinate (x + 0.5) * scale + offset - 0.5.
    shift_y = placement.offset_yx[0] / cell_h + 0.5 * scale_y - 0.5
    shift_x = placement.offset_yx[1] / cell_w + 0.5 * scale_x - 0.5
    matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    mapped = cv2.warpAffine(anomaly_map, matrix, (frame_w, frame_h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return mapped.astype(np.float32, copy=False)

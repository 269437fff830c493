"""Pictures of a run, for people: training curves and a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.detection import Verdict
from aae_detect.errors import InstallError
from aae_detect.geometry import resize
from aae_detect.scoring import judge
from aae_train.heat import HEAT_COLOURS, draw_heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MIDDLE_COLOURS = {"discriminator": "tab:red", "generator": "tab:purple", "mmd": "tab:red", "kl": "tab:red"}
MOST_SAMPLES = 12
TITLES = ("picture", "reconstruction", "anomaly map")

_TILE = 208
_GAP = 10
_LINE = 24
_NARROWEST = 120
"""Room for a column's title, pixels."""

_BLACK, _GRAY = (0, 0, 0), (110, 110, 110)
_VERDICT_COLOURS = {Verdict.OK: (60, 130, 30), Verdict.NG: (40, 40, 210), Verdict.UNKNOWN: _GRAY}


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture of the contact sheet."""

    picture: NDArray[np.uint8]
    """HxWx3 uint8 BGR, as the model saw it."""

    reconstruction: NDArray[np.uint8]
    """HxWx3 uint8 BGR."""

    anomaly_map: NDArray[np.float32]
    """(h, w) float32 over the whole picture, of any size."""

    score: float
    name: str
    """File name, for the caption."""


def training_curves(history_rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Draw a run's history as a PNG of three panels: reconstruction, what the family adds to it, select score.

    Args:
        history_rows: Rows of `history.csv`: `step`, any of `reconstruction`, `discriminator`, `generator`,
            `discriminator_accuracy`, `mmd`, `kl`, `head` and `select_score`, and `stage` where the run trains several
            models; a value that is missing, None or empty is left out. The models of folds are drawn pale behind the
            one that ships.
        path: PNG file to write.

    Raises:
        InstallError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    except ImportError as error:
        raise InstallError(
            f"training curves need matplotlib ({error}); install it with `pip install 'aae-detect[train]'`"
        ) from error
    rows = list(history_rows)
    stages = list(dict.fromkeys(str(row.get("stage") or "final") for row in rows))
    # Not pyplot: it keeps figures in global state and may look for a display.
    figure = Figure(figsize=(10, 10.5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    share = middle.twinx()
    for stage in stages:
        own = [row for row in rows if str(row.get("stage") or "final") == stage]
        shipped = stage == stages[-1] if "final" not in stages else stage == "final"
        _draw(top, own, "reconstruction", "tab:blue", shipped)
        for name, colour in _MIDDLE_COLOURS.items():
            _draw(middle, own, name, colour, shipped)
        _draw(share, own, "discriminator_accuracy", "tab:gray", shipped)
        _draw(bottom, own, "select_score", "tab:green", shipped, smooth=False)
        _draw(bottom, own, "head", "tab:orange", shipped)
    pale = "; pale: the models of the folds" if len(stages) > 1 else ""
    top.set_title(f"Reconstruction{pale}", loc="left")
    top.set(ylabel="mean absolute difference\n(gray levels run from -1 to 1)")
    if any(_value(row, "reconstruction") > 0 for row in rows):
        top.set_yscale("log")
        top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        top.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        top.yaxis.set_minor_formatter(NullFormatter())
    present = {name for row in rows for name in _MIDDLE_COLOURS if math.isfinite(_value(row, name))}
    title, unit = _middle_title(present)
    middle.set_title(title, loc="left")
    middle.set(ylabel=unit)
    if "mmd" not in present:  # an unbiased MMD^2 falls below 0 now and then
        middle.set_ylim(bottom=0)
    share.set_visible("discriminator" in present)
    if "discriminator" in present:
        share.axhline(0.5, color="tab:gray", linestyle=":", linewidth=1, label="cannot tell")
        share.set(ylabel="discriminator accuracy (share)", ylim=(0, 1.05))
    with_head = any(math.isfinite(_value(row, "head")) for row in rows)
    bottom.set_title("Finding synthetic defects" if with_head else "Select score, higher is better", loc="left")
    bottom.set(ylabel="mean average precision (0 to 1)" + "\nand loss of the head" * with_head, xlabel="training step")
    for panels in ((top,), (middle, share), (bottom,)):
        shown = [panel for panel in panels if panel.get_visible()]
        keys = [pair for panel in shown for pair in zip(*panel.get_legend_handles_labels(), strict=True)]
        if keys:
            # Above the panel, beside its title: inside, it would hide a curve.
            above = {"loc": "lower right", "bbox_to_anchor": (1, 1), "frameon": False}
            shown[-1].legend(*zip(*keys, strict=True), fontsize=8, ncols=3, **above)
        panels[0].grid(alpha=0.25)
    if not any(math.isfinite(_value(row, "select_score")) for row in rows):
        bottom.text(0.5, 0.5, "not measured in this run", transform=bottom.transAxes, ha="center", color="gray")
    figure.savefig(path, format="png")


def _middle_title(present: set[str]) -> tuple[str, str]:
    """Return title and axis label for the losses that there are."""
    if "discriminator" in present:
        return "Adversary", "loss (nat)"
    if "mmd" in present:
        return "Distance of the distributions", "MMD"
    if "kl" in present:
        return "What the code tells", "KL to the prior (nat)"
    return "Adversary", "loss (nat)"


def _value(row: Mapping[str, Any], name: str) -> float:
    """Read a number that may be missing, None or the empty text of a CSV; NaN then."""
    value = row.get(name)
    return math.nan if value is None or value == "" else float(value)


def _draw(
    axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, colour: str, shipped: bool, smooth: bool = True
) -> None:
    """Draw one column of one model: the values pale, their running mean bold."""
    points = [(_value(row, "step"), _value(row, name)) for row in rows]
    points = [point for point in points if math.isfinite(point[1])]
    if not points:
        return
    steps, values = np.array(points).T
    label = name.replace("_", " ") if shipped else None
    window = max(1, len(values) // 40) if smooth else 1
    if not shipped:
        axes.plot(steps, _running_mean(values, window), color=colour, alpha=0.25, linewidth=1)
    elif window == 1:
        axes.plot(steps, values, color=colour, marker="o", markersize=4, linewidth=1.8, label=label)
    else:
        axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
        axes.plot(steps, _running_mean(values, window), color=colour, linewidth=1.8, label=label)


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean over the last `window` values, over fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def contact_sheet(
    rows: Sequence[Sample],
    path: Path,
    colour_scale: tuple[float, float],
    threshold: float,
    titles: tuple[str, str, str] = TITLES,
) -> None:
    """Draw pictures beside their reconstructions and anomaly maps, as a PNG.

    What lies above the threshold is outlined in the map. One colour scale serves all: a good part does not glow.

    Args:
        rows: At least one sample; of more than 12, twelve are taken at even distances.
        path: PNG file to write.
        colour_scale: Map values drawn as the coldest and the hottest colour.
        threshold: A score above it is NG.
        titles: What stands above the three columns.
    """
    if len(rows) > MOST_SAMPLES:
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, MOST_SAMPLES).astype(int)]
    columns = 1 if len(rows) <= 3 else 2
    blocks = [_draw_sample(sample, colour_scale, threshold) for sample in rows]
    block_h, block_w = blocks[0].shape[:2]
    stride = (block_w + _GAP) // len(titles)
    lines = -(-len(blocks) // columns)
    head, foot = _LINE + _GAP, 2 * _LINE + 2 * _GAP
    width = columns * (block_w + 2 * _GAP) + _GAP
    sheet = np.full((head + lines * (block_h + _GAP) + foot, width, 3), 255, np.uint8)
    for column in range(columns):
        left = 2 * _GAP + column * (block_w + 2 * _GAP)
        for place, title in enumerate(titles):
            write_line(sheet, title, (left + place * stride, _LINE - 2), _BLACK, stride - _GAP)
    for number, block in enumerate(blocks):
        line, column = divmod(number, columns)
        top, left = head + line * (block_h + _GAP), 2 * _GAP + column * (block_w + 2 * _GAP)
        sheet[top : top + block_h, left : left + block_w] = block
    _draw_scale(sheet, colour_scale, threshold)
    path.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())


def _draw_sample(sample: Sample, colour_scale: tuple[float, float], threshold: float) -> NDArray[np.uint8]:
    """Draw one sample: three tiles side by side, name and score under them."""
    height, width = sample.picture.shape[:2]
    tile_hw = (max(1, round(_TILE * height / max(height, width))), max(1, round(_TILE * width / max(height, width))))
    stride = max(tile_hw[1], _NARROWEST) + _GAP
    block = np.full((tile_hw[0] + 2 * _LINE, 3 * stride - _GAP, 3), 255, np.uint8)
    tiles = (
        resize(sample.picture, tile_hw),
        resize(sample.reconstruction, tile_hw),
        draw_heat(sample.anomaly_map, tile_hw, colour_scale, threshold),
    )
    for place, tile in enumerate(tiles):
        block[: tile_hw[0], place * stride : place * stride + tile_hw[1]] = tile
    verdict = judge(sample.score, threshold)
    write_line(block, sample.name, (0, tile_hw[0] + _LINE - 6), _BLACK, block.shape[1], keep_end=True)
    text = f"{verdict}: score {sample.score:.4g}, threshold {threshold:.4g}"
    write_line(block, text, (0, tile_hw[0] + 2 * _LINE - 8), _VERDICT_COLOURS[verdict], block.shape[1])
    return block


def _draw_scale(sheet: NDArray[np.uint8], colour_scale: tuple[float, float], threshold: float) -> None:
    """Draw the colour scale at the foot, in place, with a mark at the threshold."""
    low, high = colour_scale
    left, right = 2 * _GAP, sheet.shape[1] - 2 * _GAP
    top = sheet.shape[0] - 2 * _LINE - _GAP
    ramp = np.linspace(0, 255, right - left).astype(np.uint8)[None, :]
    sheet[top : top + _LINE // 2, left:right] = cv2.applyColorMap(ramp, HEAT_COLOURS)
    base = top + _LINE // 2 + _LINE - 4
    third = (right - left) // 3
    write_line(sheet, f"{low:.3g}", (left, base), _GRAY, third)
    text = f"{high:.3g}"
    write_line(sheet, text, (right - _measure(text), base), _GRAY, third)
    if low <= threshold <= high:
        mark = left + round((threshold - low) / (high - low) * (right - left - 1))
        cv2.line(sheet, (mark, top - 4), (mark, top + _LINE // 2 + 4), _BLACK, 2)
        text = f"threshold {threshold:.4g}"
        room = (left + _measure(f"{low:.3g}") + _GAP, right - _measure(f"{high:.3g}") - _GAP - _measure(text))
        write_line(sheet, text, (max(room[0], min(mark - _measure(text) // 2, room[1])), base), _BLACK, right - left)


def _measure(text: str) -> int:
    """Width of a text in pixels."""
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0])


def write_line(
    image: NDArray[np.uint8],
    text: str,
    origin: tuple[int, int],
    colour: tuple[int, int, int],
    room_px: int,
    keep_end: bool = False,
) -> None:
    """Write a line of text in place, shortened to the room; OpenCV's built-in font knows ASCII only."""
    text = text.encode("ascii", "replace").decode()
    shortened = text
    while _measure(shortened) > room_px and len(text) > 1:
        text = text[1:] if keep_end else text[:-1]
        shortened = f"...{text}" if keep_end else f"{text}..."
    cv2.putText(image, shortened, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)

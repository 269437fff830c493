"""Pictures side by side, each above its reconstruction and its map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aae_detect.detection import Verdict
from aae_detect.geometry import resize
from aae_detect.scoring import judge
from aae_detect.threshold import colour_scale
from aae_train.heat import draw_heat, outline_mask
from aae_train.report.measure import Shown
from aae_train.report.page import image, picture_uri, shown_hw, text

_SIDE = 280
"""Longer side of a picture in the file, pixels: twice what is shown, for fine screens and for a closer look."""

ORDER_NOTE = (
    "From top to bottom: picture, what the model draws of it, and the map of where they differ more than they should "
    "(blue: as good parts do; red: far more; white outline: above the threshold). Point at a picture to enlarge it."
)


def tiles(shown: Sequence[Shown], threshold: float) -> str:
    """Return a grid of pictures.

    Args:
        shown: What to show, in this order.
        threshold: Of the verdict.
    """
    return f'<div class="tiles">{"".join(_tile(item, threshold) for item in shown)}</div>'


def plain_tiles(pictures: Sequence[tuple[NDArray[np.uint8], str]]) -> str:
    """Return a grid of pictures, HxWx3 uint8 BGR, each with a caption in HTML."""
    figures = []
    for picture, caption in pictures:
        shown = picture_uri(resize(picture, shown_hw(picture.shape[:2], _SIDE)))
        figures.append(f"<figure>{image(shown, 'picture')}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="tiles">{"".join(figures)}</div>'


def _tile(shown: Shown, threshold: float) -> str:
    size_hw = shown_hw(shown.picture.shape[:2], _SIDE)
    picture = resize(shown.picture, size_hw)
    if shown.mask is not None and shown.mask.any():
        picture = outline_mask(picture, shown.mask)
    heat = draw_heat(shown.anomaly_map, size_hw, colour_scale(threshold), threshold)
    kind = f"{text(shown.kind)}<br>" if shown.kind else ""
    return (
        f"<figure>{image(picture_uri(picture), f'picture {shown.name}')}"
        f"{image(picture_uri(resize(shown.reconstruction, size_hw)), 'reconstruction')}"
        f"{image(picture_uri(heat), 'map')}"
        f"<figcaption>{_answer(shown, threshold)} {shown.score:.4g}<br>{kind}{text(shown.name)}</figcaption>"
        "</figure>"
    )


def _answer(shown: Shown, threshold: float) -> str:
    verdict = judge(shown.score, threshold)
    if verdict is Verdict.UNKNOWN:
        return '<span class="ng">not a number</span>'
    above = verdict is Verdict.NG
    right = "ok" if above == shown.defective else "ng"
    answer = ("missed", "found")[above] if shown.defective else ("OK", "rejected")[above]
    return f'<span class="{right}">{answer}</span>'

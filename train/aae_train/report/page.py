"""What pages have in common: one file that needs no network, pictures inside it, small drawings, safe text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2

INK, GREY, PALE, BLUE, RED = "#1f2933", "#6b7785", "#d9dee4", "#2563a8", "#b3261e"
_JPEG_QUALITY = 88


def page(title: str, css: str, body: Sequence[str]) -> str:
    """Return a whole page.

    Args:
        title: Plain text.
        css: Style sheet.
        body: Pieces of HTML; empty ones are left out.
    """
    lines = "\n".join(piece for piece in body if piece)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{css}</style></head><body>\n{lines}\n</body></html>\n"
    )


def text(plain: str) -> str:
    """Make text safe to stand in HTML, file names of any bytes too."""
    return escape(plain.encode("utf-8", "replace").decode("utf-8"))


def note(plain: str) -> str:
    """Return a paragraph of small print."""
    return f'<p class="note">{text(plain)}</p>'


def facts(listed: dict[str, str]) -> str:
    """Return names and what they stand for, one below the other; plain text."""
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{text(what)}</dd>" for name, what in listed.items()) + "</dl>"


def warnings_box(title: str, items: Sequence[str]) -> str:
    """Return a box with warnings, nothing where there are none.

    Args:
        title: Plain text.
        items: Pieces of HTML.
    """
    if not items:
        return ""
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f'<section class="warnings"><h2>{text(title)}</h2><ul>{listed}</ul></section>'


def table(head: str, body: str, name: str) -> str:
    """Return a table that scrolls where the window is too narrow; `head` and `body` are rows of HTML."""
    return f'<div class="scroll"><table class="{name}"><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def image(uri: str, what: str) -> str:
    """Return a picture, from `picture_uri` or `png_uri`; `what` is plain text."""
    return f'<img src="{uri}" alt="{text(what)}">'


def picture_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture HxWx3 uint8 BGR as a data URI of a JPEG."""
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


def png_uri(content: bytes) -> str:
    """Return a PNG file's bytes as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def shown_hw(picture_hw: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Return the size at which a picture is shown: its own shape, its longer side `longest` pixels."""
    scale = longest / max(picture_hw)
    return max(1, round(picture_hw[0] * scale)), max(1, round(picture_hw[1] * scale))


def duration(seconds: float) -> str:
    """Say how long something took."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    """Return an inline drawing; `label` says in plain text what it shows."""
    return (
        f'<svg viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" '
        f'aria-label="{text(label)}">{"".join(parts)}</svg>'
    )


def svg_text(x: float, y: float, plain: str, anchor: str, colour: str, bold: bool = False) -> str:
    """Return a line of text of a drawing; `anchor` is start, middle or end."""
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{text(plain)}</text>'

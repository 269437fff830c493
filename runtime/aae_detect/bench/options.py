"""Lists in options of `aae-bench`, separated by commas, each item checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

Callback = Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]


def list_of(convert: Callable[[Any, click.Parameter, click.Context], Any]) -> Callback:
    """Make an option's callback that splits at commas and converts each item.

    Args:
        convert: Of a click type, or `frame_size`; raises `click.BadParameter`.
    """

    def callback(ctx: click.Context, param: click.Parameter, value: str) -> tuple[Any, ...]:
        items = tuple(convert(text.strip(), param, ctx) for text in value.split(","))
        if len(set(items)) < len(items):
            raise click.BadParameter(f"{value!r} names something twice", ctx, param)
        return items

    return callback


def frame_size(text: str, param: click.Parameter, ctx: click.Context) -> tuple[int, int]:
    """Read a frame size such as `640x480`, width first as cameras have it, within what the demo camera draws.

    Returns:
        (height, width)

    Raises:
        click.BadParameter: it is no such size.
    """
    found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (160 <= width <= 7680 and 120 <= height <= 4320):
        raise click.BadParameter(f"{text!r} is no size from 160x120 to 7680x4320, such as 640x480", ctx, param)
    return height, width

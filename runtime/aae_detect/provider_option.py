"""Options of the command line that say where a model runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_NAMES = "auto, cpu, cuda, tensorrt, openvino, coreml, directml, xnnpack, or any that ONNX Runtime has"


def provider_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--provider`."""
    return click.option(
        "--provider",
        default="auto",
        show_default=True,
        metavar="NAME",
        help=f"Execution provider of ONNX Runtime: {_NAMES}; auto takes CUDA where it loads.",
    )(command)


def provider_options_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--provider-option`, which it gets as a dict."""
    return click.option(
        "--provider-option",
        "provider_options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_read,
        help="An option of the provider, by ONNX Runtime's name; may be repeated.",
    )(command)


def _read(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    options = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{value!r} is no KEY=VALUE, such as device_id=1", ctx, param)
        options[key.strip()] = text.strip()
    return options

"""Options of the command line that say where a model runs, by how many threads, and who must have signed it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

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


def signature_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--require-signature`, which it gets as a path or None."""
    return click.option(
        "--require-signature",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="PUB",
        help="Refuse models that the owner of this public key (Ed25519, PEM) did not sign by `aae-export --sign`.",
    )(command)


class ThreadCount(click.ParamType):  # type: ignore[type-arg]  # older clicks do not take the argument
    """A number of threads, or `auto`."""

    name = "threads"
    most = 256

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        """Read it."""
        if value == "auto":
            return "auto"
        if not str(value).isascii() or not str(value).isdigit() or int(value) > self.most:
            self.fail(f"{value!r} is neither auto nor a number from 0 to {self.most}", param, ctx)
        return int(value)


def threads_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--threads`."""
    return click.option(
        "--threads",
        type=ThreadCount(),
        default=0,
        show_default=True,
        metavar="N|auto",
        help="Threads for the model; 0: one per core, which several sources share; auto: what is fastest here for one, "
        "measured once and remembered.",
    )(command)


def _read(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    options = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{value!r} is no KEY=VALUE, such as device_id=1", ctx, param)
        options[key.strip()] = text.strip()
    return options

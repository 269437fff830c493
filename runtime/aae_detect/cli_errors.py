"""Our errors as a command line shows them: one message, no traceback, the documented exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from aae_detect.errors import AaeDetectError, ConfigError


class _Failure(click.ClickException):
    def __init__(self, error: AaeDetectError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click declares it on the class and reads it here


@contextmanager
def cli_errors() -> Iterator[None]:
    """Turn an AaeDetectError into click's own kind, with the exit code of its class."""
    try:
        yield
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    except AaeDetectError as error:
        raise _Failure(error) from error

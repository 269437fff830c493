"""An export put where it belongs: whatever happens meanwhile, the earlier one or the new one is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from aae_detect.errors import ConfigError
from aae_detect.whole_file import write_whole

LAST_FILE = "detector.onnx"
"""The one that travels: while it is the earlier one, so is what the user has."""


def make_scratch(out: Path) -> TemporaryDirectory[str]:
    """Make a folder to work in, beside the one that is to be written, so that a name is all that has to change.

    Args:
        out: The folder to write, resolved; its parents are made.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        if out.is_dir() and not os.access(out, os.W_OK):
            raise PermissionError(0, "no right to write there")
        out.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-")
    except OSError as error:
        if out.is_dir() and os.access(out, os.W_OK):
            return TemporaryDirectory()  # a mount point, say, in a folder of somebody else's
        raise ConfigError(f"--out {out} cannot be written ({error.strerror}); choose another folder") from error


def put_in_place(new: Path, out: Path) -> None:
    """Put a folder of files in the place of another one, which may be missing.

    Args:
        new: The folder, in one of `make_scratch`.
        out: Where it belongs, resolved; what it holds goes.

    Raises:
        ConfigError: a file cannot be written; `LAST_FILE` is the earlier one then.
    """
    if not out.exists():
        new.rename(out)
        return
    # Not in the scratch folder, with which it would go where this is interrupted.
    aside = out.with_name(f"{new.parent.name}-earlier")
    try:
        if Path.cwd().is_relative_to(out):
            raise OSError("a shell that stands there would stand in a folder that is gone")
        out.rename(aside)
    except OSError:  # a mount point keeps its name, too
        _replace_files(new, out)
        return
    try:
        new.rename(out)
    except OSError:  # another disk
        aside.rename(out)
        _replace_files(new, out)
        return
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _replace_files(new: Path, out: Path) -> None:
    paths = sorted(new.iterdir(), key=lambda path: (path.name == LAST_FILE, path.name))
    for path in paths:
        write_whole(out / path.name, path.read_bytes())
    for stale in {path.name for path in out.iterdir()} - {path.name for path in paths}:
        (out / stale).unlink()

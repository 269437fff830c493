"""The pictures of a run, which every process must see alike, and how a batch of them is shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aae_detect.errors import ConfigError
from aae_train.config import TrainConfig
from aae_train.pictures import PictureReport, check_pictures, find_pictures
from aae_train.processes import Processes

_Contents = tuple[tuple[str, str], ...]
"""Name and SHA-256 of every picture, for comparison with what another machine has."""


def read_shared_pictures(config: TrainConfig, processes: Processes) -> tuple[PictureReport, tuple[str, ...], int]:
    """Check the pictures of a run, on every machine.

    Returns:
        The pictures, a name for each, and how many of them (the last ones) are for validation.

    Raises:
        ConfigError: they cannot be used, or the machines have different ones.
    """
    found = processes.together(lambda: _read(config))
    here = _list_contents(*found[:2])
    leader = processes.agree(here)
    processes.together(lambda: _check_same(config.data, leader, here))
    return found


def _read(config: TrainConfig) -> tuple[PictureReport, tuple[str, ...], int]:
    folder = find_pictures(Path(config.data))
    report = check_pictures(
        (*folder.good, *folder.validation),
        config.input_hw,
        config.skip_unreadable,
        fit=config.fit,
        bits=config.bits,
        inside=config.inside,
    )
    kept = [info.path for info in report.pictures]
    names = tuple(folder.name(path) for path in kept)
    validation = set(folder.validation)
    return report, names, sum(path in validation for path in kept)


def check_shares(batch_size: int, count: int) -> None:
    """Refuse a batch that the processes could not share equally.

    Raises:
        ConfigError: it is no multiple of their number.
    """
    if batch_size % count:
        raise ConfigError(
            f"--batch-size {batch_size} cannot be shared by {count} processes; give a multiple of {count}, or start a "
            f"number of processes that divides {batch_size}"
        )


def _list_contents(report: PictureReport, names: Sequence[str]) -> _Contents:
    return tuple(zip(names, (info.sha256 for info in report.pictures), strict=True))


def _check_same(data: str, leader: _Contents, here: _Contents) -> None:
    """Refuse a machine that has other pictures: its share of a batch would not be what the leader means."""
    if leader != here:
        different = sorted({name for name, _ in {*leader} ^ {*here}})
        raise ConfigError(
            f"{data} holds other pictures here than on the leader's machine: {len(different)} differ, the first "
            f"is {different[0]}; copy the leader's folder to every machine"
        )

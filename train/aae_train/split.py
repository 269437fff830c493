"""Which good pictures train, which choose the checkpoint, and which set the threshold.

The three parts share no picture and no copy of a picture. Pictures are dealt out in blocks of neighbours: where the
files are the frames of a video, a frame and the next one are nearly the same picture, and dealing them out one by one
would put every calibration picture's twin among the training pictures; the threshold would come out too low. Blocks
leave such twins only at their ends, and cost nothing where the pictures do not depend on one another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aae_detect.errors import ConfigError

Method = Literal["split", "cross-fit"]
METHODS: dict[str, Method] = {"split": "split", "cross-fit": "cross-fit"}

MIN_SPLIT = 60
"""With fewer different pictures than this, all of them train and the threshold comes from cross-fitting."""

FOLDS = 3
CALIBRATE_AIM = 300
"""A false-reject rate of 1 % needs 99 scores at least, and then hangs on the single highest one; 300 make it steady."""

MIN_VALIDATION = 20
"""A validation folder with at least this many different pictures sets the threshold alone."""

PLACES = 8
"""A part that is held back comes from at least so many different places of the sorted list."""

MAX_BLOCK = 10
"""Longest run of neighbours that is held back; a longer one would leave too few places."""


@dataclass(frozen=True)
class Split:
    """Who does what. Numbers are positions in the list of good pictures followed by the validation pictures."""

    method: Method

    train: tuple[int, ...]
    """Pictures that the shipped model learns from."""

    select: tuple[int, ...]
    """Pictures for the choice of the checkpoint, the statistics per place and quantization; empty in a cross-fit."""

    calibrate: tuple[int, ...]
    """Pictures for the threshold, touched by nothing else; empty in a cross-fit."""

    folds: tuple[tuple[int, ...], ...] = ()
    """Cross-fit only: fold k is scored by a model that learned from all the other folds. Every picture that trains
    is in exactly one fold."""

    def __post_init__(self) -> None:
        parts = [*self.train, *self.select, *self.calibrate]
        if len(parts) != len(set(parts)):
            raise ConfigError("the split names a picture twice; delete the run's split and start a new run")
        if (self.method == "cross-fit") != bool(self.folds):
            raise ConfigError(f"a split by {self.method} has {len(self.folds)} folds; start a new run")
        if self.folds and sorted(number for fold in self.folds for number in fold) != sorted(self.train):
            raise ConfigError("the folds of the split do not hold every picture exactly once; start a new run")

    def train_without(self, fold: int) -> tuple[int, ...]:
        """Return the pictures that the model of one fold learns from."""
        held_back = set(self.folds[fold])
        return tuple(number for number in self.train if number not in held_back)

    def to_json(self, names: Sequence[str]) -> str:
        """Write the split down by file name.

        Args:
            names: One name for each picture, different from all others, in the order that the numbers count.
        """
        data: dict[str, Any] = {"method": self.method}
        for part in ("train", "select", "calibrate"):
            data[part] = [names[number] for number in getattr(self, part)]
        data["folds"] = [[names[number] for number in fold] for fold in self.folds]
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, names: Sequence[str], whole: bool = True) -> Split:
        """Read what `to_json` wrote.

        Args:
            text: The file's text.
            names: The pictures of today; those that the split does not name take no part.
            whole: Whether every picture that it names must be there; else those that are gone are left out.

        Raises:
            ConfigError: the text is not a split, or a picture that it names is gone and all must be there.
        """
        number_of = {name: number for number, name in enumerate(names)}

        def numbers(listed: list[str]) -> tuple[int, ...]:
            missing = [name for name in listed if name not in number_of]
            if missing and whole:
                raise ConfigError(
                    f"{len(missing)} pictures of this run are gone, the first is {missing[0]}; "
                    "put them back, or start a new run"
                )
            return tuple(number_of[name] for name in listed if name in number_of)

        try:
            data = json.loads(text)
            train, select, calibrate = (numbers(data[part]) for part in ("train", "select", "calibrate"))
            folds = tuple(numbers(fold) for fold in data["folds"])
            method = METHODS[data["method"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"the run's split cannot be read ({error!r}); start a new run") from error
        return cls(method, train, select, calibrate, folds)


def split_pictures(count: int, seed: int, validation_count: int = 0, groups: Sequence[int] | None = None) -> Split:
    """Deal out the good pictures; the same arguments always give the same split.

    With n different pictures (copies do not count, they follow the first of their kind):

    - a validation folder of at least 20 is the calibration part as a whole; a tenth of the good pictures (8 to 64,
      at most a quarter) is the select part, the others train;
    - else n >= 60: 300 pictures calibrate, at most a quarter of all, the validation pictures always among them; a
      tenth selects (8 to 64), the others train;
    - else a cross-fit over all pictures, the validation pictures included: 3 folds, or 2 where there are only 2.

    Args:
        count: Good pictures; they have the numbers 0 to count - 1, sorted by name.
        seed: Any number from 0.
        validation_count: Pictures of the validation folder; they have the numbers from `count` on.
        groups: For each picture the number of its group; pictures of one group are copies of one another and stay
            together. None where all are different.

    Raises:
        ConfigError: fewer than two different good pictures.
    """
    total = count + validation_count
    group_of = list(range(total)) if groups is None else list(groups)
    if len(group_of) != total:
        raise ConfigError(f"{len(group_of)} groups were given for {total} pictures; give one for each picture")
    members: dict[int, list[int]] = {}
    for number, group in enumerate(group_of):
        members.setdefault(group, []).append(number)
    # A good picture that is a copy of a validation picture goes where that one goes.
    given = [numbers[0] for numbers in members.values() if numbers[-1] >= count]
    free = [numbers[0] for numbers in members.values() if numbers[-1] < count]
    if len(free) < 2:
        raise ConfigError(
            f"{count} good pictures were found and {len(free)} of them are different from each other and from the "
            "validation pictures, expected at least 2: nothing could be held back to check the model with; add good "
            "pictures (better 100 or more)"
        )
    rng = np.random.default_rng(seed)

    def together(firsts: Sequence[int]) -> tuple[int, ...]:
        return tuple(sorted(number for first in firsts for number in members[group_of[first]]))

    validated = len(given) >= MIN_VALIDATION
    if not validated and len(given) + len(free) < MIN_SPLIT:
        everything = sorted(given + free)
        folds = _deal_folds(len(everything), rng)
        held_back = tuple(together([everything[place] for place in fold]) for fold in folds)
        return Split("cross-fit", together(everything), (), (), held_back)

    aim = 0 if validated else max(0, min(CALIBRATE_AIM, (len(given) + len(free)) // 4) - len(given))
    calibrate, rest = _hold_back(np.asarray(free), aim, rng)
    select, train = _hold_back(rest, max(1, min(64, max(8, round(len(free) / 10)), len(free) // 4)), rng)
    return Split("split", together(train.tolist()), together(select.tolist()), together([*given, *calibrate.tolist()]))


def _hold_back(
    pictures: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take `count` pictures in blocks of neighbours, from places spread over the whole list; return them and the rest.

    The list is cut into as many stretches as there are blocks, and one block is drawn in each: so every folder and
    every hour has its share, which free drawing would leave to chance, and no period in the names (four views of each
    part, say) can fall into step with the choice, as it could with every k-th picture. A block that reaches the end of
    its stretch goes on at its start, so all pictures have the same chance.
    """
    blocks = max(1, min(count, PLACES), -(-count // MAX_BLOCK))
    taken = [
        np.roll(stretch, -int(rng.integers(len(stretch))))[: len(places)]
        for stretch, places in zip(
            np.array_split(pictures, blocks), np.array_split(np.arange(count), blocks), strict=True
        )
    ]
    return np.concatenate(taken), np.setdiff1d(pictures, np.concatenate(taken))


def _deal_folds(count: int, rng: np.random.Generator) -> list[list[int]]:
    """Deal positions 0 to count - 1 to the folds, in blocks of neighbours, as evenly as the count allows."""
    fold_count = min(FOLDS, count)
    block_count = max(fold_count, min(count, fold_count * 4))
    folds: list[list[int]] = [[] for _ in range(fold_count)]
    turn: list[int] = []
    for block in np.array_split(np.arange(count), block_count):
        turn = turn or rng.permutation(fold_count).tolist()
        folds[turn.pop()].extend(block.tolist())
    return folds

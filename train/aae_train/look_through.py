"""What the user should know of the good pictures: before any training, and once there is a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aae_detect.threshold import conformal_threshold
from aae_train.alike import count_twins
from aae_train.held_out import Calibrated, score_each
from aae_train.loader import Store
from aae_train.odd import OddOnes, rank_again, rank_odd_ones
from aae_train.odd_sheet import odd_sheet
from aae_train.run_folder import ODD_FILES, write_json

_MUCH_LOWER = 0.8
"""A threshold below this share of the one that was set finds so much more that the user is told."""

FEW = 20
"""Good pictures below which the user is told so."""

Warn = Callable[[str], None]


def look_through(store: Store, names: Sequence[str], warn: Warn, calibrate: Sequence[int] = ()) -> OddOnes:
    """Compare the good pictures with each other, and tell what the user can do about them.

    None of `calibrate` goes unseen: an odd one among them must not set the threshold.
    """
    numbers = range(len(names))
    if len(numbers) < FEW:
        warn(
            f"only {len(numbers)} good pictures: enough to find what is far from all of them, too few to know how much "
            f"good parts vary; {FEW} are a start, a hundred better"
        )
    twins, compared = count_twins(store, numbers)
    if 2 * twins > compared:
        warn(
            f"{twins} of {compared} good pictures are nearly the same as another one: many pictures of few parts teach "
            "what few pictures teach, and the threshold will be too low for other parts; add pictures of other parts, "
            "taken at other times"
        )
    odd = rank_odd_ones(store, numbers, calibrate)
    _name(odd.named, names, warn)
    return odd


def look_again(odd: OddOnes, calibrated: Calibrated, store: Store, names: Sequence[str], warn: Warn) -> OddOnes:
    """Rank the good pictures again by what the detector sees, and name those that were not named before."""
    if not odd.numbers:
        return odd
    again = rank_again(odd, score_each(calibrated, odd.numbers, store), calibrated.learned)
    _name([number for number in again.named if number not in odd.named], names, warn)
    return again


def weigh_odd_ones(odd: OddOnes, calibrated: Calibrated, names: Sequence[str], warn: Warn) -> None:
    """Say what the threshold would be without those that only the detector calls odd, where it hangs on them.

    They may not give way as others do (`conformal_threshold`): whoever leaves out what scores high promises too much.
    But whether they are good, and such ones are to come, the user can see.
    """
    threshold, calibration = calibrated.threshold, calibrated.threshold.calibration
    numbers = [number for group in calibrated.held_out for number in group.numbers]
    scores = np.concatenate([group.scores for group in calibrated.held_out])
    without = conformal_threshold(scores, calibration.target_frr, calibration.method, np.isin(numbers, odd.named))
    score_of = dict(zip(numbers, scores, strict=True))
    resting = [names[n] for n in odd.named if without.value < score_of.get(n, -np.inf) <= threshold.value]
    if resting and without.value < _MUCH_LOWER * threshold.value:
        warn(
            f"the threshold of {threshold.value:.4g} hangs on {', '.join(resting)}; without, it would be "
            f"{without.value:.4g}, and more would be found: where those pictures are defective, or none like them are "
            f"to come, take them out and train again, or judge with --threshold {without.value:.4g}"
        )


def write_odd_ones(odd: OddOnes, store: Store, names: Sequence[str], out: Path) -> None:
    """Write the ranking into a run folder, for programs and for people; nothing where there is none."""
    if odd.numbers:
        ranking = zip(odd.numbers, odd.oddness, strict=True)
        rows = [{"picture": names[number], "deviation": oddness} for number, oddness in ranking]
        write_json(out / ODD_FILES[0], rows)
        odd_sheet(odd, store, names, out / ODD_FILES[1])


def _name(numbers: Sequence[int], names: Sequence[str], warn: Warn) -> None:
    if numbers:
        count, named = len(numbers), ", ".join(names[number] for number in numbers)
        warn(
            f"{count} of the good pictures look{'s' * (count == 1)} unlike the rest: {named}; {ODD_FILES[1]} in the "
            "run folder shows them; take out what is defective, and add more pictures of what is good and rare"
        )

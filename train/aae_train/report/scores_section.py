"""The part of the report about scores and threshold."""

from __future__ import annotations

from collections.abc import Sequence

from aae_train.report.histogram import DEFECT_COLOUR, GOOD_COLOUR, count_above, histogram_svg
from aae_train.report.measure import Examined, Scored, scores_of
from aae_train.report.page import note, text

_LEAST_SHARE, _LEAST_COUNT = 0.1, 3
"""Share and number of the defects that one good picture must hide before it is named."""


def scores_section(good: Sequence[Scored], defects: Sequence[Scored], examined: Examined) -> list[str]:
    """Return the histogram with what lies above the threshold, and the picture to blame where one alone set it."""
    threshold = examined.calibrated.threshold.value
    of_good, of_defects = scores_of(good), scores_of(defects)
    rejected, found = count_above(of_good, threshold), count_above(of_defects, threshold)
    same = "the same pictures" if len(defects) == len(good) else f"{len(defects)} of the same pictures"
    rows = [
        (f"{len(good)} good pictures", of_good, GOOD_COLOUR),
        (f"{same}, each with a synthetic defect", of_defects, DEFECT_COLOUR),
    ]
    return [
        "<h2>Scores</h2>",
        note("Good ones should lie left of the threshold, and the defects right of it, far from each other."),
        f'<figure class="histogram">{histogram_svg(rows, threshold)}</figure>',
        f"<p>Above the threshold: <strong>{rejected} of {len(good)}</strong> good pictures, "
        f"<strong>{found} of {len(defects)}</strong> defects ({len(defects) - found} missed).</p>",
        _one_to_blame(good, defects, examined),
    ]


def _one_to_blame(good: Sequence[Scored], defects: Sequence[Scored], examined: Examined) -> str:
    """Name the good picture that alone set the threshold, where the next one would have let many more be found."""
    threshold = examined.calibrated.threshold.value
    if len(good) < 2 or good[0].score != threshold:
        return ""
    found, without = (count_above(scores_of(defects), limit) for limit in (threshold, good[1].score))
    if without - found < max(_LEAST_SHARE * len(defects), _LEAST_COUNT):
        return ""
    return (
        f"<p>One good picture, <strong>{text(examined.names[good[0].number])}</strong>, sets the threshold alone: with "
        f"the next one's score, {good[1].score:.4g}, {without} instead of {found} defects would be found. Look at it "
        "below. If it is defective or badly taken, take it out and train again; if it is not, add more like it.</p>"
    )

"""The part of the report about scores and threshold."""

from __future__ import annotations

from collections.abc import Sequence

from aae_detect.threshold import conformal_threshold
from aae_train.report.histogram import DEFECT_COLOUR, GOOD_COLOUR, count_above, histogram_svg
from aae_train.report.measure import Examined, Scored, scores_of
from aae_train.report.page import note, text

_LEAST_SHARE, _LEAST_COUNT = 0.1, 3
"""Share and number of the defects that a few good pictures must hide before they are named."""

_FEW = 3


def scores_section(good: Sequence[Scored], defects: Sequence[Scored], examined: Examined) -> list[str]:
    """Return the histogram with what lies above the threshold, and the pictures to blame where a few alone set it."""
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
        _few_to_blame(good, defects, examined),
    ]


def _few_to_blame(good: Sequence[Scored], defects: Sequence[Scored], examined: Examined) -> str:
    """Name the good pictures that set the threshold, where without so few of them many more defects were found."""
    threshold, calibration = examined.calibrated.threshold.value, examined.calibrated.threshold.calibration
    if good[0].score > threshold:  # a few of them cannot move it
        return ""
    found = count_above(scores_of(defects), threshold)
    for few in range(1, min(_FEW, len(good) // 5) + 1):
        lower = conformal_threshold(scores_of(good[few:]), calibration.target_frr, calibration.method).value
        without = count_above(scores_of(defects), lower)
        if without - found >= max(_LEAST_SHARE * len(defects), _LEAST_COUNT):
            names = ", ".join(f"<strong>{text(examined.names[item.number])}</strong>" for item in good[:few])
            return (
                f"<p>A few good pictures set the threshold: {names}. Without them it would be "
                f"{lower:.4g}, and {without} instead of {found} defects would be found. Look below. "
                "If such a picture is defective or badly taken, take it out and train again; if it is not, add more "
                "like it.</p>"
            )
    return ""

"""Counts the demo camera's parts by what was said of them and what they really are."""

from __future__ import annotations

from collections import defaultdict

from aae_detect.demo import DemoCamera
from aae_detect.demo_truth import PartTruth
from aae_detect.detection import Region
from aae_detect.judged import Judged, Output

NG_SHARE = 1 / 3
"""A part is NG when so large a share of the frames that show it whole say so. About a dozen do: one false reject among
them is no reason to throw it away, and a defect that is hard to see in some places is seen in others. Chosen on the
camera's seeds 101 to 112 with an earlier, weaker model: found 97.5 % of the defective parts and rejected 0.3 % of the
good ones; half of the frames found 96.4 % and rejected none, a single frame found 99 % and rejected 11 %."""


class DemoTally(Output):
    """Takes judged frames and decides per part.

    A frame says NG of a part when one of its regions touches the part's box.
    """

    def __init__(self, camera: DemoCamera) -> None:
        """Listen to a camera.

        Args:
            camera: The one whose frames will be taken; it knows the truth.
        """
        self._camera = camera
        self._votes: dict[int, list[bool]] = defaultdict(list)
        self._parts: dict[int, PartTruth] = {}

    def take(self, judged: Judged) -> bool:
        """Note what one frame says of each part that it shows whole."""
        if judged.detection is None:
            return True
        for part in self._camera.truth(judged.frame.index).parts:
            if part.wholly_visible:
                self._parts[part.part_id] = part
                said_ng = any(_touches(region, part.box_xywh) for region in judged.detection.regions)
                self._votes[part.part_id].append(said_ng)
        return True

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def defective(self) -> int:
        """Defective parts that passed."""
        return sum(part.defect is not None for part in self._parts.values())

    @property
    def found(self) -> int:
        """Defective parts that were found."""
        return sum(part.defect is not None and self._is_ng(number) for number, part in self._parts.items())

    @property
    def good(self) -> int:
        """Good parts that passed."""
        return len(self._parts) - self.defective

    @property
    def rejected(self) -> int:
        """Good parts that were taken for defective."""
        return sum(part.defect is None and self._is_ng(number) for number, part in self._parts.items())

    @property
    def missed(self) -> dict[str, int]:
        """Defective parts that were not found, by kind of defect."""
        kinds: dict[str, int] = defaultdict(int)
        for number, part in self._parts.items():
            if part.defect is not None and not self._is_ng(number):
                kinds[part.defect] += 1
        return dict(kinds)

    def sentence(self) -> str:
        """Say it in one line."""
        return (
            f"parts: {self.found} of {self.defective} defective ones found, "
            f"{self.rejected} of {self.good} good ones rejected"
        )

    def _is_ng(self, number: int) -> bool:
        votes = self._votes[number]
        return sum(votes) >= NG_SHARE * len(votes)


def _touches(region: Region, box_xywh: tuple[int, int, int, int]) -> bool:
    x, y, width, height = box_xywh
    return (
        region.x < x + width and x < region.x + region.width and region.y < y + height and y < region.y + region.height
    )

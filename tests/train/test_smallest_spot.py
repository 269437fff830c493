import numpy as np
import pytest

from aae_train.held_out import Answers, HeldOut
from aae_train.smallest_spot import CONTRAST, DIAMETERS_PX, draw_spot, measure_smallest_spot

HW = (64, 96)
GRAY = np.full((6, *HW, 3), 128, np.uint8)


def changed_pixels(images: np.ndarray) -> Answers:
    """A detector whose score is the number of pixels that are not the gray of the good pictures."""
    scores = (np.abs(images.astype(int) - 128).max(axis=3) > CONTRAST // 2).sum(axis=(1, 2)).astype(np.float32)
    return Answers(np.zeros((len(images), 16, 24), np.float32), scores, images)


@pytest.mark.parametrize("diameter", DIAMETERS_PX)
def test_a_spot_is_round_of_its_size_and_wholly_inside(diameter: int) -> None:
    for seed in range(20):
        spotted = draw_spot(GRAY[0], diameter, np.random.default_rng(seed))
        area = np.count_nonzero(changed_pixels(spotted[None]).scores) and changed_pixels(spotted[None]).scores[0]
        assert area == pytest.approx(np.pi * diameter**2 / 4, rel=0.3, abs=2)
        assert int(128 - spotted.min()) == pytest.approx(CONTRAST, abs=5)
    assert (GRAY[0] == 128).all()


def test_on_dark_parts_the_spot_is_brighter() -> None:
    spotted = draw_spot(np.full((*HW, 3), 20, np.uint8), 8, np.random.default_rng(0))
    assert spotted.max() == 20 + CONTRAST


def test_the_smallest_spot_is_the_first_from_which_on_all_are_found() -> None:
    held_out = HeldOut(changed_pixels, tuple(range(6)), np.zeros(6, np.float32))
    sight = measure_smallest_spot([held_out], GRAY, threshold=40.0)
    # A disc of 8 pixels across covers 50, one of 6 covers 28.
    assert sight.diameter_px == 8
    assert sight.found[6] == 0
    assert sight.found[8] == sight.found[16] == 1
    assert max(sight.found) == 16  # larger ones are no spots on pictures of 64x96
    assert sight.to_dict()["found"]["8"] == 1.0  # type: ignore[index]


def test_a_blind_detector_has_none() -> None:
    held_out = [HeldOut(changed_pixels, (k, k + 3), np.zeros(2, np.float32)) for k in range(3)]
    sight = measure_smallest_spot(held_out, GRAY, threshold=1e9)
    assert sight.diameter_px is None
    assert set(sight.found.values()) == {0.0}

"""The shipped model finds what is wrong with the demo camera's parts, on seeds that it was not made with."""

import threading

import pytest

from aae_detect import DemoCamera, Detector
from aae_detect.app import demo_model_path
from aae_detect.demo_tally import DemoTally
from aae_detect.loop import Stream, run_loop

MAKING_SEED = 1
"""Of the pictures that scripts/make_demo_model.py trains on."""


def judge_parts(seed: int, frames: int) -> DemoTally:
    assert seed != MAKING_SEED
    camera = DemoCamera(seed, defect_rate=0.5, frame_count=frames)
    tally = DemoTally(camera)
    detector = Detector.load(demo_model_path(), provider="cpu", threads=2)
    run_loop([Stream(camera, detector, [tally])], threading.Event())
    return tally


def check(tally: DemoTally) -> None:
    assert tally.found >= 0.95 * tally.defective, tally.missed
    assert tally.rejected <= 0.02 * tally.good


def test_it_is_small_enough_to_ship() -> None:
    assert demo_model_path().stat().st_size <= 4 * 2**20


def test_it_finds_the_defective_parts_and_leaves_the_good_ones() -> None:
    tally = judge_parts(seed=777, frames=1600)
    assert tally.defective >= 50
    assert tally.good >= 50
    check(tally)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 31, 1234, 99991])
def test_it_does_so_on_many_seeds(seed: int) -> None:
    tally = judge_parts(seed, frames=4000)
    assert tally.defective >= 130
    check(tally)

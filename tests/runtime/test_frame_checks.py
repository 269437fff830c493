"""Frames that say nothing: each kind of trouble is planted into clips of the demo camera, and named."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from aae_detect import DemoCamera, Detector, Verdict
from aae_detect.camera_shift import find_shift, spectrum_of
from aae_detect.frame_checks import FrameChecks, RepeatWatch
from aae_detect.frame_reference import ANY_SIZE, FrameReference, fit_reference
from aae_detect.frame_statistics import measure_frame
from aae_detect.frames import Frame
from aae_detect.judged import Judged, Output
from aae_detect.loop import Stream, run_loop
from aae_detect.preprocess import prepare

SIZE_HW = (240, 320)
Picture = np.ndarray


def reduced(frame: Picture) -> Picture:
    return prepare(frame, (256, 256), "stretch")[0]


def learn(frames: list[Picture], longest_repeat_s: float = 0.0) -> FrameReference:
    return fit_reference([measure_frame(reduced(f)) for f in frames], {f.shape[:2] for f in frames}, longest_repeat_s)


@pytest.fixture(scope="module")
def belt() -> list[Picture]:
    """Everything moves."""
    camera = DemoCamera(5, SIZE_HW, defect_rate=0.0)
    return [camera.render(number * 7)[0] for number in range(80)]


@pytest.fixture(scope="module")
def still() -> list[Picture]:
    """A scene that stands still before a camera with noise, lit by a lamp that flickers a little."""
    scene = DemoCamera(5, SIZE_HW, noise=0.0).render(3)[0].astype(np.float32)
    rng = np.random.default_rng(0)
    return [
        np.clip(scene * rng.uniform(0.97, 1.03) + rng.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)
        for _ in range(80)
    ]


def black(frame: Picture, rng: np.random.Generator) -> Picture:
    return (frame * 0.015).astype(np.uint8)


def over_exposed(frame: Picture, rng: np.random.Generator) -> Picture:
    level = np.quantile(frame.max(axis=2), 0.7)
    return np.clip(frame * (255 / level) + 1, 0, 255).astype(np.uint8)


def blurred(frame: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 4 * frame.shape[1] / 640), np.uint8)


def tinted(frame: Picture, rng: np.random.Generator) -> Picture:
    return np.clip(frame * np.array([0.75, 1.0, 1.1]), 0, 255).astype(np.uint8)


def covered(frame: Picture, rng: np.random.Generator) -> Picture:
    picture, (height, width) = frame.copy(), frame.shape[:2]
    sides = (np.s_[:, : round(0.6 * width)], np.s_[:, -round(0.6 * width) :], np.s_[: round(0.6 * height)])
    side = sides[int(rng.integers(3))]
    picture[side] = np.clip(rng.normal(rng.uniform(5, 60), 2, picture[side].shape), 0, 255)
    return picture


def moved(frame: Picture, rng: np.random.Generator) -> Picture:
    height, width = frame.shape[:2]
    angle, far = rng.uniform(0, 2 * np.pi), 0.05 * width
    matrix = np.array([[1, 0, far * np.cos(angle)], [0, 1, far * np.sin(angle)]], np.float32)
    return np.asarray(cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def cut(frame: Picture, rng: np.random.Generator) -> Picture:
    return np.ascontiguousarray(frame[:-8])


TROUBLES = {
    "black": black,
    "over-exposed": over_exposed,
    "out of focus": blurred,
    "colour cast": tinted,
    "covered": covered,
    "wrong size": cut,
    "camera moved": moved,
}


@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.parametrize("scene", ["belt", "still"])
def test_trouble_is_found_and_named(name: str, scene: str, request: pytest.FixtureRequest) -> None:
    frames: list[Picture] = request.getfixturevalue(scene)
    plant: Callable[[Picture, np.random.Generator], Picture] = TROUBLES[name]
    checks, rng = FrameChecks(learn(frames[:50])), np.random.default_rng(1)
    said: Counter[str] = Counter()
    for frame in frames[50:]:
        picture = plant(frame, rng)
        said[checks.find_problem(picture, reduced(picture), 0.0).partition(":")[0]] += 1
    if (name, scene) == ("camera moved", "belt"):
        assert said == {"": 30}, "nothing stands still there, so nobody can tell, and nobody guesses"
    else:
        assert said == {name: 30}


@pytest.mark.parametrize("scene", ["belt", "still"])
def test_good_frames_pass(scene: str, request: pytest.FixtureRequest) -> None:
    frames: list[Picture] = request.getfixturevalue(scene)
    checks = FrameChecks(learn(frames[:50]), live=True)
    assert [checks.find_problem(f, reduced(f), n / 30) for n, f in enumerate(frames[50:])] == [""] * 30


def test_defective_parts_are_not_unknown(belt: list[Picture]) -> None:
    checks = FrameChecks(learn(belt))
    camera = DemoCamera(6, SIZE_HW, defect_rate=1.0)
    for number in range(100):
        frame, _ = camera.render(number * 7)
        assert checks.find_problem(frame, reduced(frame), 0.0) == ""


def test_a_lamp_that_ages_is_no_reason_to_stop(still: list[Picture]) -> None:
    checks = FrameChecks(learn(still))
    for gain in (0.7, 1.2):
        frame = np.clip(still[0] * gain, 0, 255).astype(np.uint8)
        assert checks.find_problem(frame, reduced(frame), 0.0) == ""


def test_a_frozen_camera_is_told_after_a_while_and_a_video_may_stand_still(still: list[Picture]) -> None:
    reference = learn(still)
    live, file = FrameChecks(reference, live=True), FrameChecks(reference)
    said = [live.find_problem(still[0], reduced(still[0]), number / 30) for number in range(61)]
    assert said[:45] == [""] * 45
    assert said[60] == "frozen: the very same picture for 2.0 s"
    assert live.find_problem(still[1], reduced(still[1]), 61 / 30) == ""
    assert file.find_problem(still[0], reduced(still[0]), 0.0) == ""
    assert file.find_problem(still[0], reduced(still[0]), 99.0) == ""
    # A stream whose encoder leaves out what does not change is the same for a while anyway.
    patient = FrameChecks(learn(still, longest_repeat_s=1.0), live=True)
    said = [patient.find_problem(still[0], reduced(still[0]), at) for at in (0.0, 2.5, 3.5)]
    assert [bool(words) for words in said] == [False, False, True]


def test_repeats_are_measured_without_keeping_frames() -> None:
    watch, frame = RepeatWatch(), np.zeros((480, 640, 3), np.uint8)
    assert [watch.look(frame, at) for at in (1.0, 1.5, 4.0)] == [0.0, 0.5, 3.0]
    frame[0, 0] = 9  # the very same array, as a source that reuses its buffer gives it
    assert watch.look(frame, 5.0) == 0.0
    assert watch.longest_s == 3.0


def test_without_a_site_only_what_shows_nothing_at_all_is_told(belt: list[Picture]) -> None:
    checks, rng = FrameChecks(), np.random.default_rng(2)
    for name, plant in TROUBLES.items():
        picture = plant(belt[0], rng)
        said = checks.find_problem(picture, reduced(picture), 0.0)
        assert said.partition(":")[0] == ("black" if name == "black" else "")
    white = np.full((*SIZE_HW, 3), 255, np.uint8)
    assert checks.find_problem(white, reduced(white), 0.0) == "over-exposed: 100% of the frame is at its brightest"


def test_frames_of_several_sizes_have_any(belt: list[Picture]) -> None:
    reference = learn([belt[0], belt[1], np.ascontiguousarray(belt[2][:-8])])
    assert reference.frame_hw == ANY_SIZE
    assert FrameChecks(reference).find_problem(belt[3][:100], reduced(belt[3]), 0.0) == ""


def test_a_shift_is_measured() -> None:
    rng = np.random.default_rng(3)
    wide = cv2.GaussianBlur(rng.normal(100, 60, (80, 80)).astype(np.float32), (0, 0), 1.5)
    reference = spectrum_of(wide[8:72, 8:72])
    assert find_shift(reference, reference) == (0.0, pytest.approx(0.25, abs=0.1))
    shift, sure = find_shift(spectrum_of(wide[11:75, 4:68]), reference)
    assert shift == pytest.approx(5 / 64)
    assert sure > 0.1
    assert find_shift(spectrum_of(rng.normal(size=(64, 64)).astype(np.float32)), reference)[1] < 0.07


class _Clip:
    """A live source of two pictures, the second one black."""

    name, live, fps = "clip", False, 30.0

    def __init__(self, *frames: Picture) -> None:
        self._frames = list(frames)
        self._index = 0

    def read(self) -> Frame | None:
        from datetime import UTC, datetime

        if self._index == len(self._frames):
            return None
        self._index += 1
        return Frame(self._frames[self._index - 1], self._index - 1, datetime.now(UTC), self.name)

    def close(self) -> None:
        pass


class _Keep(Output):
    def __init__(self) -> None:
        self.judged: list[Judged] = []

    def take(self, judged: Judged) -> bool:
        self.judged.append(judged)
        return True

    def close(self) -> None:
        pass


def test_a_frame_that_says_nothing_is_unknown_and_not_ng(tiny_model: Path) -> None:
    detector = Detector.load(tiny_model, provider="cpu", threads=1)
    dark, bright = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 127, np.uint8)
    bright[4:40, 4:40] = 200
    assert detector(dark).verdict is Verdict.NG
    keep = _Keep()
    (summary,) = run_loop([Stream(_Clip(bright, dark), detector, [keep], FrameChecks())], threading.Event())
    assert [judged.verdict for judged in keep.judged] == [Verdict.NG, Verdict.UNKNOWN]
    unknown = keep.judged[1]
    assert unknown.event["verdict"] == "UNKNOWN"
    assert unknown.event["reason"].startswith("black: ")
    assert unknown.event["score"] is None
    assert unknown.image_bgr is not None, "the overlay shows it"
    assert summary.unreadable == 0

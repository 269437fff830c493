"""Which changes good pictures show: surfaces and parts whose symmetries are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from aae_detect import DemoCamera
from aae_detect._opencv import cv2
from aae_train.changes import ANY_CAMERA, learn_changes

Pictures = NDArray[np.uint8]
SIDE = 128


def surfaces(draw: object) -> Pictures:
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(40):
        plane = draw(rng) + rng.normal(0, 1, (SIDE, SIDE))  # type: ignore[operator]
        pictures.append(np.repeat(np.clip(plane, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2))
    return np.stack(pictures)


def grain(rng: np.random.Generator) -> NDArray[np.float64]:
    """Looks alike from everywhere."""
    return 128 + 60 * np.asarray(cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE)), (0, 0), 2)) / 0.14


def twill(rng: np.random.Generator) -> NDArray[np.float64]:
    """Diagonal stripes, at a random place: half a turn changes nothing, a mirror turns the diagonal."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return 128 + 60 * np.sin((x + y) / 3 + rng.uniform(0, 6.3))


def stripes(rng: np.random.Generator) -> NDArray[np.float64]:
    """Upright stripes: all mirrors and half turns, no quarter turn."""
    return 128 + 60 * np.sin(np.mgrid[:SIDE, :SIDE][1] / 3 + rng.uniform(0, 6.3))


def lit_from_above(rng: np.random.Generator) -> NDArray[np.float64]:
    """A grain that is brighter above: left and right may change places."""
    return grain(rng) * 0.4 + np.linspace(130, 30, SIDE)[:, None]


@pytest.mark.parametrize(
    ("draw", "symmetries"),
    [
        (grain, ("mirror_x", "mirror_y", "half", "quarter")),
        (twill, ("half",)),
        (stripes, ("mirror_x", "mirror_y", "half")),
        (lit_from_above, ("mirror_x",)),
    ],
)
def test_a_surface_shows_its_symmetries(draw: object, symmetries: tuple[str, ...]) -> None:
    assert learn_changes(surfaces(draw)).symmetries == symmetries


def test_only_a_surface_without_direction_may_be_turned_at_will() -> None:
    assert learn_changes(surfaces(grain)).rotation_deg == 180
    assert learn_changes(surfaces(twill)).rotation_deg < 45
    assert learn_changes(surfaces(stripes)).rotation_deg < 45


def test_brightness_follows_the_pictures() -> None:
    steady = surfaces(grain)
    assert learn_changes(steady).brightness == 0.05
    gains = np.random.default_rng(1).uniform(0.8, 1.2, len(steady))[:, None, None, None]
    unsteady = np.clip(steady * gains, 0, 255).astype(np.uint8)
    assert learn_changes(unsteady).brightness == pytest.approx(2 * 0.4 / 12**0.5, rel=0.3)


def test_a_part_with_a_print_stays_as_it_is() -> None:
    pictures = surfaces(lambda rng: np.full((SIDE, SIDE), 90.0))
    for picture in pictures:
        cv2.circle(picture, (64, 64), 50, (200, 200, 200), -1)
        cv2.putText(picture, "LOT 7", (30, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (30, 30, 30), 2)
    found = learn_changes(pictures)
    assert found.symmetries == () and found.rotation_deg < 15


def test_few_pictures_say_nothing() -> None:
    assert learn_changes(surfaces(grain)[:11]) == ANY_CAMERA


def test_pictures_that_are_not_square_get_no_quarter_turn() -> None:
    wide = surfaces(grain)[:, :96]
    assert learn_changes(wide).symmetries == ("mirror_x", "mirror_y", "half")


def test_the_demo_camera_keeps_its_parts_upright() -> None:
    camera = DemoCamera(3, (120, 160), defect_rate=0.0)
    pictures = np.stack([cv2.resize(camera.render(7 * number)[0], (160, 128)) for number in range(40)])
    assert learn_changes(pictures).rotation_deg == 0

"""`aae-roi` with and without a window."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from aae_detect.frame_mask import Polygons, read_polygons
from aae_detect.roi.edit_window import click, press
from aae_detect.roi.sketch import Sketch

ROI = [sys.executable, "-m", "aae_detect.roi.cli"]
BOX = "10,10 90,10 90,60 10,60"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    return subprocess.run([*ROI, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=60)


def test_a_mask_is_written_changed_and_shown_without_a_window(tmp_path: Path) -> None:
    mask = tmp_path / "mask.json"
    done = run(mask, "--frame", "100x80", "--look", BOX)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{mask}: frame 100x80, 50.0% of it counts", f"look:1  {BOX}"]
    done = run(mask, "--ignore", "20,20 30,20 30,30", "--ignore", "40,40 50,40 50,50", "--remove", "look:1")
    assert done.returncode == 0, done.stderr
    assert read_polygons(mask) == Polygons(
        (100, 80), (), (((20, 20), (30, 20), (30, 30)), ((40, 40), (50, 40), (50, 50)))
    )
    done = run(mask, "--remove", "ignore:2", "--look", BOX, "--source", "demo:200x160", "--show", tmp_path / "m.png")
    assert done.returncode == 0, done.stderr
    assert [len(read_polygons(mask).look), len(read_polygons(mask).ignore)] == [1, 1]
    shown = cv2.imread(str(tmp_path / "m.png"))
    assert shown.shape == (160, 200, 3)
    assert shown[100, 100].mean() > 2 * shown[100, 4].mean(), "what does not count is darker"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("m.json",), 2, "does not exist"),
        (("m.png", "--frame", "9x9"), 2, "ends in .json"),
        (("m.json", "--frame", "9 by 9"), 2, "expected WIDTHxHEIGHT"),
        (("m.json", "--frame", "9x9", "--look", "1,1 2,2"), 2, "has 2 points"),
        (("m.json", "--frame", "9x9", "--look", "1,1 2,2 3;3"), 2, "expected points as"),
        (("m.json", "--frame", "9x9", "--look", "1,1 2,2 3,nan"), 2, "nowhere near"),
        (("m.json", "--frame", "9x9", "--remove", "look:1"), 2, "there are 0 look"),
        (("m.json", "--source", "nowhere.png"), 4, "does not exist"),
        (("m.json", "--source", "demo:"), 2, "or write the mask down"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], code: int, words: str, tmp_path: Path) -> None:
    done = run(tmp_path / arguments[0], *arguments[1:])
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_sketch_grows_and_takes_back() -> None:
    sketch = Sketch((100, 80))
    for point in ((10, 10), (200, -5), (90, 60)):
        sketch.add(*point)
    press(sketch, 13)
    assert sketch.look == [((10, 10), (100.0, 0.0), (90, 60))]
    press(sketch, ord("i"))
    sketch.add(1, 2)
    assert not sketch.close()
    assert sketch.points == [(1, 2)]
    press(sketch, ord("u"))
    press(sketch, ord("u"))
    assert (sketch.points, len(sketch.look)) == ([], 1), "only what is being drawn is taken back"
    press(sketch, ord("i"))
    press(sketch, 8)
    assert (sketch.look, len(sketch.points)) == ([], 3)
    assert sketch.draw(np.zeros((160, 200, 3), np.uint8)).any()


def test_a_click_is_meant_where_it_is_on_a_picture_of_another_size() -> None:
    sketch = Sketch((1920, 1080))
    for x, y in ((639, 359), (0, 0), (1279, 719)):
        click(sketch, cv2.EVENT_LBUTTONDOWN, x, y, (1280, 720))
    assert np.allclose(sketch.points, [(959.25, 539.25), (0.75, 0.75), (1919.25, 1079.25)])
    click(sketch, cv2.EVENT_RBUTTONDOWN, 0, 0, (1280, 720))
    assert len(sketch.look) == 1


def test_a_mask_is_drawn_with_the_mouse(xvfb_display: str, tmp_path: Path) -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("needs xdotool (Debian: apt-get install xdotool)")
    mask = tmp_path / "mask.json"
    environment = {**os.environ, "DISPLAY": xvfb_display}
    environment.pop("WAYLAND_DISPLAY", None)

    def xdotool(*arguments: object) -> str:
        command = ["xdotool", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=True).stdout

    with subprocess.Popen(
        [*ROI, str(mask), "--source", "demo:640x480"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        window = xdotool("search", "--sync", "--onlyvisible", "--name", f"aae-roi {mask}").split()[0]
        xdotool("windowfocus", "--sync", window)
        time.sleep(0.5)
        for x, y in ((100, 100), (500, 100), (500, 400)):
            xdotool("mousemove", "--window", window, x, y, "click", 1)
            time.sleep(0.2)
        xdotool("key", "Return")
        time.sleep(0.2)
        xdotool("key", "s")
        said = process.communicate(timeout=20)[0]
    assert process.returncode == 0, said
    polygons = read_polygons(mask)
    assert polygons.frame == (640, 480)
    (look,) = polygons.look
    assert np.allclose(look, [(100, 100), (500, 100), (500, 400)], atol=6)

import time
from itertools import pairwise

import numpy as np
import pytest

from aae_detect._opencv import cv2
from aae_detect.demo import DemoCamera, read_counter, save_pictures
from aae_detect.demo_counter import stamp_counter
from aae_detect.demo_defects import DEFECTS
from aae_detect.demo_parts import SHAPES, possible_defects
from aae_detect.errors import ConfigError
from aae_detect.frames import FrameSource


@pytest.fixture(scope="module")
def camera():
    return DemoCamera(seed=11, defect_rate=0.5)


def test_the_same_seed_gives_the_same_frames_and_another_seed_others():
    first, again, other = DemoCamera(seed=4), DemoCamera(seed=4), DemoCamera(seed=5)
    for index in (0, 3, 40):
        picture, truth = first.render(index)
        same_picture, same_truth = again.render(index)
        assert np.array_equal(picture, same_picture)
        assert truth == same_truth
        assert not np.array_equal(picture, other.render(index)[0])


def test_a_frame_does_not_depend_on_which_frames_were_drawn_before():
    straight = DemoCamera(seed=2, frame_count=60, defect_rate=0.5)
    frames = []
    while (frame := straight.read()) is not None:
        frames.append(frame)
    assert [frame.index for frame in frames] == list(range(60))
    jumping = DemoCamera(seed=2, defect_rate=0.5)
    for index in (57, 3, 21, 57, 0):
        assert np.array_equal(jumping.render(index)[0], frames[index].image)
        assert jumping.truth(index) == straight.render(index)[1]


def test_it_is_a_frame_source_and_says_what_a_frame_is():
    camera = DemoCamera(frame_count=1, size_hw=(360, 480), fps=12.5)
    assert isinstance(camera, FrameSource)
    assert (camera.live, camera.fps) == (False, 12.5)
    frame = camera.read()
    assert frame.image.shape == (360, 480, 3)
    assert frame.image.dtype == np.uint8
    assert frame.captured_at.tzinfo is not None
    assert frame.source == camera.name
    assert camera.read() is None


def test_a_frame_with_defects_differs_from_the_good_one_only_inside_the_mask(camera):
    kinds = set()
    for index in range(0, 400, 6):
        bad, truth = camera.render(index)
        good, good_truth = camera.render(index, defects=False)
        mask = camera.mask(index)
        change = np.abs(bad.astype(int) - good).max(axis=2)
        assert change[mask == 0].max() == 0
        assert [part.defect for part in good_truth.parts] == [None] * len(truth.parts)
        assert set(np.unique(mask)) <= {0, 255}
        boxes = np.zeros_like(mask)
        for part in truth.parts:
            if part.defect_box_xywh is None:
                continue
            x, y, width, height = part.defect_box_xywh
            boxes[y : y + height, x : x + width] = 255
            if part.wholly_visible:
                kinds.add(part.defect)
                inside = change[y : y + height, x : x + width][mask[y : y + height, x : x + width] > 0]
                # A person sees it: enough pixels, and most of them clearly changed; but no fifth of the part.
                assert inside.size >= 60
                assert (inside > 15).mean() > 0.3
                assert inside.max() > 40
                assert inside.size < 0.2 * part.box_xywh[2] * part.box_xywh[3]
        assert np.array_equal(mask, np.minimum(mask, boxes))
    assert kinds == set(DEFECTS)


def test_boxes_hold_the_parts_and_good_parts_have_no_defect():
    camera = DemoCamera(seed=8, defect_rate=0.0, noise=0.0)
    for index in range(0, 60, 5):
        picture, truth = camera.render(index)
        assert not camera.mask(index).any()
        inside = np.zeros(picture.shape[:2], bool)
        for part in truth.parts:
            assert (part.defect, part.defect_box_xywh) == (None, None)
            x, y, width, height = part.box_xywh
            inside[y : y + height, x : x + width] = True
        lane = picture[60:420].max(axis=2)
        metal = lane > 115  # the belt is darker, also under the brightest light
        assert not metal[~inside[60:420]].any()
        for part in truth.parts:
            x, y, width, height = part.box_xywh
            if part.wholly_visible:
                for edge in (lane[y - 60 : y - 58], lane[y - 62 + height : y - 60 + height]):
                    assert edge[:, x : x + width].max() > 90


def test_the_belt_carries_parts_from_left_to_right_at_a_steady_pace():
    camera = DemoCamera(seed=3)
    seen = {}
    for index in range(300):
        parts = camera.truth(index).parts
        assert len(parts) <= 3
        for part in parts:
            seen.setdefault(part.part_id, []).append((index, part))
    assert list(seen) == list(range(len(seen)))
    assert {part.shape for frames in seen.values() for _, part in frames} == set(SHAPES)
    for part_id in list(seen)[:-2]:
        whole = [(index, part.box_xywh[0]) for index, part in seen[part_id] if part.wholly_visible]
        assert 8 <= len(whole) <= 16
        assert all(after[1] - before[1] == 32 for before, after in pairwise(whole))


def test_the_share_of_defective_parts_is_the_one_asked_for():
    camera = DemoCamera(seed=0, defect_rate=0.2)
    defects = [camera._pose(number).defect for number in range(2000)]
    assert 0.16 < sum(defect is not None for defect in defects) / 2000 < 0.24
    assert "missing_hole" not in possible_defects("nut")


@pytest.mark.parametrize("size_hw", [(1080, 1920), (120, 160), (640, 360), (487, 333)])
def test_other_sizes_show_the_same_parts(size_hw):
    camera = DemoCamera(seed=1, size_hw=size_hw, defect_rate=1.0)
    picture, truth = camera.render(9)
    assert picture.shape == (*size_hw, 3)
    assert camera.mask(9).shape == size_hw
    part = next(part for part in truth.parts if part.part_id == 0)
    assert part.shape == DemoCamera(seed=1).truth(9).parts[0].shape
    assert part.box_xywh[3] > 0.25 * min(size_hw[0], size_hw[1] * 0.75)


def test_light_breathes_by_a_few_percent():
    camera = DemoCamera(seed=6, noise=0.0)
    rail = [float(camera.render(index)[0][2:8].mean()) for index in range(0, 600, 20)]
    assert 1.02 < max(rail) / min(rail) < 1.15


def test_noise_is_as_strong_as_asked_and_new_in_each_frame():
    noisy, clean = DemoCamera(seed=6, noise=3.0), DemoCamera(seed=6, noise=0.0)
    grains = [noisy.render(index)[0].astype(float) - clean.render(index)[0] for index in (0, 1)]
    assert grains[0].std() == pytest.approx(3.0, rel=0.05)
    assert abs(np.corrcoef(grains[0].ravel(), grains[1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("number", [0, 1, 0xDEADBEEF, 2**32 - 1])
def test_the_counter_survives_jpeg(number):
    picture, _ = DemoCamera(seed=1).render(0)
    stamp_counter(picture, number)
    for quality in (95, 50, 20):
        packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        assert read_counter(cv2.imdecode(packed, cv2.IMREAD_COLOR)) == number
    assert read_counter(cv2.resize(picture, (320, 240), interpolation=cv2.INTER_AREA)) == number


def test_the_counter_is_the_frame_number_and_is_not_found_where_there_is_none():
    camera = DemoCamera(seed=1, counter=True)
    assert [read_counter(camera.render(index)[0]) for index in (0, 7, 123456)] == [0, 7, 123456]
    plain, _ = DemoCamera(seed=1).render(7)
    black, white = np.zeros((480, 640, 3), np.uint8), np.full((480, 640), 255, np.uint8)
    assert [read_counter(picture) for picture in (plain, black, white, black[:2], black[:, :100])] == [None] * 5
    damaged, _ = camera.render(7)
    damaged[:16, 32:48] = 255 - damaged[:16, 32:48]
    assert read_counter(damaged) is None


def test_a_live_camera_keeps_its_pace_and_leaves_out_what_nobody_fetched():
    camera = DemoCamera(seed=1, fps=50, live=True, size_hw=(120, 160))
    assert camera.live
    camera.read()
    started = time.monotonic()
    indexes = [camera.read().index for _ in range(10)]
    assert time.monotonic() - started > 0.15
    time.sleep(0.2)
    assert camera.read().index >= indexes[-1] + 8
    camera.close()
    assert camera.read() is None


@pytest.mark.parametrize(
    "wrong",
    [{"size_hw": (10, 10)}, {"seed": -1}, {"defect_rate": 1.5}, {"fps": 0}, {"noise": -1}, {"frame_count": 0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="demo camera"):
        DemoCamera(**wrong)


def test_saved_pictures_are_the_frames(tmp_path):
    paths = save_pictures(tmp_path / "new" / "good", 3, seed=9, every=7)
    assert [path.name for path in paths] == ["demo_9_000000.png", "demo_9_000007.png", "demo_9_000014.png"]
    expected, truth = DemoCamera(seed=9, defect_rate=0.0).render(14)
    assert np.array_equal(cv2.imread(str(paths[2])), expected)
    assert all(part.defect is None for part in truth.parts)

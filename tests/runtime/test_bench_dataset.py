"""Test folders in MVTec AD layout, with everything that such folders have in real life."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench.dataset import (
    find_labelled_set,
    read_mask,
    shrink_mask,
    shrunk_hw,
)
from aae_detect.errors import ConfigError, SourceError
from aae_detect.picture_source import read_picture


def write(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((6, 8, 3), 90, np.uint8) if image is None else image
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two good pictures, two kinds of defect, one mask of each naming, one missing."""
    for name in ("test/good/b.png", "test/good/a.JPG", "test/dent/1.png", "test/dent/2.bmp", "test/scratch/1.png"):
        write(tmp_path / name)
    mask = np.zeros((6, 8), np.uint8)
    mask[2, 3] = 255
    write(tmp_path / "ground_truth/dent/1_mask.png", mask)
    write(tmp_path / "ground_truth/scratch/1.png", mask)
    return tmp_path


def test_pictures_come_sorted_with_kind_and_mask(root: Path):
    labelled = find_labelled_set(root)
    found = [(p.kind, p.path.name, p.mask_path and p.mask_path.name) for p in labelled.pictures]
    assert found == [
        ("good", "a.JPG", None),
        ("good", "b.png", None),
        ("dent", "1.png", "1_mask.png"),
        ("dent", "2.bmp", None),
        ("scratch", "1.png", "1.png"),
    ]
    assert [p.defective for p in labelled.pictures] == [False, False, True, True, True]
    assert [p.has_pixel_truth for p in labelled.pictures] == [True, True, True, False, True]
    assert labelled.kinds == ("dent", "scratch")
    assert labelled.unused_masks == 0


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".TIFF", ".Png"])
def test_every_kind_of_picture_file_is_found_and_read(root: Path, suffix: str):
    path = root / "test/dent" / f"extra{suffix}"
    path.write_bytes(cv2.imencode(suffix.lower(), np.full((6, 8, 3), 90, np.uint8))[1].tobytes())
    assert path in [p.path for p in find_labelled_set(root).pictures]
    assert read_picture(path).shape == (6, 8, 3)


def test_other_files_hidden_files_and_empty_folders_are_left_alone(root: Path):
    (root / "test/dent/notes.txt").write_text("not a picture")
    (root / "test/dent/.hidden.png").write_bytes(b"")
    (root / "test/empty_kind").mkdir()
    (root / "test/readme.png").write_bytes(b"")
    assert len(find_labelled_set(root).pictures) == 5


def test_masks_of_no_picture_are_counted(root: Path):
    write(root / "ground_truth/dent/3.png")
    write(root / "ground_truth/dent/2_masks.png")
    assert find_labelled_set(root).unused_masks == 2


def test_a_mask_with_the_plain_name_comes_first(root: Path):
    plain = write(root / "ground_truth/dent/1.png")
    labelled = find_labelled_set(root)
    assert next(p for p in labelled.pictures if p.kind == "dent").mask_path == plain


def test_limit_takes_pictures_of_each_kind_evenly(root: Path):
    for number in range(9):
        write(root / f"test/scratch/{number}.png")
    labelled = find_labelled_set(root, limit=3)
    assert [p.path.stem for p in labelled.pictures if p.kind == "scratch"] == ["0", "4", "8"]
    assert [p.kind for p in labelled.pictures].count("good") == 2
    assert len(find_labelled_set(root, limit=1).pictures) == 3


def test_folders_that_are_no_test_set_are_refused_with_what_was_found(
    root: Path, tmp_path_factory: pytest.TempPathFactory
):
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        find_labelled_set(root / "nowhere")
    plain = tmp_path_factory.mktemp("plain")
    with pytest.raises(ConfigError, match="has no folder test, it holds nothing"):
        find_labelled_set(plain)
    write(plain / "a.png")
    with pytest.raises(ConfigError, match=r"it holds a\.png; expected the MVTec AD layout"):
        find_labelled_set(plain)
    (plain / "test").mkdir()
    write(plain / "test/a.png")
    with pytest.raises(ConfigError, match="no pictures in folders"):
        find_labelled_set(plain)
    write(plain / "test/good/a.png")
    with pytest.raises(ConfigError, match="pictures in good only"):
        find_labelled_set(plain)
    (plain / "test/good").rename(plain / "test/hole")
    with pytest.raises(ConfigError, match="pictures in hole, none in good"):
        find_labelled_set(plain)


def test_a_mask_that_cannot_be_read_is_named(root: Path):
    (root / "m.png").write_bytes(b"hello")
    with pytest.raises(SourceError, match=r"m\.png cannot be decoded"):
        read_mask(root / "m.png", (6, 8))


def test_every_value_but_0_is_a_defect(root: Path):
    mask = np.zeros((6, 8), np.uint8)
    mask[0, 0], mask[5, 7] = 1, 255
    found = read_mask(write(root / "m.png", mask), (6, 8))
    assert np.argwhere(found).tolist() == [[0, 0], [5, 7]]
    deep = mask.astype(np.uint16)
    assert np.array_equal(read_mask(write(root / "d.png", deep), (6, 8)), found)
    coloured = np.repeat(mask[:, :, np.newaxis], 3, axis=2)
    assert np.array_equal(read_mask(write(root / "c.png", coloured), (6, 8)), found)


def test_a_mask_of_another_size_is_refused(root: Path):
    with pytest.raises(SourceError, match=r"1_mask\.png is 8x6, its picture 16x12"):
        read_mask(root / "ground_truth/dent/1_mask.png", (12, 16))


def test_pixels_are_counted_at_the_pictures_own_size_up_to_512():
    assert shrunk_hw((240, 360)) == (240, 360)
    assert shrunk_hw((512, 384)) == (512, 384)
    assert shrunk_hw((2160, 3840)) == (288, 512)
    assert shrunk_hw((1, 4000)) == (1, 512)


def test_a_shrunk_mask_keeps_its_place_and_area():
    mask = np.zeros((1024, 2048), np.bool_)
    mask[256:512, 512:1536] = True
    shrunk = shrink_mask(mask, (256, 512))
    assert np.array_equal(np.argwhere(shrunk)[[0, -1]], [[64, 128], [127, 383]])
    assert shrunk.mean() == mask.mean()
    assert shrink_mask(mask, (1024, 2048)) is mask


def test_a_defect_too_thin_for_the_grid_does_not_vanish():
    for column in range(8):
        mask = np.zeros((64, 2048), np.bool_)
        mask[:, 800 + column] = True
        shrunk = shrink_mask(mask, (16, 512))
        assert np.flatnonzero(shrunk.any(axis=0)).tolist() == [(800 + column) // 4]
    assert not shrink_mask(np.zeros((64, 2048), np.bool_), (16, 512)).any()


@pytest.mark.real_data
def test_real_sets_are_read(real_sets: Path):
    roots = [path for path in sorted(real_sets.iterdir()) if (path / "test").is_dir()]
    assert roots
    for root in roots:
        labelled = find_labelled_set(root, limit=3)
        assert all(picture.mask_path for picture in labelled.pictures if picture.defective), root
        assert labelled.unused_masks == 0
        picture = labelled.pictures[-1]
        assert picture.mask_path is not None
        assert read_mask(picture.mask_path, read_picture(picture.path).shape[:2]).any()

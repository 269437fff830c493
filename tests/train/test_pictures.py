import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from aae_detect.errors import ConfigError, SourceError
from aae_detect.geometry import fit_image, place
from aae_train.pictures import PictureStore, check_pictures, find_pictures, is_cut_off, load_picture


def draw(height, width, seed=0):
    """A smooth colour picture, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write(path, image, *options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix.lower(), image, options)[1].tobytes())
    return path


@pytest.fixture
def good(tmp_path):
    return [write(tmp_path / f"good/{number}.png", draw(64, 64, number)) for number in range(4)]


class TestFindPictures:
    def test_takes_any_nesting_and_every_known_ending_in_natural_order(self, tmp_path):
        names = ["b/part-10.PNG", "b/part-2.jpeg", "a/deep/er/x.tif", "1.bmp", "c.webp", "d.TIFF", "e.JPG"]
        for name in [*names, "notes.txt", ".hidden.png", ".cache/x.png"]:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        found = find_pictures(tmp_path)
        assert found.layout == "folder"
        assert found.validation == ()
        assert [found.name(path) for path in found.good] == [
            "1.bmp", "a/deep/er/x.tif", "b/part-2.jpeg", "b/part-10.PNG", "c.webp", "d.TIFF", "e.JPG"
        ]  # fmt: skip

    def test_reads_only_the_good_folders_of_the_mvtec_layout(self, tmp_path):
        for name in ("train/good/1.png", "validation/good/2.png", "test/good/3.png", "test/hole/4.png",
                     "ground_truth/hole/4_mask.png", "train/other/5.png", "6.png"):  # fmt: skip
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        found = find_pictures(tmp_path)
        assert found.layout == "mvtec"
        assert [found.name(path) for path in found.good] == ["train/good/1.png"]
        assert [found.name(path) for path in found.validation] == ["validation/good/2.png"]

    @pytest.mark.parametrize(
        "names", [["set/train/good/1.png", "set/ground_truth/hole/1.png"], ["train/1.png", "test/2.png"]]
    )
    def test_refuses_folders_that_mix_in_defective_pictures(self, tmp_path, names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).touch()
        with pytest.raises(ConfigError, match=r"no train/good.*defective.*give the one set"):
            find_pictures(tmp_path)

    def test_says_what_to_do_about_an_empty_folder(self, tmp_path):
        (tmp_path / "notes.txt").touch()
        with pytest.raises(ConfigError, match=r"no pictures.*put pictures of good parts there"):
            find_pictures(tmp_path)

    def test_what_runs_and_comparisons_have_written_there_is_no_part(self, tmp_path):
        ours = {
            "runs/good-1": ["config.json", "split.json", "contact_sheet.png"],
            "compared": ["compare.json", "synthetic/seed0/test/good/000.png", "runs/aae-seed0/config.json"],
        }
        theirs = ["1.png", "runs/2.png", "camera/config.json", "camera/3.png"]
        for name in [*theirs, *(f"{folder}/{name}" for folder, names in ours.items() for name in names)]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = find_pictures(tmp_path)
        assert [found.name(path) for path in found.good] == ["1.png", "camera/3.png", "runs/2.png"]
        (tmp_path / "runs/2.png").unlink()
        with pytest.raises(ConfigError, match=r"no pictures but those of runs and comparisons; put pictures"):
            find_pictures(tmp_path / "runs")

    def test_refuses_what_is_no_folder(self, tmp_path):
        (tmp_path / "file.png").touch()
        with pytest.raises(ConfigError, match="found a file, expected a folder"):
            find_pictures(tmp_path / "file.png")
        with pytest.raises(ConfigError, match="found nothing, expected a folder"):
            find_pictures(tmp_path / "missing")


class TestCheckPictures:
    def test_reports_each_picture_and_keeps_it_fitted(self, tmp_path):
        gray16 = write(tmp_path / "a.png", (draw(40, 60)[:, :, 0].astype(np.uint16) * 257))
        colour = write(tmp_path / "b.png", draw(64, 96, 1))
        report = check_pictures([gray16, colour], (32, 48))
        first, second = report.pictures
        assert (first.size_hw, first.channels, first.bits) == ((40, 60), 1, 16)
        assert (second.size_hw, second.channels, second.bits) == ((64, 96), 3, 8)
        assert second.sha256 == hashlib.sha256(colour.read_bytes()).hexdigest()
        assert report.warnings == ()
        # 16 bits of value * 257 are 8 bits of value, on three channels.
        placement = place((40, 60), (32, 48), "stretch")
        expected = fit_image(np.repeat(draw(40, 60)[:, :, :1], 3, axis=2), placement)
        np.testing.assert_array_equal(report.store[0], expected)
        colour.unlink()
        np.testing.assert_array_equal(report.store[1], fit_image(draw(64, 96, 1), place((64, 96), (32, 48), "stretch")))

    def test_names_every_unreadable_picture(self, good, tmp_path):
        jpeg = write(tmp_path / "cut.jpg", draw(200, 200))
        jpeg.write_bytes(jpeg.read_bytes()[:-200])
        (tmp_path / "text.png").write_text("no picture")
        (tmp_path / "empty.bmp").touch()
        paths = [*good, jpeg, tmp_path / "text.png", tmp_path / "empty.bmp", tmp_path / "missing.png"]
        with pytest.raises(ConfigError) as refusal:
            check_pictures(paths, (32, 32))
        text = str(refusal.value)
        assert text.startswith("4 of 8 pictures cannot be read")
        for name in ("cut.jpg", "text.png", "empty.bmp", "missing.png", "--skip-unreadable"):
            assert name in text

    def test_leaves_unreadable_pictures_out_when_told_to(self, good, tmp_path):
        (tmp_path / "text.png").write_text("no picture")
        report = check_pictures([good[0], tmp_path / "text.png", *good[1:]], (32, 32), skip_unreadable=True)
        assert [info.path for info in report.pictures] == good
        assert len(report.skipped) == 1
        assert "text.png" in report.warnings[0]
        assert report.count([good[3], tmp_path / "text.png"]) == 1
        # Numbers are those of the readable pictures, not of the list that was given.
        np.testing.assert_array_equal(report.store[1], load_picture(good[1], (32, 32)))

    def test_names_only_the_first_of_very_many(self, tmp_path):
        with pytest.raises(ConfigError, match="and 5 more"):
            check_pictures([tmp_path / f"{number}.png" for number in range(25)], (32, 32))

    def test_one_picture_is_not_enough(self, good, tmp_path):
        with pytest.raises(ConfigError, match=r"1 pictures can be used, expected at least 2.*add good pictures"):
            check_pictures(good[:1], (32, 32))
        (tmp_path / "text.png").write_text("no picture")
        with pytest.raises(ConfigError, match="1 pictures can be used"):
            check_pictures([good[0], tmp_path / "text.png"], (32, 32), skip_unreadable=True)

    def test_warns_of_pictures_smaller_than_the_input(self, good, tmp_path):
        large = write(tmp_path / "large.png", draw(256, 256))
        (warning,) = check_pictures([*good, large], (128, 128)).warnings
        assert warning.startswith("4 of 5 pictures are smaller than the model's input 128x128")
        assert "--size 64x64" in warning
        assert check_pictures([*good, large], (64, 64)).warnings == ()

    def test_letterbox_blows_nothing_up_that_fits_one_way(self, tmp_path):
        wide = [write(tmp_path / f"{number}.png", draw(48, 96, number)) for number in range(2)]
        assert check_pictures(wide, (64, 64), fit="letterbox").warnings == ()
        (warning,) = check_pictures(wide, (64, 64), fit="stretch").warnings
        assert "--size 32x64" in warning

    def test_warns_of_mixed_shapes_where_they_are_stretched(self, tmp_path):
        paths = [write(tmp_path / "a.png", draw(64, 64)), write(tmp_path / "b.png", draw(64, 128))]
        (warning,) = check_pictures(paths, (32, 32)).warnings
        assert "from 1.00 to 2.00" in warning
        assert "--fit letterbox" in warning
        assert check_pictures(paths, (32, 32), fit="letterbox").warnings == ()

    @pytest.mark.parametrize(("largest", "carried"), [(1023, 10), (1024, 12), (4095, 12), (4096, None)])
    def test_warns_of_16_bit_files_that_carry_fewer(self, tmp_path, largest, carried):
        deep = draw(64, 64).astype(np.uint16) * 3
        paths = [write(tmp_path / "a.png", deep), write(tmp_path / "b.png", draw(64, 64))]
        deep[5, 7, 1] = largest
        paths.append(write(tmp_path / "c.png", deep))
        warnings = check_pictures(paths, (32, 32)).warnings
        assert [f"--bits {carried}" in warning for warning in warnings] == [True] * (carried is not None)
        assert check_pictures(paths, (32, 32), bits=12).warnings == ()
        assert check_pictures(paths[1:2] * 2, (32, 32)).warnings[1:] == ()

    def test_groups_byte_identical_files(self, good, tmp_path):
        copy = tmp_path / "copy.png"
        copy.write_bytes(good[1].read_bytes())
        report = check_pictures([*good, copy], (32, 32))
        assert report.groups == (0, 1, 2, 3, 1)
        assert report.warnings[0].startswith("1 of 5 pictures are byte-identical copies")


class TestLoadPicture:
    @pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
    def test_sees_what_the_device_sees(self, tmp_path, fit):
        path = write(tmp_path / "a.png", draw(50, 70))
        expected = fit_image(draw(50, 70), place((50, 70), (32, 64), fit))
        np.testing.assert_array_equal(load_picture(path, (32, 64), fit), expected)

    def test_takes_the_declared_depth(self, tmp_path):
        path = write(tmp_path / "a.png", np.full((32, 32), 1023, np.uint16))
        assert (load_picture(path, (32, 32), bits=10) == 255).all()
        assert (load_picture(path, (32, 32)) == round(1023 / 65535 * 255)).all()

    def test_reads_every_kind_of_file(self, tmp_path):
        for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp"):
            loaded = load_picture(write(tmp_path / f"a{suffix}", draw(64, 64)), (64, 64))
            assert np.abs(loaded.astype(int) - draw(64, 64)).mean() < 4

    def test_refuses_a_missing_file(self, tmp_path):
        with pytest.raises(SourceError, match=r"gone\.png"):
            load_picture(tmp_path / "gone.png", (32, 32))


class TestPictureStore:
    def test_reads_again_what_does_not_fit_in_memory(self, good):
        store = PictureStore(good, (32, 32), budget_bytes=4 * 32 * 32 * 3 - 1)
        assert not store.in_memory
        before = store[2].copy()
        write(good[2], draw(64, 64, 9))
        assert not np.array_equal(store[2], before)

    def test_reads_once_what_fits(self, good):
        store = PictureStore(good, (32, 32), budget_bytes=4 * 32 * 32 * 3)
        assert len(store) == 4
        before = store[2].copy()
        good[2].unlink()
        np.testing.assert_array_equal(store[2], before)

    def test_pictures_cannot_be_written_to_by_mistake(self, good):
        with pytest.raises(ValueError, match="read-only"):
            PictureStore(good, (32, 32))[0][:] = 0

    def test_says_what_to_do_about_a_picture_that_vanished(self, good):
        store = PictureStore(good, (32, 32))
        good[0].unlink()
        with pytest.raises(ConfigError, match=r"0\.png.*start a new run"):
            store[0]


class TestIsCutOff:
    @pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
    def test_a_jpeg_is_whole_or_not(self, options):
        data = cv2.imencode(".jpg", draw(100, 100), options)[1].tobytes()
        assert not is_cut_off(data)
        assert not is_cut_off(data + b"\0" * 100)  # some cameras pad
        for kept in (2, 3, 20, 200, len(data) // 2, len(data) - 1):
            assert is_cut_off(data[:kept]), kept

    def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture(self):
        data = cv2.imencode(".jpg", draw(100, 100))[1].tobytes()
        thumbnail = cv2.imencode(".jpg", draw(8, 8))[1].tobytes()
        segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
        with_thumbnail = data[:2] + segment + data[2:]
        assert not is_cut_off(with_thumbnail)
        assert is_cut_off(with_thumbnail[:-2])

    def test_a_png_is_whole_or_not(self):
        data = cv2.imencode(".png", draw(20, 20))[1].tobytes()
        assert not is_cut_off(data)
        assert is_cut_off(data[:-12])

    def test_other_kinds_are_left_to_their_decoders(self):
        assert not is_cut_off(b"BM123")
        assert not is_cut_off(b"")
        assert not is_cut_off(b"\xff\xd8" + b"\0" * 100)  # damaged, not cut off


@pytest.mark.real_data
def test_real_sets_are_found_and_readable():
    tire = Path(os.environ.get("AAE_DATA", "")) / "mvtec3d_tire"
    if not tire.is_dir():
        pytest.skip("AAE_DATA does not name a folder that holds mvtec3d_tire")
    found = find_pictures(tire)
    assert (len(found.good), len(found.validation)) == (210, 29)
    report = check_pictures(found.validation, (256, 256))
    assert len(report.pictures) == 29

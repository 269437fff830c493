import struct
import zlib

import numpy as np
import pytest

from aae_detect._opencv import cv2
from aae_detect.camera_source import CameraOptions, CameraSource, has_gstreamer
from aae_detect.demo import DemoCamera, read_counter
from aae_detect.errors import SourceError
from aae_detect.frames import FrameSource
from aae_detect.picture_source import PictureSource, list_pictures, natural_key, read_picture
from aae_detect.source_settings import SourceSettings, open_with
from aae_detect.sources import mask_password, open_source
from aae_detect.video_source import VideoSource


@pytest.fixture(scope="module")
def frames():
    camera = DemoCamera(seed=1, size_hw=(240, 320), counter=True)
    return [camera.render(index)[0] for index in range(24)]


def write_video(path, frames, codec, fps=25.0):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def read_all(source):
    found = []
    while (frame := source.read()) is not None:
        found.append(frame)
    source.close()
    return found


def png(width, height, depth, colour_type, row, palette=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    body = (chunk(b"PLTE", palette) if palette else b"") + chunk(b"IDAT", zlib.compress((b"\0" + row) * height))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(("name", "codec"), [("film.avi", "MJPG"), ("film.mp4", "mp4v")])
def test_a_video_gives_every_frame_once_and_then_ends(tmp_path, frames, name, codec):
    path = write_video(tmp_path / name, frames, codec)
    source = open_source(str(path))
    assert isinstance(source, VideoSource)
    assert isinstance(source, FrameSource)
    assert (source.live, source.fps, source.frame_count, source.name) == (False, 25.0, 24, str(path))
    found = read_all(source)
    assert [frame.index for frame in found] == list(range(24))
    assert [read_counter(frame.image) for frame in found] == list(range(24))
    assert all(frame.captured_at.tzinfo is not None for frame in found)
    assert source.read() is None
    source.close()
    assert open_source(str(path), fps=5).fps == 5


def test_a_video_that_was_cut_off_does_not_pass_for_a_whole_one(tmp_path, frames):
    whole = write_video(tmp_path / "whole.avi", frames * 4, "MJPG")
    data = whole.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: len(data) // 3])
    source = open_source(str(cut))
    with pytest.raises(SourceError, match=r"stops after \d+ frames.*cut off"):
        read_all(source)


def test_of_names_that_are_no_utf8_pictures_are_read_and_videos_refused(tmp_path, frames):
    video = write_video(tmp_path / "film.avi", frames[:2], "MJPG").rename(tmp_path / "film_\udce4.avi")
    for source in (str(video), f"file://{video}", f"http://127.0.0.1:1/{video.name}", "rtsp://127.0.0.1:1/\udce4"):
        with pytest.raises(SourceError, match=r"\\udce4.*: the name is no UTF-8"):
            open_source(source)
    picture = tmp_path / "bild_\udce4.png"
    picture.write_bytes(cv2.imencode(".png", frames[0])[1].tobytes())
    (tmp_path / "leer_\udce4.png").write_bytes(b"")
    shown = f"{tmp_path}/bild_\\udce4.png"
    assert open_source(str(picture)).name == shown
    good, bad = read_all(open_source(str(tmp_path)))
    assert good.image.shape == frames[0].shape and good.source == shown
    assert "leer_\\udce4.png is empty" in bad.problem


def test_frames_are_called_as_their_source_from_the_first_on_and_never_by_a_secret(tmp_path, frames, monkeypatch):
    monkeypatch.setenv("PLACE", str(tmp_path))
    write_video(tmp_path / "film.avi", frames[:2], "MJPG")
    for name, shown in (("line 1", "line 1"), ("", "${PLACE}/film.avi")):
        video = open_with(SourceSettings("${PLACE}/film.avi", name))
        assert [video.name, *(frame.source for frame in read_all(video))] == [shown] * 3
    (tmp_path / "empty.png").write_bytes(b"")
    folder = open_with(SourceSettings("${PLACE}"))
    (frame,) = read_all(folder)
    assert (folder.name, frame.source) == ("${PLACE}", "***/empty.png")
    assert frame.problem == "picture ***/empty.png is empty (0 bytes); copy it again"


def test_what_is_no_video_is_refused_by_name(tmp_path, capfd):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"not a film" * 100)
    with pytest.raises(SourceError, match=r"film\.mp4 cannot be decoded"):
        open_source(str(path))
    with pytest.raises(SourceError, match="does not exist"):
        VideoSource(tmp_path / "nothing.mp4")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp", ".jpg"])
def test_pictures_of_every_kind_are_read(tmp_path, frames, suffix):
    path = tmp_path / f"Prüfling é 1{suffix.upper()}"
    path.write_bytes(cv2.imencode(suffix, frames[0], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())
    source = open_source(str(path), fps=3)
    assert (source.live, source.fps) == (False, 3)
    (frame,) = read_all(source)
    assert frame.source == str(path)
    assert frame.image.dtype == np.uint8
    if suffix == ".jpg":
        assert np.abs(frame.image.astype(int) - frames[0]).mean() < 4
    else:
        assert np.array_equal(frame.image, frames[0])


def test_depth_and_channels_are_kept_and_alpha_is_left_out(tmp_path):
    ramp = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21
    colour = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]])
    for name, picture in (("gray.png", ramp), ("colour.tif", colour), ("small.png", (ramp >> 8).astype(np.uint8))):
        cv2.imwrite(str(tmp_path / name), picture)
        read = read_picture(tmp_path / name)
        assert read.dtype == picture.dtype
        assert np.array_equal(read, picture)
    bgr = (colour >> 8).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "bgra.png"), np.dstack([bgr, bgr[:, :, :1]]))
    assert np.array_equal(read_picture(tmp_path / "bgra.png"), bgr)


def test_rare_kinds_of_png_become_plain_pictures(tmp_path):
    kinds = {
        "palette": (png(2, 2, 8, 3, bytes([0, 1]), bytes([255, 0, 0, 0, 0, 255])), [[0, 0, 255], [255, 0, 0]]),
        "one_bit": (png(8, 2, 1, 0, bytes([0b10100000])), [255, 0, 255, 0, 0, 0, 0, 0]),
        "gray_alpha": (png(2, 2, 8, 4, bytes([10, 255, 20, 0])), [[10, 10, 10], [20, 20, 20]]),
    }
    for name, (data, row) in kinds.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        assert read_picture(path).tolist() == [row, row]


def test_a_picture_lies_as_a_viewer_shows_it(tmp_path):
    upright = np.zeros((40, 64, 3), np.uint8)
    upright[:, :32] = 255
    data = cv2.imencode(".jpg", upright)[1].tobytes()
    turned = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # turn right to view
    path = tmp_path / "phone.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(turned) + 2) + turned + data[2:])
    picture = read_picture(path)
    assert picture.shape == (64, 40, 3)
    assert picture[:30].mean() > 250
    assert picture[34:].mean() < 5


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_that_was_cut_off_is_a_frame_with_a_problem(tmp_path, frames, suffix, share):
    data = cv2.imencode(suffix, frames[0])[1].tobytes()
    (tmp_path / f"1{suffix}").write_bytes(data[: int(len(data) * share)])
    (tmp_path / f"2{suffix}").write_bytes(data)
    bad, good = read_all(open_source(str(tmp_path)))
    assert bad.image is None
    assert f"1{suffix} cannot be decoded" in bad.problem
    assert (good.index, good.problem) == (1, "")
    assert good.image.shape == frames[0].shape


def test_other_troubles_with_pictures_are_told_by_name(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "huge.png").write_bytes(png(60_000, 60_000, 8, 0, b""))
    cv2.imwrite(str(tmp_path / "float.tif"), np.zeros((8, 8), np.float32))
    names = ["empty.png", "huge.png", "float.tif", "gone.png"]
    found = read_all(PictureSource([tmp_path / name for name in names]))
    for frame, hint in zip(found, ("0 bytes", "too many pixels", "float32", "No such file"), strict=True):
        assert frame.image is None
        assert hint in frame.problem
        assert frame.source in frame.problem
    with pytest.raises(SourceError, match="at least one"):
        PictureSource([])


def test_a_folder_gives_its_pictures_in_natural_order_however_deep(tmp_path, frames):
    names = ["10.png", "2.PNG", "a/img_3.jpg", "a/img_20.jpg", "a/b/c/1.bmp"]
    for name in [*names, ".hidden/1.png", "._2.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode(".png", frames[0])[1].tobytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    expected = ["2.PNG", "10.png", "a/b/c/1.bmp", "a/img_3.jpg", "a/img_20.jpg"]
    assert [str(path.relative_to(tmp_path)) for path in list_pictures(tmp_path)] == expected
    source = open_source(str(tmp_path))
    assert (source.name, source.frame_count) == (str(tmp_path), 5)
    assert sorted(["x10", "x9", "X9b", "x"], key=natural_key) == ["x", "x9", "X9b", "x10"]


def test_globs_find_pictures_folders_and_one_video(tmp_path, frames):
    for name in ("good/part10.png", "good/part9.png", "ng/part1.png", "good/part1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode(".png", frames[0])[1].tobytes())
    write_video(tmp_path / "film.avi", frames[:3], "MJPG")

    def found(pattern):
        return [str(path.relative_to(tmp_path)) for path in open_source(str(tmp_path / pattern)).paths]

    assert found("good/*") == ["good/part9.png", "good/part10.png"]
    assert found("*/part1*.png") == ["good/part10.png", "ng/part1.png"]
    assert found("**/*.png") == ["good/part9.png", "good/part10.png", "ng/part1.png"]
    assert found("[gn]*") == ["good/part9.png", "good/part10.png", "ng/part1.png"]
    assert len(read_all(open_source(str(tmp_path / "*.avi")))) == 3
    (tmp_path / "film[1].png").write_bytes(cv2.imencode(".png", frames[0])[1].tobytes())
    assert found("film[1].png") == ["film[1].png"]  # a file of that very name is no pattern
    write_video(tmp_path / "film2.avi", frames[:3], "MJPG")
    with pytest.raises(SourceError, match="finds 2 files and no picture"):
        open_source(str(tmp_path / "*.avi"))
    with pytest.raises(SourceError, match="finds nothing"):
        open_source(str(tmp_path / "*.gif"))


def test_folders_without_pictures_say_what_they_hold(tmp_path):
    with pytest.raises(SourceError, match=r"holds no pictures \(no files\); expected \.png"):
        open_source(str(tmp_path))
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(SourceError, match=r"holds no pictures \(1 other files\)"):
        open_source(str(tmp_path))
    with pytest.raises(SourceError, match="cannot be read"):
        list_pictures(tmp_path / "gone")


@pytest.mark.parametrize("text", ["97", "/dev/video97"])
def test_a_camera_that_is_not_there_says_which_are(text, capfd):
    with pytest.raises(SourceError, match=rf"camera {text} is not there.*(cameras here|no /dev/video\*)"):
        open_source(text)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "empty"),
        ("no/such/thing.mp4", "does not exist"),
        ("x" * 5000, "does not exist"),
        ("nul\0byte", "does not exist"),
        ("ftp://host/film", "unknown kind of address"),
        ("demo:640", "not understood"),
        ("demo:?colour=red", "unknown option 'colour'"),
        ("demo:?seed=x", "invalid literal"),
        ("demo:10x10", "outside 160x120"),
        ("demo:@0", "fps"),
    ],
)
def test_what_makes_no_source_says_why(text, hint):
    with pytest.raises(SourceError, match=hint):
        open_source(text)


def test_the_demo_camera_is_set_up_in_words():
    camera = open_source("demo:1920x1080@60?seed=3&frames=100&defects=0.2&counter=1&noise=0")
    assert isinstance(camera, DemoCamera)
    assert (camera.size_hw, camera.fps, camera.seed) == ((1080, 1920), 60.0, 3)
    assert (camera.frame_count, camera.defect_rate, camera.counter, camera.live) == (100, 0.2, True, False)
    plain = open_source("demo:", fps=10)
    assert (plain.size_hw, plain.fps, plain.frame_count) == ((480, 640), 10, None)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:secret@host:554/stream", "rtsp://user:***@host:554/stream"),
        ("rtsp://user:se@cret@host/stream@1", "rtsp://user:***@host/stream@1"),
        ("rtsp://user:se/cret@host/stream", "rtsp://user:***@host/stream"),
        ("rtsp://user@host/stream", "rtsp://user@host/stream"),
        ("rtsp://host:554/stream@1", "rtsp://host:554/stream@1"),
        ("http://host/video?user=a&pwd=secret&fps=5", "http://host/video?user=a&pwd=***&fps=5"),
        ("http://host/video?access_token=secret#top", "http://host/video?access_token=***#top"),
        ("folder/with:colon@sign", "folder/with:colon@sign"),
        ("http://host/proxy?from=rtsp://user:secret@cam/1", "http://host/proxy?from=rtsp://user:***@cam/1"),
        ("gst:rtspsrc location=rtsp://me:secret@h/1 ! appsink", "gst:rtspsrc location=rtsp://me:***@h/1 ! appsink"),
        (
            'gst:rtspsrc location="rtsp://a:secret@h" ! x. souphttpsrc location=http://b:secret@h/v ! appsink',
            'gst:rtspsrc location="rtsp://a:***@h" ! x. souphttpsrc location=http://b:***@h/v ! appsink',
        ),
        ("gst:src user-id=me user-pw=secret ! appsink", "gst:src user-id=me user-pw=*** ! appsink"),
        ('gst:src password = "my \\"secret" ! appsink', "gst:src password = *** ! appsink"),
        ("gst:src passphrase='my secret' ! appsink", "gst:src passphrase=*** ! appsink"),
    ],
)
def test_no_password_is_ever_shown(address, shown):
    assert mask_password(address) == shown


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("rtsp-tcp://user:secret@host/1", "unknown kind of address"),
        (" rtsp://user:secret@host/1", "does not exist"),
        ("r_tsp://user:secret*@host/1", "finds nothing"),
        pytest.param(
            "gst:rtspsrc location=rtsp://user:secret@host/1 user-pw=secret ! appsink",
            "has no GStreamer",
            marks=pytest.mark.skipif(has_gstreamer(), reason="this OpenCV has GStreamer"),
        ),
    ],
)
def test_no_error_shows_a_password(source, hint):
    with pytest.raises(SourceError, match=hint) as failure:
        open_source(source)
    assert "secret" not in str(failure.value)


def test_a_camera_that_keeps_its_pixel_format_says_which_in_letters(tmp_path):
    plug = tmp_path / "plug"
    plug.write_text("here 320x240")
    for asked, notes in (("RGB3", ("asked for pixel format RGB3, the camera is at BGR3",)), ("BGR3", ())):
        camera = CameraSource(f"fake:{plug}", CameraOptions(pixel_format=asked))
        camera.close()
        assert camera.notes == notes


def test_a_file_address_is_the_file(tmp_path, frames):
    path = tmp_path / "a part.png"
    cv2.imwrite(str(path), frames[0])
    assert len(read_all(open_source(path.as_uri()))) == 1

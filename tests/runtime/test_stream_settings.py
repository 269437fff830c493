"""What a user may say of sources: on the command line, in a file, and where passwords come from."""

from pathlib import Path

import pytest

from aae_detect.camera_source import CameraOptions
from aae_detect.errors import ConfigError
from aae_detect.frame_view import FrameView
from aae_detect.source_options import read_streams
from aae_detect.source_secrets import fill_secrets, without_secrets
from aae_detect.source_settings import SourceSettings
from aae_detect.stream_settings import KEYS, read_config, read_stream

EVERYTHING = """
[defaults]
model = "models/detector.onnx"
lost_after = 3

[[source]]
name = "line 1"
source = "rtsp://viewer:${CAMERA_PASSWORD}@10.0.0.5/stream"

[[source]]
source = "/dev/video0"
model = "/other.onnx"
site = "site.json"
product = "lid"
mask = "mask.json"
decide = "decide.toml"
threshold = 4.5
size = "1920x1080"
fps = 30
exposure = 120
gain = 2
pixel_format = "MJPG"
bits = 12
rotate = 90
flip = "horizontal"
crop = "200,0,600,1080"
every = 2
most_fps = 12.5
lost_after = 0
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "line.toml"
    path.write_text(text)
    return path


def test_a_file_says_all_that_options_say(tmp_path):
    first, second = read_config(write(tmp_path, EVERYTHING), {"threshold": None})
    assert (first.source.name, first.source.lost_after_s, first.threshold) == ("line 1", 3, None)
    assert first.model == tmp_path / "models" / "detector.onnx"
    assert second.model == Path("/other.onnx")
    assert second.threshold == 4.5
    assert (second.site, second.product) == (tmp_path / "site.json", "lid")
    assert (first.mask, second.mask) == (None, tmp_path / "mask.json")
    assert (first.decide, second.decide) == (None, tmp_path / "decide.toml")
    assert (first.site, first.product) == (None, "")
    assert second.source == SourceSettings(
        "/dev/video0",
        camera=CameraOptions((1080, 1920), 30, 120, 2, "MJPG", 12),
        view=FrameView(90, "horizontal", (200, 0, 600, 1080)),
        every=2,
        most_fps=12.5,
        lost_after_s=0,
    )
    used = {line.partition(" =")[0] for line in EVERYTHING.splitlines() if " = " in line}
    assert used == set(KEYS), "the example shows every key"


def test_options_win_over_the_file(tmp_path):
    for stream in read_config(write(tmp_path, EVERYTHING), {"threshold": 9.0, "model": "mine.onnx", "crop": None}):
        assert (stream.threshold, stream.model) == (9.0, Path("mine.onnx"))


def test_settings_survive_their_way_to_the_capture_process(tmp_path):
    for stream in read_config(write(tmp_path, EVERYTHING), {}):
        assert SourceSettings.from_json(stream.source.to_json()) == stream.source


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[[source]]\nsource = "0"\n\n[[source]]\nsource = "1"\nmodle = "x"', 6, "modle: unknown"),
        ('[defaults]\nfps = "30"\n[[source]]\nsource = "0"', 2, "fps: '30'; expected frames per second"),
        ('[[source]]\nsource = "0"\nsize = "big"', 3, "size: 'big'; expected \"WIDTHxHEIGHT\""),
        ('[[source]]\nsource = "0"\ncrop = "1,2,3"', 3, "crop"),
        ('[[source]]\nsource = "0"\ncrop = "1,2,0,4"', 3, "crop: "),
        ('[[source]]\nsource = "0"\nrotate = 45', 3, "rotate: 45"),
        ('[[source]]\nsource = "0"\nevery = 1.5', 3, "every"),
        ('[[source]]\nsource = "0"\nmodel = 3', 3, "model"),
        ('[[source]]\nname = "a"', 1, "no address"),
        ('[[camera]]\nsource = "0"', 1, "camera"),
        ('[defaults]\nmodel = "m"\nsource = "0"\n[[source]]\nsource = "1"\nmost_fps = 0', 4, "most fps 0"),
        ('[[source]]\nsource = "0"\nbits = 14', 3, "bits: 14; expected 10, 12 or 16"),
        ('[[source]]\nsource = "0"\nbits = 8', 3, "bits: 8"),
        ('source = ["0", "1"]', 1, "source is not expected here; expected [defaults] and [[source]]"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as told:
        read_config(path, {})
    assert str(told.value).startswith(f"{path}:{line}: ")
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no source"),
        ("[[source]", "is no TOML"),
        ('[[source]]\nsource = "0"\n[[source]]\nsource = "0"', "two sources are called"),
    ],
)
def test_a_file_that_says_nothing_useful(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        read_config(write(tmp_path, text), {})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.toml", {})


def test_options_that_are_not_given_do_not_count():
    stream = read_stream({"source": "0", "model": None, "fps": None})
    assert stream.source == SourceSettings("0")
    assert stream.source.shown_name == "camera 0"
    assert stream.model is None


@pytest.mark.parametrize("wrong", [{"every": 0}, {"most_fps": 0.0}, {"most_fps": -1.0}, {"lost_after_s": -1.0}])
def test_how_often_is_more_than_never(wrong):
    with pytest.raises(ConfigError, match="expected every from 1, most fps above 0, lost after from 0"):
        SourceSettings("0", **wrong)


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"size_hw": (0, 640)}, {"bits": 0}, {"bits": 8}])
def test_what_no_camera_can_be_asked_for(wrong):
    with pytest.raises(ConfigError, match="expected"):
        CameraOptions(**wrong)


@pytest.mark.parametrize(
    ("source", "live"),
    [
        ("0", True),
        ("/dev/video2", True),
        ("rtsp://host/stream", True),
        ("rtsp://me:pa[ss@host/stream", True),
        ("http://me:pa[ss@host/film.mp4", False),
        ("http://host/mjpeg", True),
        ("gst:videotestsrc ! appsink", True),
        ("fake:plug", True),
        ("demo:?live=1", True),
        ("demo:", False),
        ("http://host/film.mp4?token=1", False),
        ("file:///film.mp4", False),
        ("film.mp4", False),
        ("parts/*.png", False),
    ],
)
def test_whether_time_passes_outside(source, live):
    assert SourceSettings(source).live is live


def test_secrets_come_from_the_environment_or_a_file_and_are_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMERA_PASSWORD", "p@ss/word")
    secret = tmp_path / "secret"
    secret.write_text("from file\n")
    address = "rtsp://viewer:${CAMERA_PASSWORD}@host/stream?token=${file:" + str(secret) + "}"
    assert fill_secrets(address) == "rtsp://viewer:p%40ss%2Fword@host/stream?token=from%20file"
    shown = SourceSettings(address).shown_name
    assert "p@ss" not in shown
    assert SourceSettings(fill_secrets(address)).shown_name == "rtsp://viewer:***@host/stream?token=***"
    assert "p@ss" not in SourceSettings(address).to_json()


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("${D}/film.mp4", "/data/my parts/film.mp4"),
        ("/dev/v4l/by-path/${BUS}", "/dev/v4l/by-path/pci-0:1@2"),
        ("${WHOLE}", "rtsp://10.0.0.5/1?a=b"),
        ("${WHOLE}&token=${PW}", "rtsp://10.0.0.5/1?a=b&token=p%40%2Fw"),
        ("gst:src location=rtsp://me:${PW}@h/1 user-pw=${PW}", "gst:src location=rtsp://me:p%40%2Fw@h/1 user-pw=p@/w"),
    ],
)
def test_only_inside_an_address_is_a_secret_written_as_addresses_ask_for(source, filled, monkeypatch):
    monkeypatch.setenv("D", "/data/my parts")
    monkeypatch.setenv("BUS", "pci-0:1@2")
    monkeypatch.setenv("WHOLE", "rtsp://10.0.0.5/1?a=b")
    monkeypatch.setenv("PW", "p@/w")
    assert fill_secrets(source) == filled
    assert SourceSettings(source).live is (source != "${D}/film.mp4")


def test_a_text_is_shown_without_secrets_however_they_are_written_in_it():
    text = "p@/w at http://me:p%40%2Fw@h/ of p@/word and q"
    assert without_secrets(text, ["p@/w", "p@/word", "q", ""]) == "*** at http://me:***@h/ of *** and ***"
    assert without_secrets(text, []) == text


@pytest.mark.parametrize("place", ["${NO_SUCH_SECRET}", "${file:/no/such/file}", "${file:/dev/zero}"])
def test_a_secret_that_is_missing_is_named(place):
    with pytest.raises(ConfigError, match=r"NO_SUCH_SECRET|no/such/file|it is a pipe or a device"):
        fill_secrets(f"rtsp://me:{place}@host/")


@pytest.mark.parametrize("place", ["", '[[source]]\nsource = "0"\n'])
def test_numbers_that_toml_does_not_have_are_refused(tmp_path, place):
    """Read by hex digits, whose count Python does not limit as it limits what it writes."""
    path = write(tmp_path, f"{place}fps = 0x{'f' * 5000}\n")
    with pytest.raises(ConfigError, match="is no TOML: a whole number has more than 64 bits"):
        read_config(path, {})


def test_one_source_of_a_file_is_taken_by_its_name(tmp_path):
    config = write(tmp_path, EVERYTHING)
    (one,) = read_streams(None, (), config, None, {}, only="line 1")
    assert one.source.name == "line 1"
    (other,) = read_streams(None, (), config, None, {}, only="/dev/video0")
    assert other.source.source == "/dev/video0"
    with pytest.raises(
        ConfigError, match=r"--only line 2: .*line\.toml has no source of this name, but line 1, /dev/v"
    ):
        read_streams(None, (), config, None, {}, only="line 2")

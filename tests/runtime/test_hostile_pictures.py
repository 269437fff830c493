"""Pictures that lie: about their size, their kind, their end. A clear error, soon, and little memory."""

import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from aae_detect import SourceError
from aae_detect.picture_source import MAX_BYTES, read_picture

SIDE = 60_000
"""Pixels: 3.6 gigapixels, 10 GB when decoded."""


def png(side: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def jpeg(side: int) -> bytes:
    whole = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    at = whole.index(b"\xff\xc0") + 5
    return whole[:at] + struct.pack(">HH", side, side) + whole[at + 4 :]


def bmp(side: int) -> bytes:
    whole = bytearray(cv2.imencode(".bmp", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    whole[18:26] = struct.pack("<ii", side, side)
    return bytes(whole)


def tiff(side: int) -> bytes:
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 100)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4) + bytes(100)


def webp(side: int) -> bytes:
    side = min(side, 16_383)  # the most that the format can say
    bits = struct.pack("<I", (side - 1) | (side - 1) << 14)
    data = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + bits + b"\x00"
    return b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data


READ = """
import resource, sys
import numpy as np
from aae_detect import SourceError
from aae_detect.picture_source import read_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_picture(sys.argv[1])
except SourceError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("large.png", png(SIDE)),
        ("large.jpg", jpeg(SIDE)),
        ("large.bmp", bmp(SIDE)),
        ("large.tif", tiff(SIDE)),
        ("large.webp", webp(SIDE)),
        ("other.png", jpeg(SIDE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_header_that_promises_gigapixels_costs_an_error_and_no_memory(
    name: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    began_s = time.monotonic()
    result = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    said, grown_kb = result.stdout.rsplit("\n", 2)[:2]
    assert said.startswith(f"picture {path} "), result.stdout
    assert int(grown_kb) < 50_000
    assert time.monotonic() - began_s < 20


def test_a_name_that_says_another_kind_is_no_obstacle(tmp_path: Path) -> None:
    picture = np.full((20, 30, 3), 77, np.uint8)
    path = tmp_path / "photo.jpg"
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    assert np.array_equal(read_picture(path), picture)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_picture_that_is_cut_off_is_an_error_or_a_picture_and_never_more(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = cv2.imencode(suffix, rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))[1].tobytes()
    path, errors = tmp_path / f"cut{suffix}", 0
    for length in [0, 1, 2, 8, *rng.integers(9, len(whole), 60).tolist()]:
        path.write_bytes(whole[:length])
        try:
            assert read_picture(path).shape == (40, 50, 3)
        except SourceError as error:
            errors += 1
            assert str(path) in str(error)
    assert errors >= 4


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_bytes_that_changed_on_their_way_cost_no_more_than_an_error(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole = cv2.imencode(suffix, rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))[1].tobytes()
    path = tmp_path / f"bent{suffix}"
    for _ in range(100):
        bent = bytearray(whole)
        for place in rng.integers(0, len(bent), int(rng.integers(1, 6))):
            bent[place] = int(rng.integers(256))
        path.write_bytes(bytes(bent))
        try:
            picture = read_picture(path)
        except SourceError as error:
            assert str(path) in str(error)
        else:
            assert picture.size <= 3 * 10**8


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path, words in ((pipe, "is no file"), (Path("/dev/zero"), "is no file"), (tmp_path, "is no file")):
        with pytest.raises(SourceError, match=words):
            read_picture(path)
    long = tmp_path / "long.png"
    with long.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(SourceError, match=f"has {MAX_BYTES + 1} bytes"):
        read_picture(long)

"""Numbered pictures of the demo camera at 1920x1080 and 30 per second, as JPEG.

usage: python camera_feed.py       writes them to standard output, each behind its length (4 bytes, big end first)

The numbers follow the clock, so that a server that was killed and started again goes on where it would have been.
"""

import struct
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from aae_detect.demo import DemoCamera
from aae_detect.demo_counter import stamp_counter

FPS = 30
SIZE_HW = (1080, 1920)


def draw() -> list[NDArray[np.uint8]]:
    """Draw some pictures: drawing takes longer than a camera has."""
    camera = DemoCamera(2, size_hw=SIZE_HW)
    return [camera.render(number * 3)[0] for number in range(4)]


def jpegs(drawn: list[NDArray[np.uint8]]) -> Iterator[bytes]:
    """Give pictures for ever, each at its time; late ones are left out."""
    number = int(time.monotonic() * FPS)
    while True:
        number = max(number + 1, int(time.monotonic() * FPS))
        time.sleep(max(0.0, number / FPS - time.monotonic()))
        picture = drawn[number % len(drawn)].copy()
        stamp_counter(picture, number)
        yield cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()


if __name__ == "__main__":
    cv2.setNumThreads(1)
    for jpeg in jpegs(draw()):
        sys.stdout.buffer.write(struct.pack(">I", len(jpeg)) + jpeg)
        sys.stdout.buffer.flush()

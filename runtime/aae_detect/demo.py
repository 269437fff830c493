"""The built-in demo camera: a conveyor with metal parts, now and then a defective one, and the truth about each frame.

Every frame is a pure function of the seed and the frame number: nothing depends on which frames were asked for before.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.demo_belt import Belt
from aae_detect.demo_counter import read_counter, stamp_counter
from aae_detect.demo_parts import MAX_TURN_DEG, SHAPES, Sprite, make_sprite, possible_defects, sprite_side
from aae_detect.demo_truth import FrameTruth, PartTruth
from aae_detect.errors import ConfigError, SourceError
from aae_detect.frames import Frame, FrameSource
from aae_detect.picture_bytes import encode_picture

__all__ = ["DemoCamera", "FrameTruth", "PartTruth", "read_counter", "save_pictures"]

_SPEED = 32.0
"""How far the belt moves from frame to frame, in pixels of a 640x480 picture."""

_SPACING = 420.0
_SPRITES = 6
"""Parts that are kept drawn; more than any frame shows, and at 1080p each takes 5 MB."""

_FIRST_X = 130.0


@dataclass(frozen=True)
class _Pose:
    shape: str
    along_x: float
    across_y: float
    turn_deg: float
    gain: float
    defect: str | None


class DemoCamera(FrameSource):
    """A `FrameSource` that draws its frames.

    Args:
        seed: decides everything that is random.
        size_hw: height and width of a frame, pixels.
        fps: nominal frames per second.
        defect_rate: share of the parts that are defective, 0 to 1.
        frame_count: ends after so many frames; None: never.
        live: wait for each frame's time, and leave out frames that were asked for too late, as a camera does.
        noise: standard deviation of the sensor noise, grey levels.
        counter: stamp the frame number into the picture, see `read_counter`.
    """

    close_wakes_read = True

    def __init__(
        self,
        seed: int = 0,
        size_hw: tuple[int, int] = (480, 640),
        fps: float = 30.0,
        defect_rate: float = 0.15,
        frame_count: int | None = None,
        live: bool = False,
        noise: float = 2.0,
        counter: bool = False,
    ) -> None:
        height, width = size_hw
        if not (120 <= height <= 4320 and 160 <= width <= 7680):
            raise ConfigError(f"demo camera: size {width}x{height} lies outside 160x120 to 7680x4320")
        if seed < 0 or not 0 <= defect_rate <= 1 or not 0 < fps <= 1000 or not 0 <= noise <= 30:
            raise ConfigError(
                f"demo camera: seed {seed}, defect rate {defect_rate}, fps {fps}, noise {noise}; "
                "expected a seed from 0, a defect rate from 0 to 1, fps above 0 up to 1000, noise from 0 to 30"
            )
        if frame_count is not None and frame_count < 1:
            raise ConfigError(f"demo camera: {frame_count} frames; expected at least 1")
        self.name = f"demo camera (seed {seed})"
        self.live = live
        self.fps = fps
        self.seed = seed
        self.size_hw = size_hw
        self.defect_rate = defect_rate
        self.frame_count = frame_count
        self.counter = counter
        self._scale = min(height / 480, width / 640)
        self._belt = Belt(seed, size_hw, self._scale, noise)
        self._sprite = lru_cache(maxsize=_SPRITES)(self._draw_part)
        self._next = 0
        self._started: float | None = None
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end or once closed."""
        if self.live:
            self._wait_for_next()
        index = self._next
        if self._closed.is_set() or (self.frame_count is not None and index >= self.frame_count):
            return None
        self._next = index + 1
        image, _ = self.render(index)
        return Frame(image, index, datetime.now(UTC).astimezone(), self.name)

    def close(self) -> None:
        """End the camera; a `read` that waits for its frame's time returns None."""
        self._closed.set()

    def render(self, index: int, defects: bool = True) -> tuple[NDArray[np.uint8], FrameTruth]:
        """Draw one frame.

        Args:
            index: frame number, from 0.
            defects: False draws the very same frame with every part good.

        Returns:
            The picture, HxWx3 BGR uint8, and what it shows.
        """
        image = self._belt.background(self._shift(index))
        parts = []
        for part_id, left, top, sprite in self._parts(index, defects):
            window, inner = self._overlap(left, top, sprite)
            patch = image[window]
            cv2.multiply(patch, sprite.keep[inner], patch, scale=1 / 255)
            cv2.add(patch, sprite.add[inner], patch)
            truth = self._truth(part_id, left, top, sprite)
            if truth is not None:
                parts.append(truth)
        image = self._belt.expose(image, index)
        if self.counter:
            stamp_counter(image, index)
        return image, FrameTruth(index, tuple(parts))

    def truth(self, index: int) -> FrameTruth:
        """Return what a frame shows, without drawing it."""
        found = (self._truth(part_id, left, top, sprite) for part_id, left, top, sprite in self._parts(index, True))
        return FrameTruth(index, tuple(part for part in found if part is not None))

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Return where a frame shows defects: HxW uint8, 255 on a defect, 0 elsewhere."""
        mask = np.zeros(self.size_hw, np.uint8)
        for _, left, top, sprite in self._parts(index, True):
            window, inner = self._overlap(left, top, sprite)
            mask[window] = np.maximum(mask[window], sprite.defect_mask[inner])
        return mask

    def _wait_for_next(self) -> None:
        now = time.monotonic()
        if self._started is None:
            self._started = now
        self._next = max(self._next, int((now - self._started) * self.fps))
        self._closed.wait(max(0.0, self._started + self._next / self.fps - now))

    def _shift(self, index: int) -> int:
        """Return how far the belt has come, whole pixels, so that belt and parts move as one."""
        return round(index * _SPEED * self._scale)

    def _parts(self, index: int, defects: bool) -> list[tuple[int, int, int, Sprite]]:
        """Return number, left, top and drawing of every part whose drawing reaches into the frame."""
        side = sprite_side(self._scale)
        height, width = self.size_hw
        shift = self._shift(index)
        jitter = 40
        spacing = _SPACING * self._scale
        first = int((shift - width - side) / spacing) - 1
        last = int((shift + side + (_FIRST_X + jitter) * self._scale) / spacing) + 1
        found = []
        for part_id in range(max(0, first), last + 1):
            pose = self._pose(part_id)
            left = round(pose.along_x * self._scale) + shift - side // 2
            top = round(height / 2 + pose.across_y * self._scale) - side // 2
            if -side < left < width:
                found.append((part_id, left, top, self._sprite(part_id, defects and pose.defect is not None)))
        return found

    def _pose(self, part_id: int) -> _Pose:
        rng = np.random.default_rng([self.seed, 1, part_id])
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        along_x = _FIRST_X - part_id * _SPACING + rng.uniform(-35, 35) * (part_id > 0)
        across_y, turn_deg = rng.uniform(-8, 8), rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG)
        gain, luck, choice = rng.uniform(0.96, 1.04), rng.random(), rng.random()
        kinds = possible_defects(shape)
        defect = kinds[int(choice * len(kinds))] if luck < self.defect_rate else None
        return _Pose(shape, along_x, across_y, turn_deg, gain, defect)

    def _draw_part(self, part_id: int, defective: bool) -> Sprite:
        pose = self._pose(part_id)
        rng = np.random.default_rng([self.seed, 2, part_id])
        return make_sprite(pose.shape, self._scale, pose.turn_deg, pose.gain, pose.defect if defective else None, rng)

    def _overlap(self, left: int, top: int, sprite: Sprite) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return where a drawing lies in the frame, and which part of the drawing that is."""
        height, width = self.size_hw
        side_h, side_w = sprite.keep.shape[:2]
        x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side_w), min(height, top + side_h)
        return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))

    def _truth(self, part_id: int, left: int, top: int, sprite: Sprite) -> PartTruth | None:
        height, width = self.size_hw
        x, y, box_w, box_h = sprite.box_xywh
        x, y = x + left, y + top
        x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + box_w), min(height, y + box_h)
        if x0 >= x1 or y0 >= y1:
            return None
        _, inner = self._overlap(left, top, sprite)
        defect_box = None
        if sprite.defect is not None and sprite.defect_mask[inner].any():
            dx, dy, dw, dh = (int(value) for value in cv2.boundingRect(sprite.defect_mask[inner]))
            defect_box = (dx + max(0, left), dy + max(0, top), dw, dh)
        whole = (x1 - x0, y1 - y0) == (box_w, box_h)
        return PartTruth(
            part_id, self._pose(part_id).shape, (x0, y0, x1 - x0, y1 - y0), whole, sprite.defect, defect_box
        )


def save_pictures(folder: Path, count: int, seed: int, defect_rate: float = 0.0, every: int = 7) -> list[Path]:
    """Write frames of a demo camera as PNG files, for training or for the eye.

    Args:
        folder: made where it does not exist.
        count: how many pictures.
        seed: of the camera.
        defect_rate: share of defective parts.
        every: takes each so-many-th frame, so that pictures differ.

    Raises:
        SourceError: a picture cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    camera = DemoCamera(seed, defect_rate=defect_rate)
    paths = []
    for number in range(count):
        image, _ = camera.render(number * every)
        path = folder / f"demo_{seed}_{number * every:06d}.png"
        try:
            path.write_bytes(encode_picture(".png", image))
        except OSError as error:
            raise SourceError(f"{path} cannot be written ({error}); choose another folder") from error
        paths.append(path)
    return paths

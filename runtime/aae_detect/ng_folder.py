"""A folder of the frames that were rejected: the picture as it was judged, and its overlay beside it.

Names begin with the moment of capture in UTC and the frame's number, so that they sort by time:

    20261123T083713.123Z_000123_NG_0.5312.png
    20261123T083713.123Z_000123_NG_0.5312_overlay.jpg
"""

from __future__ import annotations

import os
from datetime import UTC
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae_detect.detection import Detection
from aae_detect.disk_trouble import is_disk_trouble
from aae_detect.errors import ConfigError, FrameError
from aae_detect.frames import Frame
from aae_detect.picture_bytes import encode_overlay, encode_picture
from aae_detect.whole_file import replace_file


class NgFolder:
    """Saves pictures; never overwrites one, and never stops the line when the disk is full.

    Args:
        folder: Made where it does not exist.

    Raises:
        ConfigError: the folder cannot be made or written. Where its disk is full or fails, `trouble` says so instead.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.saved = 0
        """Frames saved so far."""

        self.failed = 0
        """Frames that could not be saved."""

        self.trouble = ""
        """Why nothing could be saved at the start, for people; the line goes on without, until there is room."""

        self._first_failure = ""
        trial = self.folder / f".{os.getpid()}.trial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(trial, bytes(4096))  # an empty file would fit on a full disk
            trial.unlink()
        except OSError as error:
            words = f"{self.folder}: pictures cannot be saved there ({error.strerror or error}); make room"
            if not is_disk_trouble(error):
                raise ConfigError(f"{words}, or choose another folder") from error
            self.trouble = words

    @property
    def problem(self) -> str:
        """What went wrong so far, for people; empty where all was saved."""
        if not self.failed:
            return ""
        frames = "1 frame" if self.failed == 1 else f"{self.failed} frames"
        return f"{self.folder}: {frames} could not be saved; the first failed with: {self._first_failure}"

    def save(
        self, frame: Frame, image_bgr: NDArray[np.uint8], detection: Detection, overlay_bgr: NDArray[np.uint8] | None
    ) -> Path | None:
        """Save a frame's picture as PNG and its overlay as JPEG.

        Args:
            frame: Gives time and number.
            image_bgr: The picture that was judged, HxWx3 uint8 BGR.
            detection: Gives verdict and score.
            overlay_bgr: The picture with the overlay, HxWx3 uint8 BGR; None saves none.

        Returns:
            The picture's path; None where it could not be saved, which `failed` and `problem` tell.
        """
        try:
            if self.trouble and not self.saved:  # it may not have been made
                self.folder.mkdir(parents=True, exist_ok=True)
            picture = self.folder / f"{self._free_stem(frame, detection)}.png"
            # The overlay first: where there is a picture, its overlay is there too.
            if overlay_bgr is not None:
                replace_file(picture.with_name(f"{picture.stem}_overlay.jpg"), encode_overlay(overlay_bgr))
            # OpenCV's own settings: run-length coding, twice as fast as any compression level, and no larger.
            replace_file(picture, encode_picture(".png", image_bgr))
        except (OSError, FrameError) as error:
            self.failed += 1
            self._first_failure = self._first_failure or str(getattr(error, "strerror", None) or error).strip()
            return None
        self.saved += 1
        return picture

    def _free_stem(self, frame: Frame, detection: Detection) -> str:
        """A name without extension that no earlier run has used."""
        moment = frame.captured_at.astimezone(UTC)
        stamp = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
        stem = f"{stamp}_{frame.index:06d}_{detection.verdict}_{detection.score:.4g}"
        free, count = stem, 1
        while (self.folder / f"{free}.png").exists() or (self.folder / f"{free}_overlay.jpg").exists():
            count += 1
            free = f"{stem}-{count}"
        return free

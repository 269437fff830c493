"""One frame, judged: one that says nothing is UNKNOWN, never an end to the run."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from aae_detect.detector import Detector
from aae_detect.errors import FrameError
from aae_detect.events import frame_event, unknown_event
from aae_detect.frame_checks import FrameChecks
from aae_detect.frames import Frame
from aae_detect.judged import Judged
from aae_detect.preprocess import to_bgr8


def judge(frame: Frame, detector: Detector, checks: FrameChecks | None, fps: float | None) -> Judged:
    """Judge one frame.

    Args:
        frame: From a source; its `image` as the source gave it.
        detector: Who judges.
        checks: Which frames say nothing; None judges all of them.
        fps: Frames of the source judged per second, to be kept with the frame.

    Returns:
        The frame with its verdict; UNKNOWN, with a reason, where it could not be judged.
    """
    try:
        if frame.image is None:
            raise FrameError(frame.problem or "the source gave no picture")
        image_bgr = to_bgr8(frame.image, detector.bits)
        detection = detector(image_bgr)
    except FrameError as error:
        return _unknown(frame, detector, None, str(error), fps)
    if checks is not None and (problem := checks.find_problem(frame.image, detection.input_bgr, frame.read_ns * 1e-9)):
        return _unknown(frame, detector, image_bgr, problem, fps)
    age_ms = _age_ms(frame)
    event = frame_event(frame, detection, age_ms)
    return Judged(frame, image_bgr, detection, "", fps, age_ms, event, detector)


def _unknown(
    frame: Frame, detector: Detector, image_bgr: NDArray[np.uint8] | None, reason: str, fps: float | None
) -> Judged:
    age_ms = _age_ms(frame)
    event = unknown_event(frame, detector.threshold, reason, age_ms)
    return Judged(frame, image_bgr, None, reason, fps, age_ms, event, detector)


def _age_ms(frame: Frame) -> float:
    return (time.monotonic_ns() - frame.read_ns) / 1e6

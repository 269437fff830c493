"""What an ONNX detector says of pictures, and how long it takes beside another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae_detect._onnxruntime import onnxruntime
from aae_detect.bench.accuracy import judge_pictures
from aae_detect.bench.dataset import LabelledSet
from aae_detect.detector import Detector
from aae_detect.errors import FrameError, SourceError
from aae_detect.picture_source import read_picture
from aae_detect.preprocess import to_bgr8
from aae_export.on_demand import OnDemand
from aae_train.pictures import tell_trouble
from aae_train.synthetic import make_defect

_TIMED_RUNS, _WARMUP = 30, 5
_SEED = 20260001


def put_defects(good: Sequence[NDArray[np.uint8]], least: int = 0, inside: NDArray[np.bool_] | None = None) -> OnDemand:
    """Put a synthetic defect into each picture, and so again until there are `least`; inside of a mask (H, W)."""

    def put(number: int) -> NDArray[np.uint8]:
        rng, place = np.random.default_rng([_SEED, number]), number % len(good)
        return make_defect(good[place], rng, good[place - 1], inside)[0]

    return OnDemand(max(len(good), least), put)


def _session(model: bytes, threads: int = 2) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure_scores(model: bytes, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Score model inputs, HxWx3 uint8 BGR, one by one; returns (N,)."""
    session = _session(model)
    found = [session.run(["anomaly_score"], {"image": picture[np.newaxis]})[0][0] for picture in pictures]
    return np.asarray(found, np.float64)


def without_unreadable(labelled: LabelledSet) -> tuple[LabelledSet | None, tuple[str, ...]]:
    """Leave out labelled pictures that cannot be read; masks are not looked at.

    Returns:
        The set, None where no good or no defective picture is left; and what was left out, each with the reason.
    """
    kept, left_out = [], []
    for picture in labelled.pictures:
        try:
            to_bgr8(read_picture(picture.path))
            kept.append(picture)
        except (SourceError, FrameError) as error:
            left_out.append(tell_trouble(picture.path, error))
    serves = {picture.defective for picture in kept} == {False, True}
    return replace(labelled, pictures=tuple(kept)) if serves else None, tuple(left_out)


def labelled_scores(detector: Path, labelled: LabelledSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score labelled pictures through the device's own code; returns the good ones' scores and the defective ones'.

    Masks are left alone: they say nothing of whole pictures.
    """
    loaded = Detector.load(detector, provider="cpu")
    found = []
    for picture in labelled.pictures:  # one by one, so that no map is kept
        alone = replace(labelled, pictures=(replace(picture, mask_path=None),))
        found.append(judge_pictures(loaded, alone)[0].score)
    defective = np.array([picture.defective for picture in labelled.pictures])
    scores = np.array(found, np.float64)
    return scores[~defective], scores[defective]


def time_ratio(model: bytes, other: bytes, picture: NDArray[np.uint8]) -> float:
    """Measure both in turn, so that what else the machine does hits both alike."""
    sessions = _session(model), _session(other)
    times: list[list[float]] = [[], []]
    for number in range(_TIMED_RUNS + _WARMUP):
        for session, of_session in zip(sessions, times, strict=True):
            start = perf_counter()
            session.run(None, {"image": picture[np.newaxis]})
            if number >= _WARMUP:
                of_session.append(perf_counter() - start)
    return float(np.median(times[0]) / np.median(times[1]))

"""How many frames that say nothing are told as such, and how many others are lost: trouble planted into real clips.

usage: python benchmarks/frame_troubles.py [--data ROOT] --json FILE

The clips are the demo camera, whose belt moves; the same scene standing still, with sensor noise; and, with --data,
the video of ucsd_ped2. The first half of the good frames teaches what is usual, the second half has trouble planted
into it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from aae_detect import DemoCamera
from aae_detect._opencv import cv2
from aae_detect.frame_checks import FrameChecks
from aae_detect.frame_reference import fit_reference
from aae_detect.frame_statistics import measure_frame
from aae_detect.picture_source import list_pictures, read_picture
from aae_detect.preprocess import prepare, to_bgr8
from reliability_file import write_part

Picture = NDArray[np.uint8]
Plant = Callable[[Picture, np.random.Generator], Picture]

INPUT_HW = (256, 256)
FPS = 30.0
FROZEN_S = 2.0


@dataclass(frozen=True)
class Clip:
    """Frames of one camera."""

    name: str
    usual: list[Picture]
    good: list[Picture]
    defective: list[Picture]


@click.command()
@click.option("--frames", type=click.IntRange(min=100), default=600, show_default=True, help="Good ones of a clip.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="AAE_DATA")
@click.option("--json", "target", type=click.Path(path_type=Path), required=True)
def main(frames: int, data: Path | None, target: Path) -> None:
    """Count what is caught and what is lost."""
    command = f"python benchmarks/frame_troubles.py{' --data ROOT' if data else ''} --frames {frames} --json FILE"
    rows = []
    for clip in _clips(frames, data):
        rows.append(_measure(clip))
        click.echo(json.dumps(rows[-1]))
        write_part(target, "frames", command, {"severities": SEVERITIES, "clips": rows})


def _clips(frames: int, data: Path | None) -> Iterator[Clip]:
    good = DemoCamera(8001, defect_rate=0.0)
    bad = DemoCamera(8002, defect_rate=1.0)
    belt = [good.render(number * 3)[0] for number in range(frames)]
    yield Clip("demo camera", belt[: frames // 2], belt[frames // 2 :], [bad.render(n * 13)[0] for n in range(300)])
    rng = np.random.default_rng(0)
    scene = DemoCamera(8001, noise=0.0, defect_rate=0.0).render(4)[0].astype(np.float32)
    still = [_noisy(scene * rng.uniform(0.97, 1.03), rng) for _ in range(frames)]
    spots = [_noisy(_spotted(scene, rng), rng) for _ in range(300)]
    yield Clip("a scene that stands still", still[: frames // 2], still[frames // 2 :], spots)
    if data is not None and (data / "ucsd_ped2").is_dir():
        root = data / "ucsd_ped2"
        walk = _read(root / "train" / "good")
        good_test, anomalies = _read(root / "test" / "good"), _read(root / "test" / "anomaly")
        yield Clip("ucsd_ped2", walk[: len(walk) // 2], walk[len(walk) // 2 :] + good_test, anomalies)


def _read(folder: Path) -> list[Picture]:
    return [to_bgr8(read_picture(path)) for path in list_pictures(folder)]


def _noisy(scene: NDArray[np.float32], rng: np.random.Generator) -> Picture:
    return np.clip(scene + rng.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)


def _spotted(scene: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A defect: a stain of up to a fifth of the picture's side."""
    height, width = scene.shape[:2]
    centre = int(rng.uniform(0.2, 0.8) * width), int(rng.uniform(0.2, 0.8) * height)
    colour = tuple(float(level) for level in rng.uniform(0, 255, 3))
    picture = scene.copy()
    cv2.circle(picture, centre, int(rng.uniform(0.01, 0.1) * width), colour, -1)
    return picture


def _measure(clip: Clip) -> dict[str, Any]:
    reference = fit_reference(
        [measure_frame(_reduced(frame)) for frame in clip.usual], {frame.shape[:2] for frame in clip.usual}, 0.0
    )
    checks = FrameChecks(reference, live=True)
    clock = iter(range(10**9))
    times_ms: list[float] = []

    def look(frame: Picture) -> str:
        picture, at_s = _reduced(frame), next(clock) / FPS
        start = perf_counter()
        problem = checks.find_problem(frame, picture, at_s)
        times_ms.append(1e3 * (perf_counter() - start))
        return problem.partition(":")[0]

    lost = sum(bool(look(frame)) for frame in clip.good)
    unknown = sum(bool(look(frame)) for frame in clip.defective)
    rows = {}
    for name, plant in TROUBLES.items():
        rng = np.random.default_rng(1)
        said = Counter(look(plant(frame, rng)) for frame in clip.good)
        caught = 1 - said[""] / len(clip.good)
        rows[name] = {"caught": round(caught, 4), "said": {words or "nothing": n for words, n in said.items()}}
    frozen = 0
    for frame in clip.good:
        repeats = [look(frame) for _ in range(int(FROZEN_S * FPS) + 1)]
        frozen += repeats[-1] == "frozen"
    rows["frozen"] = {"caught": round(frozen / len(clip.good), 4)}
    return {
        "clip": clip.name,
        "frame_hw": list(clip.good[0].shape[:2]),
        "usual": len(clip.usual),
        "good": len(clip.good),
        "good_lost": lost / len(clip.good),
        "defective": len(clip.defective),
        "defective_unknown": unknown / len(clip.defective),
        "can_tell_shift": reference.most_shift < 1,
        "ms_p50": round(float(np.median(times_ms)), 3),
        "ms_p95": round(float(np.quantile(times_ms, 0.95)), 3),
        "troubles": rows,
    }


def _reduced(frame: Picture) -> Picture:
    return prepare(frame, INPUT_HW, "stretch")[0]


def _black(frame: Picture, rng: np.random.Generator) -> Picture:
    return (frame * 0.018).astype(np.uint8)


def _over_exposed(frame: Picture, rng: np.random.Generator) -> Picture:
    level = np.quantile(frame.max(axis=2), 0.7)
    return np.clip(frame * (255 / level) + 1, 0, 255).astype(np.uint8)


def _blurred(frame: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 4 * frame.shape[1] / 640), np.uint8)


def _tinted(frame: Picture, rng: np.random.Generator) -> Picture:
    gains = np.array([0.75, 1.0, 1.25] if rng.random() < 0.5 else [1.25, 1.0, 0.75])
    return np.clip(frame * gains, 0, 255).astype(np.uint8)


def _covered(frame: Picture, rng: np.random.Generator) -> Picture:
    picture, (height, width) = frame.copy(), frame.shape[:2]
    sides = (
        np.s_[:, : round(0.6 * width)],
        np.s_[:, -round(0.6 * width) :],
        np.s_[: round(0.6 * height)],
        np.s_[-round(0.6 * height) :],
    )
    side = sides[int(rng.integers(4))]
    picture[side] = np.clip(rng.normal(rng.uniform(5, 80), 2, picture[side].shape), 0, 255)
    return picture


def _moved(frame: Picture, rng: np.random.Generator) -> Picture:
    height, width = frame.shape[:2]
    angle, far = rng.uniform(0, 2 * np.pi), 0.05 * width
    matrix = np.array([[1, 0, far * np.cos(angle)], [0, 1, far * np.sin(angle)]], np.float32)
    return np.asarray(cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def _cut(frame: Picture, rng: np.random.Generator) -> Picture:
    return np.ascontiguousarray(frame[:-8])


TROUBLES: dict[str, Plant] = {
    "black": _black,
    "over-exposed": _over_exposed,
    "out of focus": _blurred,
    "colour cast": _tinted,
    "covered": _covered,
    "camera moved": _moved,
    "wrong size": _cut,
}

SEVERITIES = {
    "black": "all below 2 % of the range",
    "over-exposed": "30 % of the pixels saturated",
    "out of focus": "Gaussian of sigma 4 px at a width of 640",
    "colour cast": "blue and red 25 % off, in opposite directions",
    "covered": "60 % of the picture, from any side, by something dark and smooth",
    "camera moved": "5 % of the width, in any direction",
    "wrong size": "8 rows fewer",
    "frozen": "the same frame for 2 s at 30 frames/s",
}


if __name__ == "__main__":
    main()

"""A model that was trained with a mask brings it along: the exported graph paints and keeps silent by itself."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aae_detect import Detector, annotate
from aae_detect.scoring import SILENT
from aae_export.export import export_run

FRAME_HW = (240, 320)


@pytest.fixture(scope="module")
def masked_export(demo_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Looks at the middle of the frame, from a quarter to three quarters of each side."""
    folder = tmp_path_factory.mktemp("masked")
    mask = folder / "mask.json"
    mask.write_text(json.dumps({"frame": [160, 120], "look": [[[40, 30], [120, 30], [120, 90], [40, 90]]]}))
    command = [sys.executable, "-m", "aae_train.cli", str(demo_pictures), "--out", str(folder / "run")]
    command += ["--mask", str(mask), "--size", "64x96", "--steps", "10", "--batch-size", "4"]
    subprocess.run(command, check=True, capture_output=True)
    export_run(folder / "run", folder / "export", precision="int8", force=True)
    return folder / "export"


@pytest.mark.parametrize("name", ["detector.onnx", "detector.int8.onnx"])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_graph_looks_only_there(masked_export: Path, name: str, scale: int) -> None:
    detector = Detector.load(masked_export / name, provider="cpu", threads=1)
    rng = np.random.default_rng(0)
    small = rng.integers(60, 200, (*FRAME_HW, 3), np.uint8)
    frame = small.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width = frame.shape[:2]
    # An input pixel on the border is a mean of both sides; beyond that one, nothing of the outside is left.
    margin_y, margin_x = height // 64, width // 96
    near = np.s_[height // 4 - margin_y : height * 3 // 4 + margin_y, width // 4 - margin_x : width * 3 // 4 + margin_x]
    other = rng.integers(0, 256, frame.shape, np.uint8)
    other[near] = frame[near]
    changed = frame.copy()
    changed[height // 2 : height // 2 + 20 * scale, width // 2 : width // 2 + 20 * scale] = 255
    found, found_other, found_changed = (detector(picture) for picture in (frame, other, changed))
    assert (found.model_map == found_other.model_map).all()
    assert (found.model_map != found_changed.model_map).any()
    assert (found.model_map == SILENT).mean() == 0.75
    overlay = annotate(frame, found, colour_scale=detector.colour_scale, heat_map=False, inset=False)
    line = (overlay != frame).any(axis=2)
    assert line[height // 2, width // 4 - 3 * scale : width // 4 + 3 * scale].any(), "the border is drawn"


def test_the_encoder_looks_only_there_too(masked_export: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(masked_export / "encoder.onnx"), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (1, 64, 96, 3), np.uint8)
    other = rng.integers(0, 256, (1, 64, 96, 3), np.uint8)
    other[:, 16:48, 24:72] = picture[:, 16:48, 24:72]
    codes = [session.run(None, {"image": image})[0] for image in (picture, other)]
    assert (codes[0] == codes[1]).all()

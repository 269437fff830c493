"""The large pictures of `benchmarks/tiling.py` hold what they should, good and defective ones alike."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="needs the export extra")


@pytest.fixture(scope="module")
def tiling() -> Iterator[ModuleType]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import tiling as module

    yield module
    sys.path.pop(0)


def write(path: Path, gray: int, size: int = 256) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size, size, 3), gray, np.uint8))


def test_pieces_are_put_together_with_their_masks(tiling: ModuleType, tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "large"
    for number in range(9):
        write(root / "train" / "good" / f"{number}.png", number)
        write(root / "test" / "good" / f"{number}.png", 100 + number)
    for number in range(3):
        write(root / "test" / "hole" / f"{number}.png", 200 + number)
        mask = np.zeros((256, 256), np.uint8)
        mask[10:20, 30:50] = 255
        (root / "ground_truth" / "hole").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "ground_truth" / "hole" / f"{number}_mask.png"), mask)
    tiling.put_together(root, out, side=2)
    grays: dict[str, list[int]] = {}
    for path in sorted(out.glob("*/*/*.png")):
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture.shape[:2] == (512, 512)
        if path.parent.parent.name != "ground_truth":
            grays.setdefault(f"{path.parent.parent.name}/{path.parent.name}", []).extend(picture[::256, ::256, 0].flat)
    assert len(grays["train/good"]) == len(set(grays["train/good"])) == 8, "each once, and what is left over not at all"
    assert len(grays["test/good"]) == len(set(grays["test/good"])) == 8
    assert all(gray < 10 for gray in grays["train/good"]) and all(100 <= gray < 110 for gray in grays["test/good"])
    for number in range(3):
        picture = cv2.imread(str(out / "test" / "hole" / f"{number:03d}.png"), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(out / "ground_truth" / "hole" / f"{number:03d}.png"), cv2.IMREAD_GRAYSCALE)
        assert (mask > 0).sum() == 10 * 20
        assert (picture[mask > 0] == 200 + number).all() and (picture == 200 + number).sum() == 256 * 256
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    tiling.put_together(root, out, side=2)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    write(root / "train" / "good" / "0.png", 0, size=128)
    with pytest.raises(tiling.click.ClickException, match="pieces have 256 x 256"):
        for each in range(9):
            tiling.put_together(root, tmp_path / f"other-{each}", side=2, seed=each)

"""Fixtures for tests of the benchmarks, which are scripts and not packages, and of what measures."""

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import pytest

from aae_detect import DemoCamera

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def load_benchmark() -> Callable[[str], ModuleType]:
    """Return what imports `benchmarks/NAME.py` by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def labelled_set(demo_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in MVTec AD layout; its name has to be escaped in HTML."""
    root = tmp_path_factory.mktemp("sets") / "nuts & <b>bolts"
    shutil.copytree(demo_pictures, root / "train" / "good")
    good, bad = DemoCamera(4, (120, 160), defect_rate=0.0), DemoCamera(5, (120, 160), defect_rate=1.0)
    shown = [index for index in range(0, 200, 7) if bad.mask(index).any()][:6]
    for folder in ("test/good", "test/worn", "ground_truth/worn"):
        (root / folder).mkdir(parents=True)
    for index in shown:
        cv2.imwrite(str(root / f"test/good/{index}.png"), good.render(index)[0])
        cv2.imwrite(str(root / f"test/worn/{index}.png"), bad.render(index)[0])
        cv2.imwrite(str(root / f"ground_truth/worn/{index}_mask.png"), bad.mask(index))
    return root

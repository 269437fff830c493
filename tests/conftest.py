"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The committed model whose answers can be worked out by hand; see tests/data/make_tiny.py."""
    return Path(__file__).parent / "data" / "tiny.onnx"


@pytest.fixture(scope="session")
def real_sets() -> Path:
    """The folder of real sets that AAE_DATA names; tests that want it skip without it."""
    folder = os.environ.get("AAE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AAE_DATA names no folder of real sets")
    return Path(folder)

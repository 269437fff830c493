"""Fixtures for all tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

# The tests' networks are tiny: a second thread gains nothing, and where cores are shared the two wait for each other,
# spinning, for minutes. Set before torch is imported, and handed on to every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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


@pytest.fixture(scope="session")
def demo_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 good pictures of the demo camera at 160x120: wider than high, and larger than a small model's input."""
    import cv2

    from aae_detect.demo import DemoCamera

    folder = tmp_path_factory.mktemp("demo") / "pictures"
    folder.mkdir()
    camera = DemoCamera(3, size_hw=(120, 160), defect_rate=0.0)
    for number in range(64):
        cv2.imwrite(str(folder / f"{number}.png"), camera.render(number * 7)[0])
    return folder


@pytest.fixture(scope="session")
def small_run(demo_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training run of a few steps at 64x96; finds nothing, but is whole. Do not change it."""
    pytest.importorskip("torch", reason="needs the train extra")
    run = tmp_path_factory.mktemp("small") / "run"
    command = [sys.executable, "-m", "aae_train.cli", str(demo_pictures), "--out", str(run)]
    subprocess.run([*command, "--size", "64x96", "--steps", "10", "--batch-size", "4"], check=True, capture_output=True)
    return run


@pytest.fixture(scope="session")
def small_export(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of `small_run`."""
    pytest.importorskip("onnxscript", reason="needs the export extra")
    out = tmp_path_factory.mktemp("small") / "export"
    command = [sys.executable, "-m", "aae_export.cli", str(small_run), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


_FETCHING = ("src", "href", "data", "srcset", "xlink:href")


class HtmlPage(HTMLParser):
    """A page, read as a browser would: its elements nest, and it asks for nothing but what it holds."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "every tag is closed"
        asked = [value or "" for _, found in self.tags for name, value in found.items() if name in _FETCHING]
        assert asked and all(uri.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")) for uri in asked)
        assert not {"script", "link", "iframe", "object", "base", "a"} & {tag for tag, _ in self.tags}
        assert not any(name.startswith("on") for _, found in self.tags for name in found), "no programs"
        styles = re.findall("<style>(.*?)</style>", html, re.DOTALL)
        styles += [found["style"] or "" for _, found in self.tags if "style" in found]
        assert not any(re.search(r"https?:|url\(|@import", style) for style in styles)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with single spaces."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def read_html() -> Callable[[str], HtmlPage]:
    """Read a page that must need no network."""
    return HtmlPage

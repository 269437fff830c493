"""Finds anomalies in pictures of parts, with ONNX Runtime and OpenCV; no torch.

    from aae_detect import Detector

    detector = Detector.load("detector.onnx")
    detection = detector(frame_bgr)
    print(detection.verdict, detection.score, detection.regions)

Names load when first used, so that `import aae_detect` and every `--help` stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aae_detect.demo import DemoCamera as DemoCamera
    from aae_detect.detection import Detection as Detection
    from aae_detect.detection import Latency as Latency
    from aae_detect.detection import Region as Region
    from aae_detect.detection import Verdict as Verdict
    from aae_detect.detector import Detector as Detector
    from aae_detect.errors import AaeDetectError as AaeDetectError
    from aae_detect.errors import ConfigError as ConfigError
    from aae_detect.errors import FrameError as FrameError
    from aae_detect.errors import InstallError as InstallError
    from aae_detect.errors import ModelError as ModelError
    from aae_detect.errors import SourceError as SourceError
    from aae_detect.frames import Frame as Frame
    from aae_detect.frames import FrameSource as FrameSource
    from aae_detect.overlay import annotate as annotate
    from aae_detect.site_file import read_site_entry as read_site_entry
    from aae_detect.sources import open_source as open_source
    from aae_detect.spec import ModelSpec as ModelSpec

__version__ = "0.1.0"

_HOME = {
    "AaeDetectError": "errors",
    "ConfigError": "errors",
    "DemoCamera": "demo",
    "Detection": "detection",
    "Detector": "detector",
    "Frame": "frames",
    "FrameError": "errors",
    "FrameSource": "frames",
    "InstallError": "errors",
    "Latency": "detection",
    "ModelError": "errors",
    "ModelSpec": "spec",
    "Region": "detection",
    "SourceError": "errors",
    "Verdict": "detection",
    "annotate": "overlay",
    "open_source": "sources",
    "read_site_entry": "site_file",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'aae_detect' has no attribute {name!r}")
    value = getattr(import_module(f"aae_detect.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

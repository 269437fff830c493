"""The detector: a frame in, a verdict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aae_detect.detection import Detection, Latency
from aae_detect.errors import ConfigError, FrameError, ModelError
from aae_detect.frame_mask import FrameMask
from aae_detect.geometry import Placement
from aae_detect.golden import run_golden
from aae_detect.good_scores import GoodScores
from aae_detect.graph_run import make_run
from aae_detect.model_file import ModelFile, read_model
from aae_detect.preprocess import prepare
from aae_detect.scoring import SILENT, judge, score_map
from aae_detect.session import AUTO, open_session
from aae_detect.signature import OwnerKey
from aae_detect.site_file import SiteEntry
from aae_detect.site_places import SitePlaces
from aae_detect.spec import BITS, ModelSpec
from aae_detect.thread_choice import choose_threads, remembered_threads
from aae_detect.threshold import colour_scale

_MOST_PLACEMENTS = 8
"""Frame sizes whose cells inside the mask are remembered."""


class Detector:
    """A loaded model, ready to judge frames. One detector may serve several threads at once."""

    def __init__(self, model: ModelFile, session: Any, provider: str, threshold: float, bits: int | None) -> None:
        """Use `Detector.load`; it makes the arguments."""
        self.spec: ModelSpec = model.spec
        self.model_sha256 = model.sha256
        self.provider = provider
        """The execution provider that really loaded, as ONNX Runtime names it."""
        self.threshold = threshold
        self.colour_scale = model.spec.colour_scale
        """Map values drawn as the coldest and the hottest colour; the same for every frame."""
        self.threads = 0
        """Threads inside an operator; 0 means one per core."""
        self.warnings: tuple[str, ...] = ()
        """What the user should know about how it was loaded."""
        self.good_scores = GoodScores.from_scores(model.spec.calibration.scores)
        """The good scores that the threshold rests on; None where the model does not bring them."""
        self._places: SitePlaces | None = None
        self.mask: FrameMask | None = None
        """Where it looks; None: everywhere."""
        self._cells: dict[Placement, NDArray[np.bool_]] = {}
        self._run = make_run(session, provider)
        self.bits = model.spec.bits if bits is None else bits
        """Depth that uint16 frames carry."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        provider: str = AUTO,
        threads: int | Literal["auto"] = 0,
        threshold: float | None = None,
        bits: int | None = None,
        provider_options: Mapping[str, str] | None = None,
        owner: OwnerKey | None = None,
    ) -> Detector:
        """Load a `detector.onnx` and prove that it answers as it was made to.

        Args:
            path: The file that `aae-export` wrote.
            provider: As `open_session` takes it; `auto` falls back to the CPU and says so in `warnings`.
            threads: Threads inside an operator; 0 means one per core, `auto` what `choose_threads` finds.
            threshold: Replaces the model's own threshold.
            bits: Depth that uint16 frames carry, 10, 12 or 16; None: that of the pictures it learned from.
            provider_options: Of the provider, by ONNX Runtime's names and as text.
            owner: Whose signature the file must have; None: nobody's.

        Raises:
            ModelError: the file is refused, see `read_model`, does not run, or its golden sample does not reproduce.
            ConfigError: an argument cannot be used, or the provider is not there.
        """
        _check_threshold(threshold)
        if bits is not None and bits not in BITS:
            raise ConfigError(f"bits is {bits}, expected one of {', '.join(map(str, BITS))}")
        model = read_model(Path(path), owner)
        chosen = model.spec.threshold if threshold is None else float(threshold)

        def prove(threads: int) -> Detector:
            session, loaded, warnings = open_session(model.content, provider, threads, provider_options)
            _check_interface(session, model)
            detector = cls(model, session, loaded, chosen, bits)
            detector.threads, detector.warnings = threads, warnings
            run_golden(model.spec, detector._run, loaded)
            return detector

        if threads != "auto":
            return prove(threads)
        detector = prove(remembered_threads(model, provider) or 1)  # nothing is measured that may not run
        best = choose_threads(model, provider, provider_options)
        return detector if best == detector.threads else prove(best)

    def with_threshold(self, threshold: float | None) -> Detector:
        """Return a detector with another threshold over the same loaded model; None: this one.

        Raises:
            ConfigError: it is no finite number.
        """
        if threshold is None:
            return self
        _check_threshold(threshold)
        other = copy(self)
        other.threshold = float(threshold)
        return other

    def with_site(self, entry: SiteEntry) -> Detector:
        """Return a detector for one camera, with what was learned in front of it, over the same loaded model.

        Args:
            entry: From `read_site_entry`.

        Raises:
            ConfigError: it was made for another model.
        """
        entry.require_model(self.model_sha256)
        other = copy(self)
        try:
            other._places = SitePlaces.unpack(entry.places, self.spec.map_hw)
        except ValueError as error:
            raise ConfigError(f"the calibration of {entry.title} is damaged: {error}; calibrate again") from error
        other.threshold = entry.threshold
        other.colour_scale = colour_scale(entry.threshold)
        other.good_scores = GoodScores.from_scores(entry.calibration.scores)
        return other

    def with_mask(self, mask: FrameMask) -> Detector:
        """Return a detector that looks at a part of the frame only, over the same loaded model.

        Args:
            mask: From `read_mask`. Cells of the map without a pixel inside count for nothing, neither in the score nor
                in the map that is shown.
        """
        other = copy(self)
        other.mask, other._cells = mask, {}
        return other

    def __call__(self, image: Any) -> Detection:
        """Judge one frame.

        Args:
            image: HxW gray, HxWx3 BGR or HxWx4 BGRA, uint8 or uint16, any size.

        Raises:
            FrameError: not a picture, see `to_bgr8`; or the mask leaves nothing of it.
        """
        return self.batch([image])[0]

    def batch(self, images: Sequence[Any] | NDArray[Any]) -> list[Detection]:
        """Judge several frames in one run of the model; sizes may differ.

        Each detection's times are its share of the batch.

        Args:
            images: Frames as `__call__` takes them, in a list, or as an array with one axis more: NxHxW, NxHxWx3, ...

        Raises:
            FrameError: one of them is not a picture; none is judged then. Or this is a single picture.
        """
        if isinstance(images, np.ndarray):
            _require_several(images)
        if len(images) == 0:
            return []
        start = perf_counter_ns()
        prepared = [prepare(image, self.spec.input_hw, self.spec.fit, self.bits) for image in images]
        inputs = prepared[0][0][np.newaxis] if len(prepared) == 1 else np.stack([picture for picture, _ in prepared])
        ready = perf_counter_ns()
        maps, reconstructions = self._run(inputs)
        inferred = perf_counter_ns()
        if self._places is not None:
            maps = self._places.calm(maps)
        if self.mask is not None:
            placements = [placement for _, placement in prepared]
            maps = np.stack([self._silence(*pair) for pair in zip(maps, placements, strict=True)])
        scores = [score_map(anomaly_map) for anomaly_map in maps]
        done = perf_counter_ns()
        share = 1e-6 / len(images)
        latency = Latency((ready - start) * share, (inferred - ready) * share, (done - inferred) * share)
        return [
            self._detection(score, anomaly_map, reconstruction, _own(picture, image), placement, latency)
            for score, anomaly_map, reconstruction, (picture, placement), image in zip(
                scores, maps, reconstructions, prepared, images, strict=True
            )
        ]

    def _silence(self, anomaly_map: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
        """Silence what lies outside the mask."""
        cells = self._cells.get(placement)
        if cells is None:
            assert self.mask is not None
            if len(self._cells) >= _MOST_PLACEMENTS:
                self._cells.clear()
            cells = self._cells[placement] = self.mask.cells(placement, self.spec.map_hw)
        if not cells.any():
            height, width = placement.frame_hw
            raise FrameError(f"the mask leaves nothing of a frame of {width}x{height}; draw it for this camera")
        return np.where(cells, anomaly_map, SILENT)

    def _detection(
        self,
        score: float,
        anomaly_map: NDArray[np.float32],
        reconstruction_bgr: NDArray[np.uint8],
        input_bgr: NDArray[np.uint8],
        placement: Placement,
        latency: Latency,
    ) -> Detection:
        verdict = judge(score, self.threshold)
        p_value = None if self.good_scores is None else self.good_scores.p_value(score)
        return Detection(
            score,
            self.threshold,
            verdict,
            anomaly_map,
            reconstruction_bgr,
            input_bgr,
            placement,
            latency,
            p_value,
        )


def _require_several(images: NDArray[Any]) -> None:
    """Refuse a single picture, which would be taken for as many as it has rows."""
    if images.size and (images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))):
        raise FrameError(
            f"a batch of shape {images.shape} is a single picture, expected several, NxHxWx3 or a list of them; "
            "call the detector with a single one"
        )


def _own(picture: NDArray[np.uint8], image: NDArray[Any]) -> NDArray[np.uint8]:
    """Copy what the model got where it is the caller's own array, who may fill it with the next frame."""
    return picture.copy() if np.may_share_memory(picture, image) else picture


def _check_threshold(threshold: float | None) -> None:
    if threshold is not None and not np.isfinite(threshold):
        raise ConfigError(f"threshold is {threshold}, expected a finite number")


def _check_interface(session: Any, model: ModelFile) -> None:
    """Refuse a graph whose inputs and outputs are not what its description says."""
    height, width = model.spec.input_hw
    found = {port.name: (port.type, list(port.shape[1:])) for port in [*session.get_inputs(), *session.get_outputs()]}
    expected: dict[str, tuple[str, list[int]]] = {
        "image": ("tensor(uint8)", [height, width, 3]),
        "anomaly_map": ("tensor(float)", list(model.spec.map_hw)),
        "anomaly_score": ("tensor(float)", []),
        "reconstruction": ("tensor(uint8)", [*model.spec.drawn_hw, 3]),
    }
    for name, port in expected.items():
        if found.get(name) != port:
            raise ModelError(
                f"{model.path}: the graph has {name} as {found.get(name, 'nothing')}, its description says {port}; "
                "export the model again"
            )

"""Running the detector's graph: pictures in, maps and drawings out, on the processor or on a device with own memory.

A GPU has memory of its own. Buffers there are made once for each thread and batch size, and stay: pictures are copied
into them, and answers out of them, without asking for memory frame by frame. Addresses that stay are also what a CUDA
graph needs (`--provider-option enable_cuda_graph=1`), which plays a whole inference back as one call.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from aae_detect._onnxruntime import onnxruntime

OUTPUTS = ("anomaly_map", "reconstruction")

Answers = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Maps (N, h, w) and reconstructions (N, H / step, W / step, 3) BGR."""

GraphRun = Callable[[NDArray[np.uint8]], Answers]
"""Takes pictures (N, H, W, 3) uint8 BGR at model size; may be called by several threads at once."""

_MOST_SIZES = 4
"""Batch sizes that each thread keeps buffers for; the one that was made first gives way."""

_DEVICES = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}
"""Providers whose memory ONNX Runtime's Python wheels can reach."""


def make_run(session: Any, provider: str) -> GraphRun:
    """Return how to run a session on the provider that it loaded."""
    if provider in _DEVICES:
        number = session.get_provider_options()[provider].get("device_id", "0")
        return BoundRun(session, _DEVICES[provider], int(number))

    def run(images_nhwc: NDArray[np.uint8]) -> Answers:
        maps, reconstructions = session.run(OUTPUTS, {"image": images_nhwc})
        return maps, reconstructions

    return run


@dataclass(frozen=True)
class _Buffers:
    """What one thread keeps for one batch size."""

    image: Any
    outputs: tuple[Any, ...]
    binding: Any
    options: Any


class BoundRun:
    """A `GraphRun` through buffers that stay on a device."""

    def __init__(self, session: Any, device: str, device_id: int = 0) -> None:
        """Prepare to run on a device, as ONNX Runtime names it: `cuda`, or `cpu` to try the same way without one."""
        self._session, self._device, self._device_id = session, device, device_id
        self._kept = threading.local()
        # A CUDA graph belongs to the buffers that it was recorded with, so each has a number of its own.
        self._numbers = itertools.count(1)

    def __call__(self, images_nhwc: NDArray[np.uint8]) -> Answers:
        """Run the graph."""
        buffers = self._buffers(images_nhwc.shape)
        buffers.image.update_inplace(np.ascontiguousarray(images_nhwc))
        self._session.run_with_iobinding(buffers.binding, buffers.options)
        # A copy in any case: whoever has an answer keeps it, and the next frame comes into the same buffer.
        maps, reconstructions = (np.array(output.numpy()) for output in buffers.outputs)
        return maps, reconstructions

    def _buffers(self, shape: tuple[int, ...]) -> _Buffers:
        kept: dict[int, _Buffers] = self._kept.__dict__.setdefault("by_batch", {})
        if shape[0] not in kept:
            if len(kept) == _MOST_SIZES:
                del kept[next(iter(kept))]
            kept[shape[0]] = self._make(shape)
        return kept[shape[0]]

    def _make(self, shape: tuple[int, ...]) -> _Buffers:
        binding = self._session.io_binding()
        image = self._value(shape, np.uint8)
        binding.bind_ortvalue_input("image", image)
        ports = {port.name: port for port in self._session.get_outputs()}
        outputs = []
        for name, dtype in zip(OUTPUTS, (np.float32, np.uint8), strict=True):
            outputs.append(self._value((shape[0], *ports[name].shape[1:]), dtype))
            binding.bind_ortvalue_output(name, outputs[-1])
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(next(self._numbers)))
        return _Buffers(image, tuple(outputs), binding, options)

    def _value(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype, self._device, self._device_id)

"""Where training runs, and in which numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from aae_detect.errors import AaeDetectError, ConfigError
from aae_train.config import Device, Precision

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt(3)."""


def choose_device(asked: Device) -> torch.device:
    """Return the device to train on; on a GPU, numbers of 32 bits are multiplied in full precision from here on.

    Raises:
        ConfigError: CUDA was asked for and is not there.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"--device cuda was asked for, torch {torch.__version__} sees no CUDA device; "
            "use --device cpu, or install torch's CUDA build and the driver"
        )
    if asked == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # Convolutions would leave out 13 of the 23 bits (TF32), and the threshold would rest on other scores than the
    # device gives. Training loses nothing: its networks run in bf16 on GPUs that have TF32.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn a GPU's lack of memory into an error that says what to do.

    Raises:
        AaeDetectError: the memory of a GPU did not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        asked = ". ".join(str(error).split(". ")[:2])
        raise AaeDetectError(
            f"the GPU's memory does not suffice ({asked}); start a new run with a smaller --batch-size or --size, or "
            "with --device cpu; where another program holds the memory, end that one and continue with --resume"
        ) from error


def uses_bf16(device: torch.device, precision: Precision) -> bool:
    """Say whether networks run in bf16: left to choose, not on hardware that would only emulate it."""
    if precision != "auto":
        return precision == "bf16"
    return _cuda_has_bf16(device) if device.type == "cuda" else _cpu_has_bf16()


def make_autocast(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """Return a fresh autocast to bf16, switched off where that is not to be used."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(device, precision))


def _cuda_has_bf16(device: torch.device) -> bool:
    """Say whether the GPU multiplies bf16 in hardware: NVIDIA's do from compute capability 8.0 (Ampere) on."""
    # A build for AMD's GPUs counts their versions otherwise; those that it supports have bf16.
    return torch.version.cuda is None or torch.cuda.get_device_capability(device) >= (8, 0)


def _cpu_has_bf16() -> bool:
    """Say whether the CPU multiplies bf16 in hardware (avx512_bf16, amx_bf16, or Arm's bf16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def to_pictures(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Take (N, H, W, 3) uint8 BGR to (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    pictures = torch.from_numpy(images).to(device, non_blocking=True).permute(0, 3, 1, 2)
    return pictures.float().div_(127.5).sub_(1.0)


def shrunk(pictures: Tensor, step: int) -> Tensor:
    """Take (N, C, H, W) to the means of step x step pixels, (N, C, H / step, W / step)."""
    if step == 1:
        return pictures
    if step == 2 and not torch.compiler.is_compiling():
        # Rows of pixels as they lie in memory: torch's pooling of few channels takes four times as long.
        count, channels, height, width = pictures.shape
        rows = pictures.permute(0, 2, 3, 1).reshape(count, height // 2, 2, width * channels).sum(dim=2)
        pairs = rows.view(count, height // 2, width // 2, 2, channels)
        return ((pairs[..., 0, :] + pairs[..., 1, :]) / 4).permute(0, 3, 1, 2)
    return F.avg_pool2d(pictures, step)


def keep_memory() -> None:
    """Have the C library keep the memory that tensors leave, instead of handing it back to the system each time.

    A training step takes and leaves the same large blocks over and over, and the system fills each new page with zeros.
    Three times in turns on two cores, medians: 103 ms a step without and 94 with this while the drawer learns, 103 and
    103 while the head does. Does nothing where the C library is not glibc.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 2**28)

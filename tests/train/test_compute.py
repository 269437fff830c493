"""In which numbers networks run."""

import pytest
import torch

from aae_train import compute
from aae_train.compute import choose_device, make_autocast, shrunk, uses_bf16
from aae_train.config import Precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("hardware", [False, True])
def test_left_to_choose_bf16_runs_where_the_hardware_has_it(hardware: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "_cpu_has_bf16", lambda: hardware)
    assert uses_bf16(CPU, "auto") is hardware
    assert all(uses_bf16(device, "bf16") and not uses_bf16(device, "fp32") for device in (CPU, CUDA))


@pytest.mark.parametrize(("capability", "has_bf16"), [((6, 1), False), ((7, 5), False), ((8, 0), True)])
def test_of_nvidias_gpus_those_from_ampere_on_have_bf16(
    capability: tuple[int, int], has_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert uses_bf16(CUDA, "auto") is has_bf16
    monkeypatch.setattr(torch.version, "cuda", None)  # AMD's count otherwise
    assert uses_bf16(CUDA, "auto")


def test_a_gpu_multiplies_all_bits_of_32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert choose_device("cpu") == CPU and torch.backends.cudnn.allow_tf32
    assert choose_device("auto") == CUDA and not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_network_runs_in_what_was_asked_for(precision: Precision, dtype: torch.dtype) -> None:
    with make_autocast(CPU, precision):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype is dtype


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("step", [1, 2, 4])
def test_means_of_pixels_are_means_however_they_lie_in_memory(layout: torch.memory_format, step: int) -> None:
    pictures = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    found = shrunk(pictures.requires_grad_(), step)
    expected = pictures.detach().view(2, 3, 8 // step, step, 12 // step, step).mean(dim=(3, 5))
    torch.testing.assert_close(found.detach(), expected)
    found.sum().backward()
    torch.testing.assert_close(pictures.grad, torch.full_like(pictures, 1 / step**2))

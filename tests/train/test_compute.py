"""In which numbers networks run."""

import pytest
import torch

from aae_train import compute
from aae_train.compute import make_autocast, uses_bf16
from aae_train.config import Precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("hardware", [False, True])
def test_left_to_choose_bf16_runs_where_the_hardware_has_it(hardware: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "_cpu_has_bf16", lambda: hardware)
    assert uses_bf16(CPU, "auto") is hardware
    assert uses_bf16(CUDA, "auto")
    assert all(uses_bf16(device, "bf16") and not uses_bf16(device, "fp32") for device in (CPU, CUDA))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_network_runs_in_what_was_asked_for(precision: Precision, dtype: torch.dtype) -> None:
    with make_autocast(CPU, precision):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype is dtype

import math

import pytest
import torch

from aae_train.mmd import (
    GAUSSIAN_SCALES,
    IMQ_SCALES,
    Kernel,
    gaussian_kernel,
    imq_kernel,
    median_square,
    mmd_squared,
    mmd_squared_biased,
    squared_distances,
)

KERNELS = [gaussian_kernel(2.0), imq_kernel(4.0)]


def brute_force(x: torch.Tensor, y: torch.Tensor, kernel: Kernel, unbiased: bool) -> float:
    def similarity(a: torch.Tensor, b: torch.Tensor) -> float:
        return kernel(((a - b) ** 2).sum()).item()

    def mean_within(rows: torch.Tensor) -> float:
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if not unbiased or i != j]
        return sum(similarity(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    across = sum(similarity(a, b) for a in x for b in y) / (len(x) * len(y))
    return mean_within(x) + mean_within(y) - 2 * across


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_estimates_are_those_of_a_double_loop(kernel: Kernel) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(7, 3).double(), torch.randn(5, 3).double() + 0.5
    assert mmd_squared(x, y, kernel).item() == pytest.approx(brute_force(x, y, kernel, unbiased=True))
    assert mmd_squared_biased(x, y, kernel).item() == pytest.approx(brute_force(x, y, kernel, unbiased=False))


@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_distributions_give_zero_on_average_and_others_do_not(kernel: Kernel) -> None:
    torch.manual_seed(0)
    same = torch.stack([mmd_squared(torch.randn(64, 2), torch.randn(64, 2), kernel) for _ in range(200)])
    standard_error = same.std() / math.sqrt(len(same))
    assert same.mean().abs() < 3 * standard_error
    apart = torch.stack([mmd_squared(torch.randn(64, 2), torch.randn(64, 2) + 1, kernel) for _ in range(20)])
    assert apart.min() > same.max()


def test_kernels_by_hand() -> None:
    assert gaussian_kernel(2.0)(torch.tensor(3.0)).item() == pytest.approx(
        sum(math.exp(-3.0 / (4.0 * s)) for s in GAUSSIAN_SCALES)
    )
    assert imq_kernel(2.0)(torch.tensor(3.0)).item() == pytest.approx(sum(2 * s / (2 * s + 3.0) for s in IMQ_SCALES))


def test_distances_and_their_median() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    expected = torch.tensor([[0.0, 25.0, 1.0], [25.0, 0.0, 18.0], [1.0, 18.0, 0.0]])
    torch.testing.assert_close(squared_distances(x, x), expected)
    assert median_square(x).item() == 18
    assert median_square(torch.zeros(4, 2)).item() > 0  # a bandwidth that can be divided by


def test_its_gradient_leads_to_the_other_distribution() -> None:
    torch.manual_seed(0)
    kernel, shift = KERNELS[1], torch.full((2,), 3.0, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        mmd_squared(torch.randn(64, 2) + shift, torch.randn(64, 2), kernel).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert shift.abs().max() < 0.2

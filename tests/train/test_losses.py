"""Each loss against a value worked out by hand, or against a closed form."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from aae_train.losses import (
    AdversarialLoss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    kl_to_standard_normal,
    reconstruction_loss,
    told_apart,
)
from aae_train.vae import negative_elbo


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


REAL, FAKE = [1.5, -0.5], [0.25, -2.0]


def test_reconstruction() -> None:
    picture = torch.zeros(1, 3, 2, 2)
    drawn = torch.zeros(1, 3, 2, 2)
    drawn[0, 0, 0, 0], drawn[0, 2, 1, 1] = 0.6, -0.3
    assert reconstruction_loss(picture, drawn).item() == pytest.approx((0.6 + 0.3) / 12 + 4 * (0.36 + 0.09) / 12)


def test_non_saturating() -> None:
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    expected = -sum(math.log(sigmoid(r)) for r in REAL) / 2 - sum(math.log(1 - sigmoid(f)) for f in FAKE) / 2
    assert discriminator_loss("non-saturating", real, fake).item() == pytest.approx(expected, rel=1e-6)
    expected = -sum(math.log(sigmoid(f)) for f in FAKE) / 2
    assert generator_loss("non-saturating", real, fake).item() == pytest.approx(expected, rel=1e-6)


def test_relativistic() -> None:
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    expected = -sum(math.log(sigmoid(r - f)) for r, f in zip(REAL, FAKE, strict=True)) / 2
    assert discriminator_loss("relativistic", real, fake).item() == pytest.approx(expected, rel=1e-6)
    expected = -sum(math.log(sigmoid(f - r)) for r, f in zip(REAL, FAKE, strict=True)) / 2
    assert generator_loss("relativistic", real, fake).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("kind", "discriminator"), [("non-saturating", math.log(4)), ("relativistic", math.log(2))])
def test_what_it_costs_when_nothing_can_be_told(kind: AdversarialLoss, discriminator: float) -> None:
    zero = torch.zeros(8)
    assert discriminator_loss(kind, zero, zero).item() == pytest.approx(discriminator)
    assert generator_loss(kind, zero, zero).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("kind", ["non-saturating", "relativistic"])
def test_the_generator_still_has_a_gradient_when_the_discriminator_has_won(kind: AdversarialLoss) -> None:
    fake = torch.full((4,), -50.0, requires_grad=True)
    generator_loss(kind, torch.full((4,), 50.0), fake).backward()
    assert fake.grad is not None
    assert fake.grad.tolist() == pytest.approx([-0.25] * 4)


def test_the_penalty_of_a_quadratic() -> None:
    """d = sum of w x^2 has the gradient 2 w x."""
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    w = torch.tensor([0.5, 2.0], requires_grad=True)
    penalty = gradient_penalty((w * x.square()).sum(dim=1), x)
    assert penalty.item() == pytest.approx(((1 + 64) + (9 + 16)) / 2)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None
    assert w.grad.tolist() == pytest.approx([4 * (1 + 9) * 2 * 0.5 / 2, 4 * (4 + 1) * 2 * 2.0 / 2])


def test_kl_is_that_of_torch() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)
    assert kl_to_standard_normal(torch.zeros(1, 7), torch.zeros(1, 7)).item() == 0


def test_the_elbo_by_hand() -> None:
    """mse 0.01, KL 6 nat, 12 numbers: (6 ln 0.01 + 6) / 12."""
    found = negative_elbo(torch.tensor(0.01), torch.tensor(6.0), 12)
    assert found.item() == pytest.approx(0.5 * math.log(0.01) + 0.5, rel=1e-5)


def test_the_elbo_is_a_gaussian_likelihood_with_its_best_variance() -> None:
    """No other variance makes the picture likelier, and the constant that is left out is (1 + ln 2 pi) / 2."""
    torch.manual_seed(0)
    picture, drawn = torch.randn(4, 30), torch.randn(4, 30)
    mse = (picture - drawn).square().mean()

    def per_number(variance: float) -> float:
        return -Normal(drawn, variance**0.5).log_prob(picture).mean().item()

    best = min(per_number(mse.item() * factor) for factor in (0.8, 0.95, 1.0, 1.05, 1.25))
    assert best == per_number(mse.item())
    assert negative_elbo(mse, torch.tensor(0.0), 30).item() + 0.5 * (1 + math.log(2 * math.pi)) == pytest.approx(best)


def test_told_apart() -> None:
    assert told_apart(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 1.0, 2.0])).item() == pytest.approx(0.5)
    assert told_apart(torch.ones(3), torch.zeros(3)).item() == 1

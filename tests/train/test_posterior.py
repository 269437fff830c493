import pytest
import torch

from aae_train.posterior import ENCODERS, EncoderKind, Gaussian, make_posterior

FEATURES = torch.randn(5, 6, 2, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ENCODERS)
def test_without_noise_the_answer_is_that_of_zeros(kind: EncoderKind) -> None:
    torch.manual_seed(0)
    posterior = make_posterior(kind, 6, (4, 2, 3))
    code = posterior(FEATURES)
    assert code.shape == (5, 4 * 2 * 3)
    torch.testing.assert_close(code, posterior(FEATURES, torch.zeros(5, posterior.noise_dim)))
    assert (posterior.noise_dim == 0) == (kind == "deterministic")


@pytest.mark.parametrize("kind", ["gaussian", "universal"])
def test_other_noise_gives_another_code(kind: EncoderKind) -> None:
    torch.manual_seed(0)
    posterior = make_posterior(kind, 6, (4, 2, 3))
    first, second = (posterior(FEATURES, torch.randn(5, posterior.noise_dim)) for _ in range(2))
    assert (first - second).abs().min() > 0


def test_a_gaussian_posterior_has_the_mean_and_variance_that_it_says() -> None:
    torch.manual_seed(0)
    posterior = Gaussian(6, (2, 1, 1))
    torch.nn.init.normal_(posterior.log_variance.weight, std=0.3)
    features = FEATURES[:1, :, :1, :1]
    mean, log_variance = posterior.moments(features)
    codes = posterior(features.expand(20000, -1, -1, -1), torch.randn(20000, 2))
    torch.testing.assert_close(codes.mean(dim=0), mean[0], atol=0.01, rtol=0)
    torch.testing.assert_close(codes.var(dim=0), log_variance[0].exp(), atol=0, rtol=0.05)


def test_noise_moves_the_place_that_it_belongs_to() -> None:
    """Flat noise is laid out like the flat code: (numbers, down, across)."""
    torch.manual_seed(0)
    for kind in ("gaussian", "universal"):
        posterior = make_posterior(kind, 6, (4, 2, 3))  # type: ignore[arg-type]
        noise = torch.zeros(1, posterior.noise_channels, 2, 3)
        noise[0, :, 1, 2] = 1.0
        moved = (posterior(FEATURES[:1], noise.flatten(1)) - posterior(FEATURES[:1])).view(4, 2, 3).abs().sum(dim=0)
        assert moved[1, 2] > 0
        assert moved.sum() == moved[1, 2]

"""One training step: who learns, who keeps still, and that the losses are what their formulas say."""

import math

import pytest
import torch

from aae_train.aae import AdversarialAutoencoder, Optimizers, frozen, train_step
from aae_train.config import TrainConfig
from aae_train.losses import discriminator_loss, generator_loss, reconstruction_loss
from aae_train.start import scale_to_data

CONFIG = TrainConfig(data="x", input_hw=(32, 32), latent_channels=4)
EXACT = torch.autocast("cpu", enabled=False)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_reconstruction_loss_by_hand() -> None:
    picture = torch.zeros(1, 3, 2, 2)
    drawn = torch.zeros(1, 3, 2, 2)
    drawn[0, 0, 0, 0], drawn[0, 2, 1, 1] = 0.6, -0.3
    assert reconstruction_loss(picture, drawn).item() == pytest.approx((0.6 + 0.3) / 12 + 4 * (0.36 + 0.09) / 12)


def test_the_adversarial_losses_by_hand() -> None:
    prior, code = [1.5, -0.5], [0.25, -2.0]
    expected = -sum(math.log(sigmoid(p)) for p in prior) / 2 - sum(math.log(1 - sigmoid(c)) for c in code) / 2
    assert discriminator_loss(torch.tensor(prior), torch.tensor(code)).item() == pytest.approx(expected, rel=1e-6)
    expected = -sum(math.log(sigmoid(c)) for c in code) / 2
    assert generator_loss(torch.tensor(code)).item() == pytest.approx(expected, rel=1e-6)


def test_a_discriminator_that_cannot_tell_costs_log_4_and_log_2() -> None:
    zero = torch.zeros(8)
    assert discriminator_loss(zero, zero).item() == pytest.approx(math.log(4))
    assert generator_loss(zero).item() == pytest.approx(math.log(2))


def test_the_generator_still_has_a_gradient_when_the_discriminator_has_won() -> None:
    logits = torch.full((4,), -50.0, requires_grad=True)
    generator_loss(logits).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([-0.25] * 4)


def test_each_player_steps_alone_with_the_others_frozen() -> None:
    """Watched from inside the optimizers: at each step only the player's own networks hold gradients."""
    torch.manual_seed(0)
    model = AdversarialAutoencoder(CONFIG)
    optimizers = Optimizers(model, CONFIG)
    seen: list[tuple[str, set[str]]] = []
    for name, optimizer in optimizers.named().items():

        def look(*_: object, name: str = name) -> None:
            with_gradient = {
                part for part, net in model.named_children() if any(p.grad is not None for p in net.parameters())
            }
            seen.append((name, with_gradient))

        optimizer.register_step_pre_hook(look)
    picture = torch.rand(4, 3, 32, 32)
    train_step(model, optimizers, picture, picture, torch.randn(4, CONFIG.latent_dim), EXACT)
    assert seen == [
        ("reconstruction", {"encoder", "decoder"}),
        ("discriminator", {"discriminator"}),
        ("generator", {"encoder"}),
    ]
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("player", "changes"),
    [
        ("reconstruction", {"encoder", "decoder"}),
        ("discriminator", {"discriminator"}),
        ("generator", {"encoder"}),
    ],
)
def test_a_players_step_changes_its_own_networks_only(player: str, changes: set[str]) -> None:
    torch.manual_seed(0)
    model = AdversarialAutoencoder(CONFIG)
    optimizers = Optimizers(model, CONFIG)
    for name, optimizer in optimizers.named().items():
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 if name == player else 0.0
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    picture = torch.rand(4, 3, 32, 32)
    train_step(model, optimizers, picture, picture, torch.randn(4, CONFIG.latent_dim), EXACT)
    changed = {
        name.split(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == changes


def test_frozen_thaws_even_after_an_error() -> None:
    model = AdversarialAutoencoder(CONFIG)
    with pytest.raises(RuntimeError, match="inside"), frozen(model.encoder):
        assert not any(p.requires_grad for p in model.encoder.parameters())
        raise RuntimeError("inside")
    assert all(p.requires_grad for p in model.encoder.parameters())


def test_it_learns_to_draw() -> None:
    """A few seconds of training on four flat colours."""
    torch.manual_seed(0)
    config = TrainConfig(data="x", input_hw=(32, 32), latent_channels=2)
    model = AdversarialAutoencoder(config)
    optimizers = Optimizers(model, config)
    colours = torch.rand(4, 3, 1, 1) * 2 - 1
    scale_to_data(model, colours.expand(-1, -1, 32, 32))
    losses = []
    for _ in range(200):
        picture = colours[torch.arange(8) % 4].expand(-1, -1, 32, 32).contiguous()
        picture = picture + 0.05 * torch.randn(8, 3, 32, 32)
        losses.append(
            train_step(model, optimizers, picture, picture, torch.randn(8, config.latent_dim), EXACT).reconstruction
        )
    assert sum(losses[-20:]) < 0.35 * sum(losses[:20])

"""Who learns in each phase of each family, and that the others keep still."""

from __future__ import annotations

import pytest
import torch

from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.families import make_model
from aae_train.family import GenerativeModel, Pictures
from aae_train.players import Players, frozen
from aae_train.processes import Processes

EXPECTED = {
    ("aae", "all"): [
        ("reconstruction", {"encoder", "decoder"}),
        ("discriminator", {"discriminator"}),
        ("generator", {"encoder"}),
    ],
    ("vae", "all"): [("reconstruction", {"encoder", "decoder"})],
    ("wae-mmd", "all"): [("reconstruction", {"encoder", "decoder"})],
    ("gan", "adversary"): [("discriminator", {"discriminator"}), ("generator", {"decoder"})],
    ("gan", "encoder"): [("encoder", {"encoder"})],
    ("gmmn", "generator"): [("generator", {"decoder"})],
    ("gmmn", "encoder"): [("encoder", {"encoder"})],
    ("gmmn-ae", "all"): [("reconstruction", {"encoder", "decoder"}), ("generator", {"to_code"})],
}
"""Players in the order of their steps, and the networks that each teaches."""

CASES = [
    (family, phase, loss)
    for family, phase in EXPECTED
    for loss in (("relativistic", "non-saturating") if family in ("aae", "gan") else ("relativistic",))
]


def make(family: str, loss: str) -> tuple[GenerativeModel, Players, TrainConfig]:
    torch.manual_seed(0)
    config = TrainConfig(data="x", model=family, input_hw=(32, 32), latent="4", adversarial_loss=loss)  # type: ignore[arg-type]
    model = make_model(config)
    model.start(torch.rand(8, 3, 32, 32) * 2 - 1, torch.randn(8, 4))
    return model, Players(model.players(config), Processes("cpu")), config


def take_step(model: GenerativeModel, players: Players, config: TrainConfig, phase: str, number: int = 0) -> None:
    generator = torch.Generator().manual_seed(number)
    picture = torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1
    draw = Draw(config.make_prior(), model.prior_chw, 0, 0, number, players.processes)
    model.step(phase, Pictures(picture, picture), draw, players)


def test_every_phase_of_every_family_is_here() -> None:
    phases = {(name, phase.name) for name, _ in EXPECTED for phase in make(name, "relativistic")[0].phases}
    assert phases == set(EXPECTED)


@pytest.mark.parametrize("family", sorted({family for family, _ in EXPECTED}))
def test_phases_add_up_to_the_budget_and_the_last_one_selects(family: str) -> None:
    phases = make(family, "relativistic")[0].phases
    assert sum(phase.share for phase in phases) == pytest.approx(1)
    assert phases[-1].selects


@pytest.mark.parametrize(("family", "phase", "loss"), CASES)
def test_each_player_steps_alone_with_the_others_frozen(family: str, phase: str, loss: str) -> None:
    """Watched from inside the optimizers: at each step only the player's own networks hold gradients."""
    model, players, config = make(family, loss)
    seen: list[tuple[str, set[str]]] = []
    for name, optimizer in players.named().items():

        def look(*_: object, name: str = name) -> None:
            with_gradient = {
                part for part, net in model.named_children() if any(p.grad is not None for p in net.parameters())
            }
            seen.append((name, with_gradient))

        optimizer.register_step_pre_hook(look)
    take_step(model, players, config, phase)
    assert seen == EXPECTED[family, phase]
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.parametrize(("family", "phase", "loss"), CASES)
def test_a_players_step_changes_its_own_networks_only(family: str, phase: str, loss: str) -> None:
    for player, networks in EXPECTED[family, phase]:
        model, players, config = make(family, loss)
        for name, optimizer in players.named().items():
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 if name == player else 0.0
        before = {name: tensor.clone() for name, tensor in model.named_parameters()}
        take_step(model, players, config, phase)
        changed = {
            name.split(".")[0] for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])
        }
        assert changed == networks


def test_frozen_thaws_even_after_an_error() -> None:
    model, _, _ = make("aae", "relativistic")
    with pytest.raises(RuntimeError, match="inside"), frozen(model.encoder):
        assert not any(p.requires_grad for p in model.encoder.parameters())
        raise RuntimeError("inside")
    assert all(p.requires_grad for p in model.encoder.parameters())


@pytest.mark.parametrize("family", ["aae", "vae", "wae-mmd", "gmmn-ae"])
def test_it_learns_to_draw(family: str) -> None:
    """A few seconds of training on flat colours."""
    model, players, config = make(family, "relativistic")
    colours = torch.rand(4, 3, 1, 1, generator=torch.Generator().manual_seed(1)) * 2 - 1
    pictures = colours[torch.arange(8) % 4].expand(-1, -1, 32, 32).contiguous()
    model.start(pictures, torch.randn(8, 4))
    losses = []
    for step in range(120):
        draw = Draw(config.make_prior(), model.prior_chw, 0, 0, step, players.processes)
        losses.append(model.step("all", Pictures(pictures, pictures), draw, players)["reconstruction"])
    assert sum(losses[-10:]) < 0.35 * sum(losses[:10])


def test_places_are_chosen_by_chance_and_alike_in_all_processes() -> None:
    config = TrainConfig(data="x")
    chosen = [
        Draw(config.make_prior(), (8, 16, 16), 0, 0, step, Processes("cpu")).choose(64 * 256, 1024)
        for step in (3, 3, 4)
    ]
    assert (chosen[0] == chosen[1]).all() and (chosen[0] != chosen[2]).any()
    assert len(chosen[0].unique()) == 1024
    assert len((chosen[0] % 16).unique()) == 16, "of every column of the grid"
    few = Draw(config.make_prior(), (8, 16, 16), 0, 0, 0, Processes("cpu")).choose(5, 1024)
    assert few.tolist() == [0, 1, 2, 3, 4]

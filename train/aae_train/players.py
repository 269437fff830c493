"""Who learns when: an optimizer per player, and the others kept still while one takes its step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aae_train.compute import make_autocast
from aae_train.config import Precision
from aae_train.processes import Processes


@dataclass(frozen=True)
class Player:
    """What one optimizer teaches, and how fast."""

    networks: tuple[nn.Module, ...]
    lr: float
    """Peak learning rate of Adam."""

    beta1: float = 0.9
    """Momentum; lower for players that answer each other, whom momentum makes circle (DCGAN, arXiv 1511.06434)."""


class Players:
    """The optimizers of a model, by player."""

    def __init__(self, players: dict[str, Player], processes: Processes, precision: Precision = "auto") -> None:
        """Make an optimizer for each.

        Args:
            players: By name.
            processes: Who shares the run; gradients are averaged over them.
            precision: Of the networks, see `TrainConfig`.
        """
        self.processes = processes
        self._precision: Precision = precision
        self._players = players
        self._parameters = {
            name: [p for network in player.networks for p in network.parameters()] for name, player in players.items()
        }
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(self._parameters[name], lr=player.lr, betas=(player.beta1, 0.99), fused=True)
            for name, player in players.items()
        }

    def named(self) -> dict[str, torch.optim.Optimizer]:
        """All optimizers, by player."""
        return dict(self._optimizers)

    def set_rate(self, share_of_peak: float) -> None:
        """Set every learning rate to a share of its peak, 0 to 1."""
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self._players[name].lr * share_of_peak

    def autocast(self) -> torch.autocast:
        """Return what to enter around networks; losses are computed in fp32."""
        return make_autocast(self.processes.device, self._precision)

    def descend(self, player: str, loss: Tensor) -> None:
        """Let one player take a step down a loss; no other network may hold a gradient."""
        optimizer = self._optimizers[player]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(self._parameters[player])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Keep networks still: inside, no gradient is computed for their parameters."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


def count_parameters(networks: Iterable[nn.Module]) -> int:
    """Return how many numbers the networks hold."""
    return sum(p.numel() for network in networks for p in network.parameters())

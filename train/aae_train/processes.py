"""The processes that share a run: one alone, or several that `torchrun` started, on one machine or on many.

Lightning Fabric joins them and carries their messages. Weights start equal, every process computes its share of a
batch, and gradients are averaged before each step, so weights stay equal: nothing needs to be wrapped.

The first process leads: it alone reads and writes the run folder and speaks to the user, so that other machines need
the pictures and nothing else. Whoever does not answer for `PATIENCE` has gone, and the run ends (`ProcessLost`).
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor

from aae_detect.errors import AaeDetectError, ConfigError
from aae_train.compute import choose_device, keep_memory
from aae_train.config import Device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(seconds=20)
"""How long a process waits for the others: longer than a step takes; what takes longer is done `together`. Where one of
them hangs, `torchrun` takes up to 30 seconds more to end it; all in all the run ends within a minute."""

_BEAT = 1.0
"""Seconds between two signs of life during work that may take longer than `PATIENCE`."""

_T = TypeVar("_T")


class ProcessLost(AaeDetectError):
    """Another process of the run went away; what was checkpointed can be resumed."""


class Processes:
    """This process among those that share a run."""

    def __init__(self, device: Device) -> None:
        """Join the others; alone, there is nothing to join.

        Args:
            device: What the user asked for.

        Raises:
            ConfigError: the device is not there, or the processes were started in a way that cannot work.
            ProcessLost: the others do not answer.
        """
        self.device = choose_device(device)
        """Where this process computes."""
        if self.device.type == "cpu":
            keep_memory()

        self.rank, self.count = 0, 1
        """Number of this process, from 0, and how many there are."""
        self._fabric: Fabric | None = None
        self._told: AaeDetectError | None = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._fabric = fabric = _join(self.device.type)
            self.device, self.rank, self.count = fabric.device, fabric.global_rank, fabric.world_size

    @property
    def leads(self) -> bool:
        """Say whether this is the process that reads and writes the run folder and speaks to the user."""
        return self.rank == 0

    def tells(self, error: AaeDetectError) -> bool:
        """Say whether the user should hear of an error from this process: not where the leader has it too."""
        return self.leads or error is not self._told

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one message."""
        if self._fabric is None:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        mean = self._reduce(torch.cat([gradient.reshape(-1) for gradient in gradients]), "mean")
        at = 0
        for gradient in gradients:
            gradient.copy_(mean[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, (count * N, ...), in the order of the processes.

        A gradient reaches back into this process's own rows, `count` times as large: every process computes the same
        loss of all rows, and their mean, which `average_gradients` takes, is to be the gradient of that one loss.
        """
        if self._fabric is None:
            return rows
        own = rows.detach()
        everybody = own.new_zeros(self.count, *own.shape)
        everybody[self.rank] = own
        everybody = self._reduce(everybody, "sum")
        if rows.requires_grad:
            # The added zero carries the gradient.
            mine = own + self.count * (rows - own)
            everybody = torch.cat([everybody[: self.rank], mine[None], everybody[self.rank + 1 :]])
        return everybody.flatten(0, 1)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Return the mean of each value over the processes: the same numbers in all of them."""
        if self._fabric is None:
            return values
        mean = self._reduce(torch.tensor(list(values.values()), dtype=torch.float64, device=self.device), "mean")
        return dict(zip(values, mean.tolist(), strict=True))

    def agree(self, value: _T) -> _T:
        """Return the leader's value in every process."""
        return self._broadcast(value, 0)

    def together(self, work: Callable[[], _T]) -> _T:
        """Do what may fail, or take long, in every process; go on when all have done it.

        Args:
            work: Sends no messages itself. It runs on a thread of its own, while this one shows signs of life.

        Raises:
            AaeDetectError: one of the processes failed; all raise its error.
        """
        if self._fabric is None:
            return work()
        outcome: Future[_T] = Future()
        threading.Thread(target=_fulfil, args=(outcome, work), daemon=True).start()
        while True:
            wait([outcome], timeout=_BEAT)
            state = torch.zeros(2, self.count, device=self.device)
            state[0, self.rank] = outcome.done()
            state[1, self.rank] = outcome.done() and outcome.exception() is not None
            done, failed = self._reduce(state, "sum").bool().tolist()
            if any(failed):
                self._raise_everywhere(failed.index(True), outcome)
            if all(done):
                return outcome.result()

    def lead(self, work: Callable[[], _T]) -> _T:
        """Let the leader alone do something; its answer, or its error, is everybody's."""
        done = self.together(lambda: work() if self.leads else None)
        return self.agree(done)  # type: ignore[return-value]  # the leader's is never the None of the others

    def leave(self) -> None:
        """Part from the others, when all is done; they end without waiting for this process."""
        if self._fabric is None:
            return
        # When the first one has ended in any way but well, `torchrun` ends the others, each of which is about to end
        # with a code of its own.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self._told is not None:  # all come here, with the same error: none ends before all are deaf to that signal
            with suppress(ProcessLost):
                self._reduce(torch.zeros(1, device=self.device), "sum")
        torch.distributed.destroy_process_group()

    def _raise_everywhere(self, source: int, outcome: Future[_T]) -> None:
        """Raise the error of one process in all of them; only the leader is to tell the user."""
        mine = outcome.exception() if self.rank == source else None
        text = f"{type(mine).__name__}: {mine}"
        if isinstance(mine, AaeDetectError):
            text = str(mine) if source == 0 else f"process {source}, on {socket.gethostname()}: {mine}"
        kind = type(mine) if isinstance(mine, AaeDetectError) else ProcessLost
        kind, text = self._broadcast((kind, text), source)
        self._told = mine if isinstance(mine, AaeDetectError) else kind(text)
        raise mine or self._told

    def _reduce(self, tensor: Tensor, how: str) -> Tensor:
        fabric = self._fabric
        assert fabric is not None  # callers return early where there is nobody to talk to
        return self._exchange(lambda: cast(Tensor, fabric.all_reduce(tensor, reduce_op=how)))

    def _broadcast(self, value: _T, source: int) -> _T:
        fabric = self._fabric
        if fabric is None:
            return value
        return self._exchange(lambda: fabric.broadcast(value, src=source))

    def _exchange(self, send: Callable[[], _T]) -> _T:
        try:
            return send()
        except RuntimeError as error:  # what torch raises when a connection breaks or patience ends
            raise ProcessLost(
                f"process {self.rank} of {self.count} lost contact with the others ({_first_line(error)}); what was "
                "saved last is whole: start the same command again with --resume"
            ) from error


def _join(device_type: str) -> Fabric:
    """Find the other processes."""
    local = _check_start(device_type)
    # Imported here: a process that is alone has no use for it, and it takes a second.
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    # It announces itself and gives advice; a run says what matters in its own words.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # NCCL would end the process without a word; so it raises an error, which is told.
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    backend = "nccl" if device_type == "cuda" else "gloo"
    strategy = DDPStrategy(process_group_backend=backend, timeout=PATIENCE)
    machines = int(os.environ["WORLD_SIZE"]) // local
    fabric = Fabric(accelerator=device_type, devices=local, num_nodes=machines, strategy=strategy)
    try:
        fabric.launch()
    except RuntimeError as error:  # what torch raises where nobody answers
        raise ProcessLost(
            f"the other processes do not answer at {os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} "
            f"({_first_line(error)}); start `torchrun` on every machine, with the same --device"
        ) from error
    return fabric


def _check_start(device_type: str) -> int:
    """Refuse a start that cannot work; returns how many processes there are on this machine."""
    count, local, machines = (
        int(os.environ.get(name, "0")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")
    )
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        raise ConfigError(
            f"WORLD_SIZE={count} is set, but not by torchrun; start with `torchrun -m aae_train.cli`, or unset it"
        )
    if local * machines != count:
        raise ConfigError(
            f"{local} of {count} processes are on this machine, one of {machines}; start equally many on each, with "
            "the same --nproc-per-node"
        )
    if device_type == "cuda":
        # A machine may hand each process one device of its own: then there is one, whatever the number of processes.
        found = torch.cuda.device_count()
        if int(os.environ["LOCAL_RANK"]) >= found or 1 < found < local:
            raise ConfigError(
                f"{local} processes were started on this machine, torch sees {found} CUDA devices, and each needs its "
                f"own; give --nproc-per-node {found}, or --device cpu"
            )
    return local


def _fulfil(outcome: Future[_T], work: Callable[[], _T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:
        outcome.set_exception(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]

"""Tensors and JSON in one file, written so that a reader finds either the old file or the new one, whole.

safetensors holds no code, unlike pickle; JSON travels in its header.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from aae_detect.errors import AaeDetectError, ConfigError
from aae_train.players import Players

_HEADER = "aae_train"


def write_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, Any]) -> None:
    """Write tensors and notes; the file appears whole or not at all, whenever the process is killed.

    Raises:
        AaeDetectError: the disk takes it not; the file that was there is still there, and no half one beside it.
    """
    temporary = path.with_name(path.name + ".part")
    # clone: safetensors refuses tensors that share memory; contiguous: it stores no strides.
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(ready, temporary, metadata={_HEADER: json.dumps(notes)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (SafetensorError, OSError) as error:
        with suppress(OSError):  # half a file would keep a full disk full
            temporary.unlink()
        raise AaeDetectError(
            f"{path} cannot be written ({error}); is the disk of {path.parent} full? Make room there, then continue "
            "with --resume"
        ) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        ConfigError: the file is missing, damaged, or not written by aae-train.
    """
    try:
        # Read at once: safe_open opens a path twice, and between the two a run may have put a new file in its place.
        content = path.read_bytes()
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        notes = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_HEADER])
        return tensors, notes
    except FileNotFoundError as error:
        raise ConfigError(f"no file {path}; was the run finished?") from error
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ConfigError(f"{path} is not a file of aae-train or is damaged: {error}") from error


def pack_training(networks: nn.Module, players: Players) -> dict[str, Tensor]:
    """Collect all that the next step depends on: weights, optimizers' moments, torch's random state."""
    tensors = {f"networks.{name}": tensor for name, tensor in networks.state_dict().items()}
    for player, optimizer in players.named().items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{player}.{index}.{name}": tensor for name, tensor in state.items()}
    tensors["random_state"] = torch.get_rng_state()
    return tensors


def unpack_training(tensors: dict[str, Tensor], networks: nn.Module, players: Players) -> None:
    """Put back what `pack_training` collected."""
    prefix = "networks."
    networks.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    for player, optimizer in players.named().items():
        fresh = optimizer.state_dict()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        prefix = f"optimizer.{player}."
        for key, tensor in tensors.items():
            if key.startswith(prefix):
                index, name = key.removeprefix(prefix).split(".")
                # As its parameter lies in memory: the same layout runs the same instructions and rounds the same way.
                like = parameters[int(index)]
                moment = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
                state.setdefault(int(index), {})[name] = moment
        optimizer.load_state_dict({"state": state, "param_groups": fresh["param_groups"]})
    torch.set_rng_state(tensors["random_state"])

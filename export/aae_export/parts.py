"""The files beside the detector: encoder, decoder, generator and, where there is one, discriminator."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aae_export.fold import fold
from aae_export.onnx_file import write_onnx
from aae_export.parity import Difference, compare
from aae_train.detector_graph import (
    DecoderGraph,
    EncoderGraph,
    GeneratorGraph,
    LatentDiscriminatorGraph,
    PictureDiscriminatorGraph,
)
from aae_train.family import GenerativeModel
from aae_train.run_folder import TrainedModel

PART_KEY = "aae_detect.part"
"""Metadata key of these files; `aae_detect.part_file` reads what stands under it."""


@dataclass(frozen=True)
class _Part:
    role: str
    module: nn.Module
    inputs: dict[str, list[NDArray[Any]]]
    """Examples by input name, without a batch axis."""
    outputs: list[str]
    latent_chw: tuple[int, int, int]


def write_parts(folder: Path, trained: TrainedModel, images: Sequence[NDArray[np.uint8]]) -> list[Difference]:
    """Write every part and compare it with the trained model.

    Args:
        folder: Exists.
        trained: The run.
        images: At least four real pictures at model size, HxWx3 uint8 BGR.
    """
    differences = []
    for part in _parts(trained, images):
        path = folder / f"{part.role}.onnx"
        examples = {name: torch.from_numpy(np.stack(rows[:2])) for name, rows in part.inputs.items()}
        write_onnx(path, fold(part.module.eval()), examples, part.outputs, {PART_KEY: json.dumps(_note(part, trained))})
        differences += compare(part.role, path, part.module, part.inputs, part.outputs)
    return differences


def _parts(trained: TrainedModel, images: Sequence[NDArray[np.uint8]]) -> list[_Part]:
    model = trained.model
    chw, prior_chw = model.decoder.latent_chw, model.prior_chw
    rng = np.random.default_rng(0)
    encoder = EncoderGraph(model.encoder, trained.config.inside).eval()
    inputs: dict[str, list[NDArray[Any]]] = {"image": list(images)}
    if noise_dim := model.encoder.noise_dim:
        inputs["noise"] = list(rng.standard_normal((len(images), noise_dim), np.float32))
    with torch.no_grad():
        codes = list(encoder(*(torch.from_numpy(np.stack(rows)) for rows in inputs.values())).numpy())
    samples: list[NDArray[Any]] = list(trained.prior.sample_codes(len(images), prior_chw, rng))
    parts = [
        _Part("encoder", encoder, inputs, ["latent"], chw),
        _Part("decoder", DecoderGraph(model.decoder), {"latent": codes}, ["reconstruction"], chw),
        _Part("generator", GeneratorGraph(model), {"prior_sample": samples}, ["picture"], prior_chw),
    ]
    return parts + _discriminators(model, codes, list(images))


def _discriminators(model: GenerativeModel, codes: list[NDArray[Any]], images: list[NDArray[np.uint8]]) -> list[_Part]:
    chw = model.decoder.latent_chw
    if (of_codes := model.latent_discriminator) is not None:
        return [_Part("discriminator", LatentDiscriminatorGraph(of_codes), {"latent": codes}, ["logit"], chw)]
    if (of_pictures := model.picture_discriminator) is not None:
        graph = PictureDiscriminatorGraph(of_pictures)
        return [_Part("discriminator", graph, {"image": [*images]}, ["logit", "features"], chw)]
    return []


def _note(part: _Part, trained: TrainedModel) -> dict[str, Any]:
    config = trained.config
    channels, height, width = part.latent_chw
    note = {
        "role": part.role,
        "family": config.model,
        "prior": trained.prior.name,
        "latent_dim": channels * height * width,
        "latent_chw": part.latent_chw,
        "noise_dim": trained.model.encoder.noise_dim,
        "input_hw": config.input_hw,
        "drawing_step": config.layout.drawing_step,
        "fit": config.fit,
        "bits": config.bits or 16,
        "pictures": "uint8 NHWC BGR",
        "weights_sha256": trained.weights_sha256,
    }
    if trained.prior.bank is not None:
        samples = np.ascontiguousarray(trained.prior.bank, "<f4")
        note["prior_bank"] = base64.b64encode(samples.tobytes()).decode("ascii")
    return note

"""anomalib's models with random weights, as ONNX files. Imported by `peer_worker.py`, in the peers' environment."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

RESNET_LAYERS = ("layer1", "layer2", "layer3")
PATCHCORE_BANK = 20_000
"""Descriptors in the memory bank: a coreset of 10 % of some 200 pictures at 256x256."""

OPSET = 17


def import_anomalib() -> None:
    """Import torchvision, whose operators may not load, and then anomalib.

    The compiled operators of a torchvision that was built for CUDA do not load beside a torch without it, and then not
    even its import works: it describes an operator that nobody has declared. None of the models here calls one, so
    declaring them is enough.

    Raises:
        ModuleNotFoundError: a package is missing.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
    import anomalib.models  # noqa: F401


def export_peer(name: str, size_hw: tuple[int, int], path: Path) -> int:
    """Write a peer's network as ONNX, batch 1, all outputs of its inference.

    Args:
        name: One of `PEERS`.
        size_hw: Of the input, (1, 3, H, W) float32.
        path: The file to write.

    Returns:
        How many parameters it has.
    """
    import_anomalib()
    import timm
    import torch

    create = timm.create_model

    def create_without_weights(*args: Any, **settings: Any) -> Any:
        return create(*args, **(settings | {"pretrained": False}))

    torch.manual_seed(0)
    # Some of the models fetch a backbone's weights whatever they are told; the time does not depend on them.
    with warnings.catch_warnings(), torch.no_grad(), mock.patch.object(timm, "create_model", create_without_weights):
        warnings.simplefilter("ignore")  # of tracing
        model = PEERS[name](size_hw).eval()
        for module in model.modules():
            # Some start as zeros, and a branch that gives nothing is not what a trained model has.
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        example = torch.rand(1, 3, *size_hw)
        torch.onnx.export(model, (example,), str(path), input_names=["image"], opset_version=OPSET, dynamo=False)
    return sum(parameter.numel() for parameter in model.parameters())


def _stfpm(size_hw: tuple[int, int]) -> Any:
    from anomalib.models.image.stfpm.torch_model import STFPMModel

    return STFPMModel(layers=RESNET_LAYERS, backbone="resnet18")


def _padim(size_hw: tuple[int, int]) -> Any:
    import torch
    from anomalib.models.image.padim.torch_model import PadimModel

    model = PadimModel(layers=list(RESNET_LAYERS), backbone="resnet18")
    places = size_hw[0] // 4 * (size_hw[1] // 4)
    model.gaussian.mean = torch.randn(model.n_features, places)
    model.gaussian.inv_covariance = torch.randn(places, model.n_features, model.n_features)
    return model


def _efficientad(size_hw: tuple[int, int]) -> Any:
    from anomalib.models.image.efficient_ad.torch_model import EfficientAdModel, EfficientAdModelSize

    return EfficientAdModel(teacher_out_channels=384, model_size=EfficientAdModelSize.S)


def _patchcore(size_hw: tuple[int, int]) -> Any:
    import torch
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(layers=RESNET_LAYERS[1:], backbone="resnet18")
    model.memory_bank = torch.randn(PATCHCORE_BANK, sum(model.feature_extractor.out_dims))
    return model


def _ganomaly(size_hw: tuple[int, int]) -> Any:
    from anomalib.models.image.ganomaly.torch_model import GanomalyModel

    return GanomalyModel(input_size=size_hw, num_input_channels=3, n_features=64, latent_vec_size=100)


def _draem(size_hw: tuple[int, int]) -> Any:
    from anomalib.models.image.draem.torch_model import DraemModel

    return DraemModel()


def _reverse_distillation(size_hw: tuple[int, int]) -> Any:
    from anomalib.models.image.reverse_distillation.anomaly_map import AnomalyMapGenerationMode
    from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel

    return ReverseDistillationModel(
        backbone="wide_resnet50_2",
        input_size=size_hw,
        layers=RESNET_LAYERS,
        anomaly_map_mode=AnomalyMapGenerationMode.ADD,
    )


# (height, width) of the input -> torch module, on anomalib's defaults but for the backbone where it is named
PEERS: dict[str, Callable[[tuple[int, int]], Any]] = {
    "stfpm": _stfpm,
    "padim": _padim,
    "efficientad": _efficientad,
    "patchcore": _patchcore,
    "ganomaly": _ganomaly,
    "draem": _draem,
    "reverse_distillation": _reverse_distillation,
}

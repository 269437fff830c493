"""Folding: fewer operations, the same answer, and the trained model untouched."""

import pytest
import torch
from torch import nn

from aae_export.fold import FoldedLook, fold
from aae_train.config import TrainConfig
from aae_train.detector import make_detector
from aae_train.detector_graph import DetectorGraph
from aae_train.head import Look
from aae_train.networks import Residual
from aae_train.run_folder import build_graph


@pytest.fixture
def graph() -> DetectorGraph:
    """A detector whose residual layers do something, as after training."""
    torch.manual_seed(0)
    detector = make_detector(TrainConfig(data="x", input_hw=(64, 96)))
    for module in detector.modules():
        if isinstance(module, Residual):
            nn.init.normal_(module.conv.weight, std=0.05)
    return build_graph(detector.requires_grad_(False), torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1))


def test_the_answer_is_the_same(graph: DetectorGraph) -> None:
    image = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    before, after = graph(image), fold(graph)(image)
    for one, other in zip(before, after, strict=True):
        gray_level = 1.0 if one.dtype == torch.uint8 else 0.0  # which a rounding may go over
        assert torch.allclose(one.float(), other.float(), atol=max(1e-3, gray_level), rtol=1e-4)
    # Folding wrongly would show: without the 1 that stands for x, nothing is left of a residual layer's input.
    assert before[0].std() > 0.01


def test_nothing_is_left_to_fold_and_the_trained_model_stays_as_it_is(graph: DetectorGraph) -> None:
    weights = {name: tensor.clone() for name, tensor in graph.state_dict().items()}
    folded = fold(graph)
    kinds = {type(module) for module in folded.modules()}
    assert FoldedLook in kinds and not kinds & {Residual, Look}
    assert sum(isinstance(module, Residual) for module in graph.modules()) > 5
    assert all(torch.equal(weights[name], tensor) for name, tensor in graph.state_dict().items())

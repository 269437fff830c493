"""What `benchmarks/ablation.py` leaves out is really left out, and nothing else."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnxscript", reason="needs the export extra")


@pytest.fixture(scope="module")
def ablation() -> Iterator[ModuleType]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import ablation as module

    yield module
    sys.path.pop(0)


def evidence(ablation: ModuleType, name: str, drawn: "torch.Tensor", groups: tuple[int, ...] = ()) -> "torch.Tensor":
    """What the head says under a variant, of pictures that are the same each time, (2, h, w)."""
    from aae_train.family import Examples
    from aae_train.head_judge import HeadJudge

    torch.manual_seed(0)
    pictures = torch.rand(8, 3, 64, 64) * 2 - 1
    variant = next(each for each in ablation.VARIANTS if each.name == name)
    with ablation._applied(variant):
        judge = HeadJudge((64, 64))
        judge.prepare(Examples(pictures, 8, (0, 0, 1, 1, 2, 2, 3, 3)))
        with torch.no_grad():
            drawn, _, deviations = judge.compare(pictures[:2], drawn, groups)
            return judge.head(pictures[:2], drawn, deviations)[:, 0]


def test_each_part_is_left_out_alone(ablation: ModuleType) -> None:
    torch.manual_seed(1)
    drawn, other = (torch.rand(2, 3, 32, 32) * 2 - 1 for _ in range(2))
    usual = evidence(ablation, "default", drawn)
    assert (usual != evidence(ablation, "default", other)).any()
    blind = evidence(ablation, "head does not see the drawing", drawn)
    assert (blind == evidence(ablation, "head does not see the drawing", other)).all()
    for name in ("deviations", "whole pictures"):
        changed = evidence(ablation, f"head does not see the {name}".replace("the whole", "whole"), drawn)
        assert (changed != usual).any() and (changed != blind).any()
    assert (evidence(ablation, "default", drawn, (0, 0)) != usual).any()
    assert (evidence(ablation, "head is told what its own picture calls usual", drawn, (0, 0)) == usual).all()


def test_what_was_changed_is_as_before(ablation: ModuleType) -> None:
    from aae_train.defect_shapes import SHAPES
    from aae_train.head_judge import HeadJudge

    before = HeadJudge.compare, HeadJudge.combine, dict(SHAPES)
    for variant in ablation.VARIANTS:
        with ablation._applied(variant):
            pass
    assert (HeadJudge.compare, HeadJudge.combine, dict(SHAPES)) == before

"""What `benchmarks/ablation.py` leaves out is really left out, and nothing else."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import click
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


def test_rows_and_table_are_written_for_each_variant_and_kept(
    ablation: ModuleType, labelled_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ("--size", "64", "--batch-size", "4", "--device", "cpu")
    default, places = ablation.VARIANTS[:2]
    monkeypatch.setattr(ablation, "VARIANTS", (replace(default, options=small), places))
    target, table = tmp_path / "rows.json", tmp_path / "table.md"
    arguments = ["--data", labelled_set.parent, "--sets", labelled_set.name, "--minutes", 0.03, "--work", tmp_path]
    command = [str(word) for word in (*arguments, "--json", target, "--table", table)]
    ablation.main(command, standalone_mode=False)
    rows = json.loads(target.read_text())["rows"]
    assert [row["variant"] for row in rows] == ["default", "places alone"]
    assert all(0 <= row["image_auroc"] <= 1 and row["steps"] > 0 for row in rows)
    assert rows[0]["steps"] == rows[1]["steps"], "the second one is the same training"
    lines = table.read_text().splitlines()
    assert len(lines) == 9 and lines[-1].startswith(f"| places alone | {100 * rows[1]['image_auroc']:.1f} / ")
    written = target.read_text()
    monkeypatch.setattr(ablation, "_measure", lambda *_: pytest.fail("it was measured already"))
    ablation.main(command, standalone_mode=False)
    assert target.read_text() == written


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_that_ends_with_a_code_ends_the_measuring(ablation: ModuleType, code: int) -> None:
    command = click.Command("ends", callback=lambda: sys.exit(code))
    with pytest.raises(SystemExit) if code else nullcontext():
        ablation._call(command)

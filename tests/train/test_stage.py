"""One stage: who learns when."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from aae_detect.demo import DemoCamera
from aae_detect.errors import AaeDetectError
from aae_train import stage
from aae_train.checkpoint import read_tensors
from aae_train.config import Head, TrainConfig
from aae_train.family import Examples, Losses
from aae_train.head_judge import HeadJudge
from aae_train.phases import HEAD_PHASE, HEAD_SHARE
from aae_train.processes import Processes
from aae_train.stage import Progress, Stage, StageTrainer

STEPS = 12

Compared = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def make_trainer(head: Head, model: str = "aae") -> StageTrainer:
    camera = DemoCamera(3, size_hw=(120, 160), defect_rate=0.0)
    pictures = np.stack([cv2.resize(camera.render(number * 7)[0], (64, 64)) for number in range(16)])
    config = TrainConfig(data="-", model=model, input_hw=(64, 64), steps=STEPS, batch_size=4, head=head)
    stage = Stage(0, "final", tuple(range(12)), tuple(range(12, 16)))
    return StageTrainer(config, stage, pictures, config.make_prior(), Processes("cpu"))


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([torch.zeros(1), *(p.detach().flatten() for p in network.parameters())])


def train(trainer: StageTrainer, folder: Path) -> list[tuple[Losses, torch.Tensor, torch.Tensor]]:
    """Train; returns for each step the losses, and the weights of drawer and judge after it."""
    seen: list[tuple[Losses, torch.Tensor, torch.Tensor]] = []

    def listen(stage: Stage, done: float, losses: Losses, progress: Progress) -> None:
        seen.append((losses, weights(trainer.model), weights(trainer.judge)))

    assert trainer.train(folder / "checkpoint.safetensors", lambda: False, listen)
    return seen


@pytest.mark.parametrize("model", ["aae", "gan"])
def test_the_head_learns_when_the_drawer_stands_still(tmp_path: Path, model: str) -> None:
    trainer = make_trainer("unet", model)
    before = weights(trainer.judge)
    seen = train(trainer, tmp_path)
    middle = round(STEPS * (1 - HEAD_SHARE))
    assert all("head" not in losses for losses, _, _ in seen[:middle])
    assert all(set(losses) == {"head"} for losses, _, _ in seen[middle:])
    assert torch.equal(seen[middle - 1][2], before)
    assert not torch.equal(seen[middle][2], before)
    for _, drawer, _ in seen[middle + 1 :]:
        assert torch.equal(drawer, seen[middle][1])
    assert not torch.equal(seen[0][1], seen[middle - 1][1])


def test_the_head_is_told_what_other_groups_call_usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every step that teaches it; whoever judges is told what all call usual."""
    told: list[tuple[int, ...]] = []
    compare = HeadJudge.compare

    def listen(judge: HeadJudge, picture: torch.Tensor, drawn: torch.Tensor, groups: tuple[int, ...] = ()) -> Compared:
        told.append(groups)
        return compare(judge, picture, drawn, groups)

    monkeypatch.setattr(HeadJudge, "compare", listen)
    trainer = make_trainer("unet")
    begins = round(STEPS * (1 - HEAD_SHARE))
    with trainer.pictures.batches(begins) as loader:
        expected = [trainer.pictures.groups(next(loader).indices) for _ in range(STEPS - begins)]
    train(trainer, tmp_path)
    assert [groups for groups in told if groups] == expected
    assert () in told  # when checkpoints were compared


def test_checkpoints_are_compared_only_once_the_head_learns(tmp_path: Path) -> None:
    trainer = make_trainer("unet")
    train(trainer, tmp_path)
    compared = [row["step"] for row in trainer.progress.history if "select_score" in row]
    assert compared
    assert min(compared) > STEPS * (1 - HEAD_SHARE)
    assert [phase.name for phase in trainer.phases] == ["all", HEAD_PHASE]
    assert sum(phase.share for phase in trainer.phases) == pytest.approx(1.0)


def test_a_training_that_diverges_says_so_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third step's losses are still good, the weights that it leaves are not."""
    monkeypatch.setattr(stage, "CHECKPOINT_SECONDS", -1.0)  # after every step
    monkeypatch.setattr(stage, "learning_rate_share", lambda share, step: math.inf if step == 2 else 1.0)
    trainer = make_trainer("unet")
    with pytest.raises(AaeDetectError, match=r"final diverged at step 3 .*smaller --lr than 0\.002"):
        train(trainer, tmp_path)
    tensors, notes = read_tensors(tmp_path / "checkpoint.safetensors")
    assert notes["step"] == 2
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_without_a_head_the_drawer_has_all_the_time(tmp_path: Path) -> None:
    trainer = make_trainer("none")
    seen = train(trainer, tmp_path)
    assert all("reconstruction" in losses for losses, _, _ in seen)
    assert trainer.phases == trainer.model.phases


def test_the_judge_knows_good_pictures_before_the_first_step() -> None:
    """The places' Gaussians are fitted: distances of good pictures are about 1."""
    trainer = make_trainer("unet")
    picture = trainer.pictures.first()[:8]
    with torch.no_grad():
        assert 0.3 < float(trainer.judge.evidence(picture, picture)[:, 0].mean()) < 1.5


def test_large_pictures_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the judge is shown at once is bounded in pixels."""
    shown: list[torch.Size] = []

    def look(judge: HeadJudge, examples: Examples) -> None:
        shown.append(examples.pictures.shape)

    monkeypatch.setattr(HeadJudge, "prepare", look)
    config = TrainConfig(data="-", input_hw=(512, 512), steps=1, batch_size=1)
    pictures = np.zeros((12, 512, 512, 3), np.uint8)
    StageTrainer(config, Stage(0, "final", tuple(range(12)), ()), pictures, config.make_prior(), Processes("cpu"))
    assert shown == [(75 + 72, 3, 512, 512)]  # changed ones, and each of the twelve six times as it is

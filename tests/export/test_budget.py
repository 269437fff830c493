"""`aae-export --budget-ms`: what it chooses, what it says, and what it leaves behind."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from aae_detect import ConfigError, Detector
from aae_detect.bench.against import SLOWER
from aae_detect.session import CUDA
from aae_export import budget
from aae_export.budget import Budget, Choice, Timed, choose, estimate_size, measure, train_command
from aae_export.cli import NOTHING_HOLDS, main
from aae_train.cli import main as train
from aae_train.config import TrainConfig
from aae_train.picture_mask import encode_inside

SLOW, TWO, INT8, INT8_TWO = (
    Timed("fp32", "cpu", 1, 9.0, 10.0),
    Timed("fp32", "cpu", 2, 5.0, 8.0),
    Timed("int8", "cpu", 1, 6.0, 6.5),
    Timed("int8", "cpu", 2, 3.0, 4.0),
)
CPU_ROWS = [INT8_TWO, INT8, TWO, SLOW]


@pytest.mark.parametrize(
    ("budget_ms", "chosen"), [(10.0, SLOW), (9.9, TWO), (8.0, TWO), (7.9, INT8), (6.4, INT8_TWO), (3.9, None)]
)
def test_accuracy_counts_before_threads_and_the_slow_ones_count(budget_ms: float, chosen: Timed | None) -> None:
    assert choose(CPU_ROWS, budget_ms) == chosen


def test_a_gpu_comes_after_the_processor_and_half_before_integers() -> None:
    fp32, fp16 = Timed("fp32", "cuda", 1, 1.0, 1.2), Timed("fp16", "cuda", 1, 0.8, 0.9)
    rows = [*CPU_ROWS, fp16, fp32]
    assert [choose(rows, ms) for ms in (10.0, 5.0, 1.0, 0.5)] == [SLOW, fp32, fp16, None]
    assert (fp16.file, fp16.options) == ("detector.fp16.onnx", "--provider cuda")
    assert (TWO.file, TWO.options) == ("detector.onnx", "--provider cpu --threads 2")


def test_sizes_follow_from_the_time_of_a_pixel() -> None:
    assert estimate_size((256, 256), 10.0, 10.0) == (256, 256)
    assert estimate_size((256, 256), 10.0, 9.99) == (224, 224), "rounded down"
    assert estimate_size((256, 256), 10.0, 2.5) == (128, 128), "a quarter of the pixels"
    assert estimate_size((256, 512), 10.0, 2.5) == (128, 256), "the aspect ratio stays"
    assert estimate_size((256, 352), 10.0, 5.0) == (160, 224)
    assert estimate_size((64, 96), 10.0, 1.0) is None
    for budget_ms in (1.0, 3.3, 7.0):
        height, width = estimate_size((480, 640), 12.0, budget_ms) or (0, 0)
        assert 12.0 * height * width / (480 * 640) <= budget_ms


RUNS = [
    TrainConfig(data="/pictures/of parts"),
    TrainConfig(data="/d", model="gmmn", steps=None, minutes=12.5, latent="32", prior="mixture:3", seed=4),
    TrainConfig(data="/d", encoder="universal", head="none", start="scratch", bits=12, fit="crop", batch_size=4),
    TrainConfig(data="/d", tile=64, skip_unreadable=True, target_frr=0.05, lr=0.001, adversarial_loss="non-saturating"),
    TrainConfig(data="/d", tile=256),
    TrainConfig(data="/d", input_hw=(32, 64), mask=encode_inside(np.tri(32, 64, dtype=np.bool_))),
]


@pytest.mark.parametrize("config", RUNS)
def test_what_is_to_be_typed_trains_the_same_at_another_size(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by `aae-train` itself: it must understand the line, and make the same settings of it."""
    command = shlex.split(train_command(config, (128, 96)))
    asked: list[tuple[TrainConfig, Path | None]] = []
    monkeypatch.setattr("aae_train.cli._run", lambda found: asked.append((found.config, found.mask)) or 0)
    assert command[0] == "aae-train"
    with pytest.raises(SystemExit) as done:
        train(command[1:], standalone_mode=False)
    assert done.value.code == 0
    fitting = config.tile if config.tile is None or config.tile <= 96 else None
    # A run does not know the name of the file that its mask came from.
    mask = Path("FILE") if config.mask else None
    assert asked == [(replace(config, input_hw=(128, 96), tile=fitting, mask=""), mask)]


def test_a_table_is_measured_through_the_devices_code(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(tiny_model.read_bytes())
    rows = measure(tmp_path, [("fp32", "cpu", 1)], repeat=20)
    assert [(row.precision, row.provider, row.threads) for row in rows] == [("fp32", "cpu", 1)]
    assert 0 < rows[0].p50_ms <= rows[0].p95_ms < 1000


def test_trouble_with_cuda_is_told_and_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "detector.onnx").write_bytes(b"no model that CUDA takes")
    monkeypatch.setattr(budget, "available_providers", lambda: [CUDA])
    refused: list[str] = []
    assert not budget._has_cuda(tmp_path / "detector.onnx", refused)
    assert budget._measure_on_cuda(tmp_path, ["fp32"], refused) == []
    assert len(refused) == 2 and all(reason.startswith("CUDA: ") for reason in refused)


def test_what_cannot_be_asked() -> None:
    for most_ms in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="--budget-ms"):
            Budget(most_ms)
    with pytest.raises(ConfigError, match=r"--threads 100000: this machine has \d+ usable"):
        Budget(5.0, 100000)


def test_a_choice_says_what_nothing_holds() -> None:
    choice = Choice(2.0, tuple(CPU_ROWS), (), ("int8 costs too much",), None, (160, 160), "aae-train d --size 160x160")
    said = choice.describe()
    assert "nothing holds 2 ms at p95; the fastest is int8 with 2 threads, 4.00 ms" in said
    assert "an estimate" in said and said.endswith("aae-train d --size 160x160")
    assert "not measured: int8 costs too much" in said
    assert "no --size would" in replace(choice, size_hw=None, train_command=None).describe()
    assert NOTHING_HOLDS == SLOWER


@pytest.fixture(autouse=True)
def _only_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave encoder, decoder and the like unwritten: nothing here looks at them, and they take most of the time."""
    monkeypatch.setattr("aae_export.export.write_parts", lambda *_: [])


def export(run: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, [str(run), "--out", str(out), *options])


def test_a_budget_that_fp32_holds(small_run: Path, tmp_path: Path) -> None:
    """A minute for a picture: the most accurate detector with one thread, and the table says what else there is."""
    done = export(small_run, tmp_path / "out", "--budget-ms", "60000", "--threads", "1", "--force")
    assert done.exit_code == 0, done.output
    assert "fp32 with 1 thread holds 60000 ms at p95" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.endswith(f"--model {tmp_path / 'out' / 'detector.onnx'} --provider cpu --threads 1")
    found = json.loads((tmp_path / "out" / "export.json").read_text())["budget"]
    assert [(row["precision"], row["threads"]) for row in found["rows"]] == [("fp32", 1), ("int8", 1)]
    assert found["chosen"] == found["rows"][0]
    assert found["size_hw"] is found["train_command"] is None
    assert found["costs"][0]["precision"] == "int8" and found["machine"]["cores"] >= 1
    assert Detector.load(tmp_path / "out" / "detector.int8.onnx", provider="cpu").spec.precision == "int8"


def test_a_budget_that_nothing_holds(small_run: Path, tmp_path: Path) -> None:
    done = export(small_run, tmp_path / "out", "--budget-ms", "0.000001", "--threads", "1", "--force")
    assert done.exit_code == NOTHING_HOLDS, done.output
    assert "nothing holds 1e-06 ms at p95" in done.stdout and "no --size would" in done.stdout
    assert (tmp_path / "out" / "detector.onnx").is_file(), "exported all the same"
    assert json.loads((tmp_path / "out" / "export.json").read_text())["budget"]["chosen"] is None


@pytest.mark.parametrize(
    "options", [("--threads", "1"), ("--budget-ms", "5", "--precision", "int8"), ("--budget-ms", "0")]
)
def test_options_that_have_no_meaning_together(small_run: Path, tmp_path: Path, options: list[str]) -> None:
    done = export(small_run, tmp_path / "out", *options)
    assert done.exit_code == click.UsageError.exit_code and "Error: " in done.output
    assert not (tmp_path / "out").exists()

"""Whole training runs, small ones: what they leave behind, and that stopping loses nothing."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from aae_detect.demo import DemoCamera
from aae_detect.errors import ConfigError
from aae_detect.threshold import conformal_threshold
from aae_detect.whole_file import write_whole
from aae_train import processes, run, run_folder
from aae_train.checkpoint import read_tensors, write_tensors
from aae_train.cli import main
from aae_train.config import TrainConfig
from aae_train.run_folder import make_run_folder, new_run_folder, newest_run_folder, read_trained
from aae_train.stage import StageTrainer

STEPS = 100
SMALL = ("--size", "32", "--batch-size", "4")


def train(*arguments: object, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aae_train.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=timeout)


def write_pictures(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    camera = DemoCamera(seed, size_hw=(120, 160), defect_rate=0.0)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), camera.render(number * 7)[0])
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "many", 64)


@pytest.fixture(scope="module")
def finished(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    cwd = tmp_path_factory.mktemp("run")
    result = train(many, *SMALL, "--steps", STEPS, cwd=cwd)
    assert result.returncode == 0, result.stderr
    assert "next: aae-export runs/many-1" in result.stdout
    return cwd / "runs" / "many-1"


def test_the_run_folder_holds_what_was_promised(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.json",
        "split.json",
        "model.safetensors",
        "checkpoint.safetensors",
        "history.csv",
        "metrics.json",
        "training_curves.png",
        "contact_sheet.png",
        "report.html",
        "odd_pictures.json",
        "odd_pictures.png",
    }
    config = TrainConfig.load(finished)
    assert (config.input_hw, config.steps, config.batch_size) == ((32, 32), STEPS, 4)
    split = json.loads((finished / "split.json").read_text())
    parts = [split["train"], split["select"], split["calibrate"]]
    everything = [name for part in parts for name in part]
    assert len(everything) == len(set(everything)) == 64
    assert all(parts)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["calibration"]["method"] == "split"
    assert metrics["calibration"]["count"] == len(split["calibrate"])
    assert metrics["calibration"]["extrapolated"]  # so few pictures cannot tell 1 %
    assert metrics["threshold"] >= metrics["calibration"]["score_max"]
    assert metrics["calibration"]["bound_frr"] > metrics["calibration"]["promised_frr"] > 0.01
    with (finished / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = {name: [int(row["step"]) for row in rows if row[name]] for name in ("reconstruction", "head")}
    assert steps["reconstruction"] + steps["head"] == [1, *range(10, STEPS + 1, 10)]
    assert steps["reconstruction"][-1] == pytest.approx(STEPS / 2, abs=10)
    assert sum(bool(row["select_score"]) for row in rows) == 10
    for name in ("training_curves.png", "contact_sheet.png", "odd_pictures.png"):
        assert cv2.imread(str(finished / name)).size > 10_000


def test_the_threshold_rests_on_the_calibrate_pictures_alone(finished: Path, many: Path) -> None:
    """Computed again from the files: scores of the calibrate pictures by the trained detector."""
    import torch

    from aae_train.pictures import load_picture

    trained = read_trained(finished)
    names = json.loads((finished / "split.json").read_text())["calibrate"]
    images = np.stack([load_picture(many / name, (32, 32)) for name in names])
    with torch.no_grad():
        scores = trained.detector(torch.from_numpy(images))[1].numpy()
    assert trained.threshold.value == pytest.approx(conformal_threshold(scores, 0.01, "split").value, rel=1e-3)
    assert trained.threshold.calibration.scores == pytest.approx(sorted(scores.tolist()), abs=1e-4)


def test_a_run_of_a_version_that_made_another_detector_of_its_weights_is_refused(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is code and no weight of the detector may change between versions; the threshold then means nothing."""
    tensors, notes = read_tensors(finished / "model.safetensors")
    shutil.copy(finished / "config.json", tmp_path)
    write_tensors(tmp_path / "model.safetensors", tensors, {k: v for k, v in notes.items() if k != "golden"})
    with pytest.raises(ConfigError, match=r"model\.safetensors is of an earlier aae-detect, .*; train again"):
        read_trained(tmp_path)
    monkeypatch.setattr("aae_train.descriptors._ENERGY_FLOOR", 0.3)
    with pytest.raises(ConfigError, match=r"trained by aae-detect [\d.]+, .* gives its golden sample .*; install"):
        read_trained(finished)


def test_same_seed_same_weights_another_seed_others(finished: Path, many: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        assert train(many, *SMALL, "--steps", STEPS, "--seed", seed, "--out", f"r{seed}", cwd=tmp_path).returncode == 0
    expected = (finished / "model.safetensors").read_bytes()
    assert (tmp_path / "r0" / "model.safetensors").read_bytes() == expected
    assert (tmp_path / "r1" / "model.safetensors").read_bytes() != expected


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "ended before there was anything to kill"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_killed_and_resumed_has_the_weights_of_an_unbroken_one(
    finished: Path, many: Path, tmp_path: Path, number: signal.Signals
) -> None:
    # A checkpoint after every step, so that the kill finds one while the run still goes.
    program = "from aae_train import cli, stage; stage.CHECKPOINT_SECONDS = 0.0; cli.main()"
    command = [sys.executable, "-c", program, str(many), *SMALL, "--steps", str(STEPS), "--out", "broken"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        checkpoint = tmp_path / "broken" / "checkpoint.safetensors"
        wait_for(checkpoint, process)
        while read_tensors(checkpoint)[1]["step"] < 1:  # the first one is written before the first step
            time.sleep(0.01)
        process.send_signal(number)
        out, _ = process.communicate(timeout=300)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "--resume" in out
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    step = read_tensors(tmp_path / "broken" / "checkpoint.safetensors")[1]["step"]
    assert 1 <= step < STEPS
    result = train(many, "--out", "broken", "--resume", cwd=tmp_path)  # with the settings that it was begun with
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "broken" / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    again = train(many, *SMALL, "--steps", STEPS, "--out", "broken", "--resume", cwd=tmp_path)
    assert "is finished" in again.stdout


def test_few_pictures_are_cross_fitted(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "few", 7)
    result = train(data, *SMALL, "--steps", 3, "--out", "r", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "7 calibration pictures can promise a false-reject rate of 12.5%" in " ".join(result.stderr.split())
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert metrics["calibration"]["method"] == "cross-fit"
    assert metrics["pictures"]["folds"] in ([3, 2, 2], [2, 3, 2], [2, 2, 3])
    with (tmp_path / "r" / "history.csv").open() as file:
        assert {row["stage"] for row in csv.DictReader(file)} == {"fold-1", "fold-2", "fold-3", "final"}
    weights = [
        read_tensors(path)[0]["model.encoder.posterior.mean.weight"]
        for path in sorted((tmp_path / "r" / "folds").iterdir())
    ]
    assert not np.array_equal(weights[0].numpy(), weights[1].numpy())
    assert read_trained(tmp_path / "r").threshold.calibration.count == 7


def test_mvtec_layout_reads_nothing_but_good_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "train" / "good", 62)
    write_pictures(tmp_path / "set" / "validation" / "good", 24, seed=5)
    (tmp_path / "set" / "test" / "broken").mkdir(parents=True)
    (tmp_path / "set" / "test" / "broken" / "x.png").write_bytes(b"would be refused if it were read")
    result = train("set", *SMALL, "--minutes", 0.02, "--out", "r", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    split = json.loads((tmp_path / "r" / "split.json").read_text())
    assert len(split["calibrate"]) == 24
    assert all(name.startswith("validation/good/") for name in split["calibrate"])
    assert all(name.startswith("train/good/") for name in split["train"] + split["select"])


def test_dry_run_writes_nothing(many: Path, tmp_path: Path) -> None:
    result = train(many, *SMALL, "--dry-run", cwd=tmp_path)
    assert result.returncode == 0
    assert "64 good pictures" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_mistakes_say_what_to_do(many: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "one", 1)
    broken = write_pictures(tmp_path / "broken", 5)
    (broken / "3.png").write_bytes((broken / "3.png").read_bytes()[:100])
    cases: list[tuple[list[object], str]] = [
        ([tmp_path / "empty"], "holds no pictures"),
        ([tmp_path / "nowhere"], "expected a folder"),
        ([tmp_path / "one"], "at least 2"),
        ([broken], "3.png"),
        ([many, "--size", "100"], "nearest: 96x96"),
        ([many, "--size", "1e3"], "neither a number"),
        ([many, "--steps", 5, "--minutes", 1], "either --steps or --minutes"),
        ([many, "--out", finished], "continue with --resume"),
        ([many, "--resume"], "no run"),
        ([many, "--out", tmp_path / "r", "--resume"], "no config.json"),
        ([many, "--out", finished, "--resume", "--seed", 3], "seed was 0, now 3"),
    ]
    monkeypatch.chdir(tmp_path)
    for arguments, message in cases:
        refused = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert refused.exit_code == 2 and isinstance(refused.exception, SystemExit), (arguments, refused.output)
        assert message in " ".join(refused.stderr.split()), (arguments, refused.stderr)
    assert list((tmp_path / "runs").iterdir()) == []  # no folder is left where nothing was written
    result = train(broken, *SMALL, "--steps", 1, "--skip-unreadable", "--out", "s", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "3.png" in result.stderr


def test_resume_takes_the_newest_run_of_these_pictures(tmp_path: Path) -> None:
    """And not of others whose folder has the same name."""
    lines = [tmp_path / line / "good" for line in ("line1", "line2", "line3")]
    for number, data in enumerate((*lines[:2], lines[0], lines[1]), start=1):
        (tmp_path / "runs" / f"good-{number}").mkdir(parents=True)
        (tmp_path / "runs" / f"good-{number}" / "config.json").write_text(TrainConfig(data=str(data)).to_json())
    (tmp_path / "runs" / "good-5").mkdir()
    (tmp_path / "runs" / "good-6").mkdir()
    (tmp_path / "runs" / "good-6" / "config.json").write_text("{")
    assert [newest_run_folder(data, tmp_path / "runs").name for data in lines[:2]] == ["good-3", "good-4"]
    with pytest.raises(ConfigError, match=r"no run .*good-N of .*line3"):
        newest_run_folder(lines[2], tmp_path / "runs")


def test_runs_that_begin_together_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, runs = tmp_path / "good", tmp_path / "runs"

    def name_late(data: Path, runs: Path) -> Path:
        """Another one takes the first number after this one has looked."""
        named = new_run_folder(data, runs)
        (runs / "good-1").mkdir(exist_ok=True)
        return named

    monkeypatch.setattr(run_folder, "new_run_folder", name_late)
    assert [make_run_folder(None, data, runs).name for _ in range(2)] == ["good-2", "good-3"]
    (tmp_path / "file").touch()
    for out in (None, tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match=r"file.* cannot be written .* --out"):
            make_run_folder(out, data, tmp_path / "file")


def test_a_run_that_was_killed_while_it_began_goes_on_where_it_computed(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_one(path: Path, content: str) -> None:
        write_whole(path, content)
        raise KeyboardInterrupt

    asked: list[str] = []

    def choose(device: str) -> torch.device:
        asked.append(device)
        return torch.device("cpu")

    config = TrainConfig(data=str(many), input_hw=(32, 32), device="cpu")
    monkeypatch.setattr(run, "write_whole", write_one)
    with pytest.raises(KeyboardInterrupt):
        run.Run(config, tmp_path / "r", say=print).train(lambda: False, lambda *_: None)
    monkeypatch.undo()
    monkeypatch.setattr(processes, "choose_device", choose)
    resumed = CliRunner().invoke(main, [str(many), "--out", str(tmp_path / "r"), "--resume", "--dry-run"])
    assert resumed.exit_code == 0, resumed.output
    assert asked == ["cpu"]  # on a machine with a GPU, too


def test_pictures_may_be_moved_before_a_run_goes_on(tmp_path: Path) -> None:
    before, moved, out = write_pictures(tmp_path / "before", 8), tmp_path / "moved", tmp_path / "r"
    run.Run(TrainConfig(data=str(before), input_hw=(32, 32)), out, say=print)._begin_folder()
    before.rename(moved)
    command = [str(moved), "--out", str(out), "--resume", "--dry-run"]
    resumed = CliRunner().invoke(main, command)
    assert resumed.exit_code == 0 and "8 good pictures" in resumed.stdout, resumed.output
    (moved / "3.png").unlink()
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2 and "1 pictures of this run are gone" in " ".join(refused.stderr.split())


def test_a_gpu_that_is_too_small_is_no_traceback(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a capacity of 1 GiB.")

    monkeypatch.setattr(StageTrainer, "_step", fail)
    failed = CliRunner().invoke(main, [str(many), *SMALL, "--out", str(tmp_path / "r")])
    assert failed.exit_code == 1 and isinstance(failed.exception, SystemExit), failed.output
    told = " ".join(failed.stderr.split())
    assert "(CUDA out of memory. Tried to allocate 20.00 MiB)" in told
    assert all(option in told for option in ("--batch-size", "--size", "--device cpu", "--resume"))


def test_names_that_are_no_utf8_are_no_obstacle(tmp_path: Path) -> None:
    """As archives leave them that were packed on older systems."""
    data = write_pictures(tmp_path / "few", 8)
    name = os.fsdecode(b"Geh\xe4use.png")
    try:
        (data / "3.png").rename(data / name)
    except OSError:
        pytest.skip("this file system takes no such names")
    result = train(data, *SMALL, "--steps", 1, "--out", "r", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "could not be written" not in result.stderr
    split = json.loads((tmp_path / "r" / "split.json").read_text(encoding="utf-8"))
    assert name in split["train"]
    odd = json.loads((tmp_path / "r" / "odd_pictures.json").read_text(encoding="utf-8"))
    assert name in [row["picture"] for row in odd]

"""Several processes do together what one does alone: the same messages, the same curves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aae_detect.errors import ConfigError
from aae_train.processes import Processes

SCRIPT = Path(__file__).with_name("shared_run.py")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
MOST = {"gan": 1e-3}
"""Largest difference of a loss, as a share of it where it is above 1. A GAN of one process comes to as much when
its weights are changed in the last bit."""

MOST_ELSE = 3e-4
"""Below what is promised, so that a mistake in a share's gradient shows."""


def alone(*arguments: object) -> None:
    command = [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)]
    subprocess.run(command, check=True, env=ONE_THREAD, timeout=120)


def shared(count: int, *arguments: object) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [sys.executable, "-W", "error", *launcher, str(SCRIPT), *map(str, arguments)]
    with subprocess.Popen(command, env=ONE_THREAD) as process:
        try:
            assert process.wait(timeout=120) == 0
        finally:
            process.terminate()  # the launcher ends its own processes


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    shared(2, out)
    return out


@pytest.fixture(scope="module")
def by_one(by_two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one")
    alone(out, by_two)
    return out


Curve = list[dict[str, float]]


def curves(folder: Path, rank: int = 0) -> dict[str, Curve]:
    read: dict[str, Curve] = json.loads((folder / f"curves-{rank}.json").read_text())
    return read


def assert_same(curve: Curve, other: Curve, most: float = MOST_ELSE) -> None:
    assert len(curve) == len(other)
    for losses, others in zip(curve, other, strict=True):
        for name, value in losses.items():
            if name != "discriminator_accuracy":  # jumps where two logits are nearly equal
                assert abs(value - others[name]) <= most * max(1.0, abs(value)), (name, losses, others)


@pytest.mark.parametrize("run", ["aae", "aae-universal", "wae-mmd", "vae", "gan", "gmmn", "gmmn-ae"])
def test_two_processes_have_the_curve_of_one(by_one: Path, by_two: Path, run: str) -> None:
    curve = curves(by_one)[run]
    assert len(curve) == 20
    assert curve[0] != curve[-1]
    assert_same(curve, curves(by_two)[run], MOST.get(run, MOST_ELSE))
    assert curves(by_two, rank=1) == curves(by_two)


def test_one_continues_what_two_began(by_one: Path) -> None:
    continued = curves(by_one)["continued"]
    assert 5 < len(continued) < 15
    assert_same(curves(by_one)["aae"][-len(continued) :], continued)


@pytest.mark.slow
def test_four_continue_what_one_began(by_one: Path, tmp_path: Path) -> None:
    shared(4, tmp_path, by_one)
    alike = curves(by_one)
    for run, curve in curves(tmp_path).items():
        expected = alike["aae"][-len(curve) :] if run == "continued" else alike[run]
        assert_same(expected, curve, MOST.get(run, MOST_ELSE))


def answers(folder: Path, rank: int) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / f"answers-{rank}.json").read_text())
    return read


def test_messages(by_one: Path, by_two: Path) -> None:
    exchanged = {"gathered": [0.0, 2.0, 4.0, 6.0], "agreed": "of 0", "led": "by 0"}
    # The loss is w^2 (0 + 1 + 4 + 9) / 4, so its gradient is 14 w / 2 at w = 2, whoever computes which row.
    exchanged["gradient"] = 14.0
    for folder, ranks in ((by_one, 1), (by_two, 2)):
        for rank in range(ranks):
            found = answers(folder, rank)["exchange"]
            assert isinstance(found, dict)
            assert {name: found[name] for name in exchanged} == exchanged
            assert found["together"] == rank
            assert found["mean"] == {"a": (ranks - 1) / 2, "b": 1.0}


def test_an_error_of_one_is_raised_in_all_and_told_by_the_leader(by_one: Path, by_two: Path) -> None:
    errors = [
        (found["leader failed"], found["last failed"].replace(os.uname().nodename, "HOST"))
        for found in (answers(folder, rank)["exchange"] for folder, rank in ((by_one, 0), (by_two, 0), (by_two, 1)))
    ]
    assert errors == [
        ("no use in 0 (told: True)", "no use in 0 (told: True)"),
        ("no use in 0 (told: True)", "process 1, on HOST: no use in 1 (told: True)"),
        ("no use in 0 (told: False)", "no use in 1 (told: False)"),
    ]


LATE = """
import sys, time
from aae_detect.errors import ConfigError
from aae_train.processes import Processes

def fail():
    raise ConfigError("no use")

processes = Processes("cpu")
try:
    processes.lead(fail)
except ConfigError as error:
    time.sleep(2 * processes.rank)
    processes.leave()
    sys.exit(error.exit_code)
"""


def test_one_that_is_late_ends_with_its_own_code_too(tmp_path: Path) -> None:
    """`torchrun` ends the others once the first one has failed."""
    script = tmp_path / "late.py"
    script.write_text(LATE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, timeout=120)
    assert done.stderr.count("exitcode  : 2") == 2, done.stderr


def test_a_process_that_is_alone_does_without_lightning(by_one: Path, by_two: Path) -> None:
    assert answers(by_one, 0)["lightning"] is False
    assert answers(by_two, 0)["lightning"] is True


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "not by torchrun"),
        (
            {"WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"},
            "equally many on each",
        ),
    ],
)
def test_a_start_that_cannot_work_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        Processes("cpu")


@pytest.mark.slow
def test_nobody_answers(tmp_path: Path) -> None:
    """The second of two that were announced never comes."""
    announced = {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "GROUP_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "x",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }
    program = (
        "from datetime import timedelta; from aae_train import processes; processes.PATIENCE = timedelta(seconds=2)\n"
        "try: processes.Processes('cpu')\n"
        "except processes.ProcessLost as error: print(error)"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env={**ONE_THREAD, **announced}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "the other processes do not answer at 127.0.0.1" in done.stdout
    assert "start `torchrun` on every machine" in done.stdout

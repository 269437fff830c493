"""`aae-train` under torchrun: one machine, two machines, and what happens when one of the processes goes away."""

import csv
import math
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from aae_train.checkpoint import read_tensors
from aae_train.phases import HEAD_SHARE

SMALL = ("--size", "32", "--batch-size", "4")
STEPS = 60
MOST_SECONDS = 60.0
"""From the moment that a process is killed to the end of all."""

PROGRAM = Path(__file__).with_name("often_saved.py")
_MARK = "AAE_TEST_LAUNCH"


class Launch:
    """A call of torchrun and the processes that it starts, which are in sessions of their own."""

    def __init__(self, cwd: Path, *arguments: object, count: int = 2, machine: tuple[int, int] | None = None) -> None:
        """Start it.

        Args:
            cwd: Where; also holds what each process says.
            arguments: Of `aae-train`.
            count: Processes on this machine.
            machine: Number of this machine among two, and the port of the first; None where there is but one.
        """
        self.cwd = cwd
        where: list[object] = ["--standalone"]
        if machine is not None:
            where = [
                "--nnodes",
                2,
                "--node-rank",
                machine[0],
                "--master-addr",
                "127.0.0.1",
                "--master-port",
                machine[1],
            ]
        each = ["--nproc-per-node", count, "--redirects", 3, "--log-dir", cwd / f"said-{machine[0] if machine else 0}"]
        command = ["-m", "torch.distributed.run", *where, *each, str(PROGRAM), *arguments]
        self._mark = uuid.uuid4().hex
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", _MARK: self._mark}
        with (cwd / f"torchrun-{machine[0] if machine else 0}.txt").open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, command)], cwd=cwd, env=environment, stdout=said, stderr=said
            )

    def pids(self, rank: int | None = None) -> list[int]:
        """Find all processes, or that of a rank."""
        return [pid for pid, environment in self._processes() if rank is None or f"RANK={rank}" in environment]

    def said(self, rank: int) -> str:
        """Return what the process of a local rank wrote to stdout and stderr."""
        files = sorted(self.cwd.glob(f"said-*/*/attempt_0/{rank}/std*.log"))
        assert files, "torchrun keeps what its processes say"
        return "".join(file.read_text() for file in files)

    def wait(self, timeout: float = MOST_SECONDS) -> int:
        """Wait for the end; returns torchrun's exit code."""
        return self.process.wait(timeout)

    def end(self) -> None:
        """Kill whatever is left."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _processes(self) -> Iterator[tuple[int, list[str]]]:
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue  # has ended meanwhile, or is somebody else's
                if f"{_MARK}={self._mark}" in environment:
                    yield int(folder.name), environment


@pytest.fixture
def launch() -> Iterator[type[Launch]]:
    """`Launch`; what it starts ends with the test."""
    launched: list[Launch] = []

    class Kept(Launch):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            launched.append(self)

    yield Kept
    for one in launched:
        one.end()


def alone(cwd: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "aae_train.cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def saved_step(run: Path) -> int:
    """Return the step that a run could be resumed from; -1 where there is nothing yet."""
    checkpoint = run / "checkpoint.safetensors"
    return int(read_tensors(checkpoint)[1]["step"]) if checkpoint.is_file() else -1


def wait_for_training(run: Path, launch: Launch) -> None:
    """Wait until some steps have been taken in this sitting."""
    before, deadline = max(0, saved_step(run)), time.monotonic() + 60
    while saved_step(run) < before + 3:
        assert launch.process.poll() is None, "ended before there was anything to kill"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def columns(run: Path) -> dict[str, list[str]]:
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere: found nothing, expected a folder of good pictures"),
        pytest.param(
            ("pictures", "--batch-size", "3"),
            "--batch-size 3 cannot be shared by 2 processes; give a multiple of 2",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_mistake_is_told_once(
    demo_pictures: Path, tmp_path: Path, launch: type[Launch], arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "pictures").symlink_to(demo_pictures)
    both = launch(tmp_path, *arguments, "--out", "run")
    assert both.wait() != 0
    assert message in " ".join(both.said(0).split())
    assert both.said(1) == ""
    report = (tmp_path / "torchrun-0.txt").read_text()
    assert report.count("exitcode  : 2") == 2
    assert not (tmp_path / "run").exists()


def kill(launches: list[Launch], rank: int, number: int = signal.SIGKILL) -> float:
    """Send a signal to one process of a run; returns how long it takes until all have ended, in seconds."""
    (pid,) = [pid for one in launches for pid in one.pids(rank)]
    began = time.monotonic()
    os.kill(pid, number)
    for one in launches:
        assert one.wait() != 0
    return time.monotonic() - began


def assert_tells_of_the_loss(said: str) -> None:
    assert "lost contact with the others" in said
    assert "start the same command again with --resume" in said
    assert "Traceback" not in said


def assert_can_be_finished(run: Path, data: Path) -> None:
    """By one process, whoever began it."""
    assert 1 <= saved_step(run) < STEPS
    assert not (run / "model.safetensors").exists()
    result = alone(run.parent, data, "--out", run.name, "--resume")
    assert result.returncode == 0, result.stderr
    assert (run / "model.safetensors").is_file()
    steps = [int(step) for step in columns(run)["step"]]
    # A row every ten steps, and ten comparisons in the part in which the head learns.
    begins, tenth = STEPS * (1 - HEAD_SHARE), STEPS * HEAD_SHARE / 10
    compared = {math.ceil(begins + number * tenth - 1e-9) for number in range(1, 11)}
    assert sorted(set(steps)) == sorted({1, *compared, *range(10, STEPS + 1, 10)})


def test_a_run_outlives_a_killed_process_and_a_stop(demo_pictures: Path, tmp_path: Path, launch: type[Launch]) -> None:
    run = tmp_path / "run"
    first = launch(tmp_path, demo_pictures, *SMALL, "--steps", STEPS, "--out", "run")
    wait_for_training(run, first)
    assert kill([first], rank=1) < MOST_SECONDS
    assert_tells_of_the_loss(first.said(0))
    assert first.pids() == []

    second = launch(tmp_path, demo_pictures, "--out", "run", "--resume")
    wait_for_training(run, second)
    second.process.send_signal(signal.SIGTERM)
    assert second.wait() != 0
    assert_saved(second)
    assert_can_be_finished(run, demo_pictures)


def assert_saved(both: Launch) -> None:
    said = both.said(0)
    assert "stopped and saved; continue with" in said
    assert "--out run --resume" in said
    assert "Traceback" not in said
    assert both.said(1) == ""


@pytest.mark.slow
def test_two_processes_leave_behind_what_one_does(demo_pictures: Path, tmp_path: Path, launch: type[Launch]) -> None:
    settings = ("--size", 64, "--batch-size", 4, "--steps", 20)
    both = launch(tmp_path, demo_pictures, *settings, "--out", "two")
    assert both.wait(120) == 0
    one = alone(tmp_path, demo_pictures, *settings, "--out", "one")
    assert one.returncode == 0, one.stderr
    one_wrote, two_wrote = ({path.name for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one_wrote == two_wrote
    mine, theirs = columns(tmp_path / "one"), columns(tmp_path / "two")
    assert mine["step"] == theirs["step"]
    for a, b in zip(mine["reconstruction"], theirs["reconstruction"], strict=True):
        assert a == b == "" or abs(float(a) - float(b)) < 1e-3
    assert "next: aae-export two" in both.said(0)
    assert both.said(1) == ""
    assert "ightning" not in both.said(0) + one.stdout + one.stderr


@pytest.mark.slow
def test_the_leader_is_killed(demo_pictures: Path, tmp_path: Path, launch: type[Launch]) -> None:
    both = launch(tmp_path, demo_pictures, *SMALL, "--steps", STEPS, "--out", "run")
    wait_for_training(tmp_path / "run", both)
    assert kill([both], rank=0) < MOST_SECONDS
    assert_tells_of_the_loss(both.said(1))
    assert_can_be_finished(tmp_path / "run", demo_pictures)


@pytest.mark.slow
def test_ctrl_c(demo_pictures: Path, tmp_path: Path, launch: type[Launch]) -> None:
    both = launch(tmp_path, demo_pictures, *SMALL, "--steps", STEPS, "--out", "run")
    wait_for_training(tmp_path / "run", both)
    both.process.send_signal(signal.SIGINT)
    assert both.wait() != 0
    assert_saved(both)
    assert_can_be_finished(tmp_path / "run", demo_pictures)


@pytest.mark.slow
def test_a_hung_process_ends_the_run(demo_pictures: Path, tmp_path: Path, launch: type[Launch]) -> None:
    both = launch(tmp_path, demo_pictures, *SMALL, "--steps", STEPS, "--out", "run")
    wait_for_training(tmp_path / "run", both)
    assert kill([both], 1, signal.SIGSTOP) < MOST_SECONDS
    assert_tells_of_the_loss(both.said(0))
    assert both.pids() == []
    assert_can_be_finished(tmp_path / "run", demo_pictures)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def two_machines(launch: type[Launch], root: Path, data: Path, *arguments: object) -> list[Launch]:
    """Start one process on each of two machines, which share no folder but the pictures'."""
    port = free_port()
    machines = []
    for number in (0, 1):
        cwd = root / f"machine-{number}"
        cwd.mkdir(exist_ok=True)
        if not (cwd / f"data-{number}").is_symlink():
            (cwd / f"data-{number}").symlink_to(data)
        machines.append(launch(cwd, f"data-{number}", *arguments, "--out", "run", count=1, machine=(number, port)))
    return machines


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_two_machines_one_of_which_loses_its_process(
    demo_pictures: Path, tmp_path: Path, launch: type[Launch], rank: int
) -> None:
    machines = two_machines(launch, tmp_path, demo_pictures, *SMALL, "--steps", STEPS)
    wait_for_training(tmp_path / "machine-0" / "run", machines[0])
    assert kill(machines, rank) < MOST_SECONDS
    assert_tells_of_the_loss(machines[1 - rank].said(0))
    again = two_machines(launch, tmp_path, demo_pictures, "--resume")
    assert [machine.wait(120) for machine in again] == [0, 0]
    assert (tmp_path / "machine-0" / "run" / "model.safetensors").is_file()
    assert not (tmp_path / "machine-1" / "run").exists()


@pytest.mark.slow
def test_two_machines_one_of_which_hangs(demo_pictures: Path, tmp_path: Path, launch: type[Launch]) -> None:
    machines = two_machines(launch, tmp_path, demo_pictures, *SMALL, "--steps", STEPS)
    wait_for_training(tmp_path / "machine-0" / "run", machines[0])
    began = time.monotonic()
    for pid in machines[1].pids():
        os.kill(pid, signal.SIGSTOP)
    assert machines[0].wait() != 0
    assert time.monotonic() - began < MOST_SECONDS
    assert_tells_of_the_loss(machines[0].said(0))
    assert_can_be_finished(tmp_path / "machine-0" / "run", demo_pictures)


@pytest.mark.slow
def test_two_machines_with_different_pictures(demo_pictures: Path, tmp_path: Path, launch: type[Launch]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for picture in sorted(demo_pictures.iterdir())[1:]:
        (other / picture.name).symlink_to(picture)
    port = free_port()
    machines = []
    for number, data in enumerate((demo_pictures, other)):
        (tmp_path / f"machine-{number}").mkdir()
        cwd = tmp_path / f"machine-{number}"
        machines.append(launch(cwd, data, *SMALL, "--out", "run", count=1, machine=(number, port)))
    assert all(machine.wait() != 0 for machine in machines)
    assert "holds other pictures here than on the leader's machine: 1 differ" in " ".join(machines[0].said(0).split())
    assert machines[1].said(0) == ""
    assert not (tmp_path / "machine-0" / "run").exists()


@pytest.mark.slow
def test_a_time_budget_ends_in_all_with_the_same_step(
    demo_pictures: Path, tmp_path: Path, launch: type[Launch]
) -> None:
    both = launch(tmp_path, demo_pictures, *SMALL, "--minutes", 0.05, "--out", "run")
    assert both.wait(120) == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()

"""`aae-train` under torchrun: one machine, two machines, and what happens when one of the processes goes away."""

import csv
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

SMALL = ("--size", "32", "--batch-size", "4")
LONG = (*SMALL, "--steps", "100000")
MOST_SECONDS = 60.0
"""From the moment that a process is killed to the end of all."""

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
        self.began = time.monotonic()
        where: list[object] = ["--standalone"]
        if machine is not None:
            where = ["--nnodes", 2, "--node-rank", machine[0], "--master-addr", "127.0.0.1", "--master-port", machine[1]]
        each = ["--nproc-per-node", count, "--redirects", 3, "--log-dir", cwd / f"said-{machine[0] if machine else 0}"]
        command = ["-m", "torch.distributed.run", *where, *each, "-m", "aae_train.cli", *arguments]
        self._mark = uuid.uuid4().hex
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", _MARK: self._mark}
        with (cwd / f"torchrun-{machine[0] if machine else 0}.txt").open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, command)], cwd=cwd, env=environment, stdout=said, stderr=said
            )

    def pid(self, rank: int) -> int:
        """Find the process of a rank."""
        for pid, environment in self._processes():
            if f"RANK={rank}" in environment:
                return pid
        raise AssertionError(f"no process of rank {rank}")

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
        for pid, _ in self._processes():
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
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


Launches = Iterator["type[Launch]"]


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


def wait_for_training(run: Path, launch: Launch) -> None:
    deadline = time.monotonic() + 60
    while not (run / "checkpoint.safetensors").is_file():
        assert launch.process.poll() is None, "ended before there was anything to kill"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)  # some steps


def columns(run: Path) -> dict[str, list[str]]:
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_two_processes_leave_behind_what_one_does(
    demo_pictures: Path, tmp_path: Path, launch: type[Launch]
) -> None:
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere: found nothing, expected a folder of good pictures"),
        (("pictures", *SMALL[:3], "3"), "--batch-size 3 cannot be shared by 2 processes; give a multiple of 2"),
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


def kill(launches: list[Launch], rank: int, number: int) -> float:
    """Send a signal to one process of a run; returns how long it takes until all have ended, in seconds."""
    pid = next(pid for one in launches for pid, environment in one._processes() if f"RANK={rank}" in environment)
    began = time.monotonic()
    os.kill(pid, number)
    for one in launches:
        assert one.wait(MOST_SECONDS + 30) != 0
    return time.monotonic() - began

"""As a service: what the manager hears, and a configuration that is checked before it runs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
UNIT = Path(__file__).parents[2] / "examples" / "aae-detect.service"
DETECT = [sys.executable, "-m", "aae_detect"]


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_of_ready_life_and_end(tiny_model: Path, tmp_path: Path, abstract: bool) -> None:
    name = f"aae-detect-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(30)
        environment = {**ENVIRONMENT, "NOTIFY_SOCKET": "@" + name if abstract else name, "WATCHDOG_USEC": "300000"}
        # A camera that is not there: the service is ready, waits, and lives.
        command = [
            *DETECT,
            "--source",
            f"fake:{tmp_path / 'plug'}",
            "--model",
            str(tiny_model),
            "--no-window",
            "--wait",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            assert manager.recv(100) == b"READY=1"
            start, beats = time.monotonic(), 0
            while beats < 20:  # so many that they cannot all have waited to be heard
                assert manager.recv(100) == b"WATCHDOG=1"
                beats += 1
            assert 0.3 < time.monotonic() - start < 10
            process.send_signal(signal.SIGSTOP)
            manager.settimeout(1)
            with pytest.raises(TimeoutError):  # a hanging one says nothing: the manager will end it
                while True:
                    manager.recv(100)
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            manager.settimeout(30)
            while (said := manager.recv(100)) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1"
            process.communicate(timeout=30)


def test_without_a_manager_nothing_is_said(tiny_model: Path) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
    command = [*DETECT, "--source", "demo:160x120?frames=3", "--model", str(tiny_model), "--no-window"]
    for more in ({}, {"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "soon"}):
        done = subprocess.run(command, capture_output=True, text=True, env={**environment, **more}, timeout=60)
        assert done.returncode in (0, 3), done.stderr


def test_the_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (Debian: apt-get install systemd)")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/aae/bin/aae-detect", sys.executable))  # it looks whether it is there
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert complaints == []


def test_the_unit_checks_the_options_that_it_runs_with() -> None:
    commands = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if line.startswith("ExecStart"))
    run = commands["ExecStart"].replace("--no-window ", "")
    assert commands["ExecStartPre"] == run.replace("--config", "--check-config")


def check(path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*DETECT, "--check-config", str(path), *options]
    return subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **environment}, timeout=60)


def test_a_configuration_is_checked_with_all_that_it_names(tiny_model: Path, tmp_path: Path) -> None:
    config = tmp_path / "line.toml"
    config.write_text(
        f'[defaults]\nmodel = "{tiny_model}"\n[[source]]\nname = "line 1"\nsource = "rtsp://10.0.0.5/s"\n'
    )
    done = check(config)
    assert (done.returncode, done.stdout) == (0, "line 1: fine\n")
    config.write_text(config.read_text() + 'fps = "30"\n')
    done = check(config)
    assert done.returncode == 2
    assert f"{config}:6: fps: '30'; expected frames per second" in done.stderr
    (tmp_path / "mask.json").write_text("{}")
    (tmp_path / "decide.toml").write_text("[decide]\nper = 1\n")
    config.write_text(
        '[[source]]\nname = "line 1"\nsource = "rtsp://${NO_SUCH_SECRET}@10.0.0.5/s"\nmodel = "gone.onnx"\n'
        'site = "gone.json"\nmask = "mask.json"\ndecide = "decide.toml"\n[[source]]\nname = "line 2"\nsource = "0"\n'
    )
    done = check(config)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert all(line.startswith(f"{config}: line ") for line in lines)
    for words in (
        "NO_SUCH_SECRET",
        "gone.onnx",
        "gone.json",
        "lacks frame",
        "decide.toml:2: per: 1",
        "line 2: no model",
    ):
        assert any(words in line for line in lines), words


def test_a_configuration_is_checked_as_the_run_would_have_it(tiny_model: Path, tmp_path: Path) -> None:
    config, gone = tmp_path / "line.toml", str(tmp_path / "gone.json")
    config.write_text('[[source]]\nname = "line 1"\nsource = "rtsp://10.0.0.5/s"\n')
    assert "no model" in check(config).stderr
    for done in (check(config, AAE_DETECT_MODEL=str(tiny_model)), check(config, "--model", str(tiny_model))):
        assert (done.returncode, done.stdout) == (0, "line 1: fine\n"), done.stderr
    config.write_text(config.read_text() + 'model = "gone.onnx"\n')
    assert check(config, AAE_DETECT_MODEL=str(tiny_model), AAE_DETECT_ROTATE="90").returncode == 0, "it wins"
    for name, value, words in (
        ("SITE", gone, f"site file {gone} cannot be read"),
        ("MASK", gone, gone),
        ("DECIDE", gone, gone),
        ("CROP", "1,2", "crop: '1,2'"),
    ):
        done = check(config, AAE_DETECT_MODEL=str(tiny_model), **{f"AAE_DETECT_{name}": value})
        assert done.returncode == 2, name
        assert words in done.stderr, name


def test_what_could_not_start_is_not_fine(tiny_model: Path, tmp_path: Path) -> None:
    config, head = tmp_path / "line.toml", f'[defaults]\nmodel = "{tiny_model}"\n[[source]]\nname = "line 1"\n'
    for text, words in (
        ('source = "0"\nbits = 14\n', "bits: 14; expected 10, 12 or 16"),
        ('source = "0"\nmost_fps = 0\n', "most fps 0"),
        ('source = "0"\nproduct = "lid"\n', 'product "lid" names an entry of a site file'),
    ):
        config.write_text(head + text)
        done = check(config)
        assert done.returncode == 2 and words in done.stderr, done.stderr
    config.write_text('source = ["0", "1"]\n')
    done = check(config)
    assert done.returncode == 2 and "source is not expected here" in done.stderr
    assert "Traceback" not in done.stderr

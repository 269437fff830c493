"""`aae-detect` in a real window, with somebody at the keyboard."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def wait(for_what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not for_what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_keys_pause_snap_switch_the_heat_map_and_quit(xvfb_display: str, tiny_model: Path, tmp_path: Path) -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("needs xdotool (Debian: apt-get install xdotool)")
    env = {**os.environ, "DISPLAY": xvfb_display}
    env.pop("WAYLAND_DISPLAY", None)
    events = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "aae_detect", "--demo", "--model", str(tiny_model), "--jsonl", str(events)]

    def press(key: str) -> None:
        find = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "aae-detect demo camera"]
        window = subprocess.run(find, env=env, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
        type_it = ["xdotool", "windowfocus", "--sync", window, "key", key]
        subprocess.run(type_it, env=env, capture_output=True, timeout=20, check=True)

    def count() -> int:
        return events.read_text().count("\n") if events.exists() else 0

    def snapshots() -> list[Path]:
        return sorted(tmp_path.glob("snapshot_*.png"))

    with subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait(lambda: count() >= 2)
            press("space")
            time.sleep(0.5)
            for number in (1, 2, 3):
                held = count()
                if number == 3:
                    press("h")
                press("s")
                wait(lambda number=number: len(snapshots()) == number)
                wait(lambda held=held: count() > held)  # the picture is held, the judging is not
            press("space")
            press("q")
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 3, stderr
    assert "keys:" in stderr
    assert all(json.loads(line)["type"] == "frame" for line in events.read_text().splitlines())
    first, second, third = (path.read_bytes() for path in snapshots())
    assert first == second, "a held picture stays"
    assert first != third, "also a held picture shows its heat map or not"

"""`aae-detect` in a real window, with somebody at the keyboard."""

import json
import os
import shutil
import signal
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

    def snap() -> bytes:
        """Return what the window shows, once so many more frames were judged that another picture would be there."""
        before, judged = set(tmp_path.glob("snapshot_*.png")), count()

        def new() -> list[bytes]:
            saved = [path.read_bytes() for path in set(tmp_path.glob("snapshot_*.png")) - before]
            return [picture for picture in saved if picture.endswith(b"IEND\xaeB`\x82")]

        press("s")
        wait(lambda: bool(new()))
        wait(lambda: count() >= judged + 5)  # the picture may be held, the judging is not
        return new()[-1]

    # Of keys that come while the window is busy it takes the last: one that did nothing is pressed again.
    def holds() -> bool:
        press("space")
        return snap() == snap()

    def switches_to(wanted: Callable[[bytes], bool]) -> bool:
        press("h")
        return wanted(snap())

    with subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait(lambda: count() >= 2)
            wait(holds)
            held = snap()
            wait(lambda: switches_to(lambda picture: picture != held))  # also a held picture shows its heat map or not
            wait(lambda: switches_to(lambda picture: picture == held))
            press("space")
            press("q")
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 3, stderr
    assert "keys:" in stderr
    assert all(json.loads(line)["type"] == "frame" for line in events.read_text().splitlines())


def test_a_held_picture_of_a_file_lets_go_when_it_is_told_to_stop(
    xvfb_display: str, tiny_model: Path, tmp_path: Path
) -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("needs xdotool (Debian: apt-get install xdotool)")
    env = {**os.environ, "DISPLAY": xvfb_display}
    env.pop("WAYLAND_DISPLAY", None)
    events = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "aae_detect", "--source", "demo:320x240", "--model", str(tiny_model)]
    command += ["--jsonl", str(events)]

    def count() -> int:
        return events.read_text().count("\n") if events.exists() else 0

    def is_held() -> bool:
        before = count()
        time.sleep(1.5)
        return count() == before

    with subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait(lambda: count() >= 2)
            find = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "aae-detect demo camera"]
            found = subprocess.run(find, env=env, capture_output=True, text=True, timeout=20, check=True).stdout
            hold = ["xdotool", "windowfocus", "--sync", found.split()[0], "key", "space"]
            subprocess.run(hold, env=env, capture_output=True, timeout=20, check=True)
            wait(is_held)
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode in (0, 3), stderr
    assert "frames in" in stderr

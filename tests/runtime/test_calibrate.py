"""`aae-calibrate` as a user would run it, and `aae-detect` with what it wrote."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aae_detect.app import demo_model_path
from aae_detect.detector import Detector
from aae_detect.event_types import EVENT_TYPES
from aae_detect.site_file import read_site, read_site_entry
from aae_detect.source_options import read_streams
from aae_detect.store.event_store import EventStore
from aae_detect.store.store_output import run_event
from aae_detect.stream_judges import Models, load_judges

ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
CALIBRATE = [sys.executable, "-m", "aae_detect.calibrate.cli"]
DETECT = [sys.executable, "-m", "aae_detect"]


def run(command: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=ENVIRONMENT, timeout=120
    )


def test_from_good_parts_to_verdicts(tmp_path: Path) -> None:
    site = tmp_path / "site.json"
    good = "demo:?seed=91&defects=0"
    done = run(CALIBRATE, demo_model_path(), "--source", good, "--every", "13", "--count", "60", "--out", site)
    assert done.returncode == 0, done.stderr
    assert "60 frames, noise" in done.stdout
    assert "can promise a false-reject rate of 1.6% at best" in done.stdout
    assert f"written to {site}" in done.stdout
    entry = read_site_entry(site, good)
    assert (entry.calibration.count, entry.calibration.method, entry.calibration.extrapolated) == (60, "site", True)
    assert 0.5 < entry.noise_gray < 3

    events = tmp_path / "events.jsonl"
    arguments = ("--model", demo_model_path(), "--site", site, "--no-window", "--jsonl", events, "--max-frames", "100")
    done = run(DETECT, "--source", good, *arguments)
    assert done.returncode in (0, 3), done.stderr
    assert f"NG above {entry.threshold:.4g}" in done.stderr
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert {event["threshold"] for event in told} == {entry.threshold}
    assert all(0 <= event["p_value"] <= 1 for event in told)
    assert sum(event["verdict"] == "NG" for event in told) <= 10

    done = run(DETECT, "--source", "demo:?seed=92", *arguments)
    assert done.returncode == 2
    assert "nothing for demo:?seed=92" in done.stderr


def test_one_file_holds_several_cameras_and_products(tiny_model: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.json"
    config = tmp_path / "line.toml"
    config.write_text(
        f'[defaults]\nmodel = "{tiny_model}"\nsite = "site.json"\n'
        '[[source]]\nname = "line 1"\nsource = "demo:160x120?seed=1&frames=12&defects=0"\n'
        '[[source]]\nname = "line 2"\nsource = "demo:160x120?seed=2&frames=12&defects=0"\nproduct = "lid"\n'
    )
    done = run(CALIBRATE, "--config", config, "--out", site)
    assert done.returncode == 0, done.stderr
    assert [entry.title for entry in read_site(site).entries] == ["line 1", "line 2, product lid"]
    done = run(CALIBRATE, "--config", config, "--out", site, "--product", "box", "--target-frr", "0.2")
    assert done.returncode == 0, done.stderr
    assert [entry.title for entry in read_site(site).entries] == [
        "line 1",
        "line 2, product lid",
        "line 1, product box",
        "line 2, product box",
    ]
    done = run(DETECT, "--config", config, "--no-window")
    assert done.returncode in (0, 3), done.stderr
    for name, product in (("line 1", ""), ("line 2", "lid")):
        assert f"{name}: aae 64x64 on CPUExecutionProvider, NG above" in done.stderr
        assert f"{read_site_entry(site, name, product).threshold:.4g}" in done.stderr


def test_drift_is_watched_at_the_rate_of_the_calibration(tiny_model: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.json"
    live, file = "demo:160x120@30?live=1&defects=0", "demo:160x120?defects=0"
    for source in (live, file):
        done = run(CALIBRATE, tiny_model, "--source", source, "--most-fps", "10", "--count", "12", "--out", site)
        assert done.returncode == 0, done.stderr
    assert 0.05 < read_site_entry(site, live).frame_interval_s < 1
    assert read_site_entry(site, file).frame_interval_s == 0, "its frames come as fast as they are read"
    streams = read_streams(None, (live,), None, False, {"model": str(tiny_model), "site": str(site)})
    (judges,) = load_judges(streams, lambda: Models("cpu", 1, {}, None, print))
    assert judges.drift is not None
    assert judges.drift._interval_ns == round(read_site_entry(site, live).frame_interval_s * 1e9)


def test_a_running_store_remembers_what_was_calibrated(tiny_model: Path, tmp_path: Path) -> None:
    site, folder = tmp_path / "site.json", tmp_path / "store"
    command = (CALIBRATE, tiny_model, "--out", site, "--store", folder, "--source")
    with EventStore(folder) as running:
        for seed in (1, 2):
            done = run(*command, f"demo:160x120?seed={seed}&frames=40&defects=0", "--for", "camera 0")
            assert done.returncode == 0, done.stderr
        running.append(run_event("stop", "camera 0"))
        first, second, stop = (stored.event for stored in running.events())
    entry = read_site_entry(site, "camera 0")
    assert {first["type"], stop["type"]} <= set(EVENT_TYPES)
    assert (first["type"], first["source"], first["frames"], stop["type"]) == ("calibration", "camera 0", 40, "stop")
    assert second["threshold_before"] == first["threshold"]
    assert first["threshold_before"] == Detector.load(tiny_model).threshold
    assert second["threshold"] == entry.threshold and second["model_sha256"] == entry.model_sha256
    assert second["site"] == str(site.resolve())


def test_pictures_may_stand_for_a_camera(tiny_model: Path, demo_pictures: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.json"
    done = run(CALIBRATE, tiny_model, "--source", demo_pictures, "--for", "camera 0", "--out", site)
    assert done.returncode == 0, done.stderr
    assert read_site_entry(site, "camera 0").calibration.count == 64


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--source", "demo:?frames=5"), 4, "gave 5 frames that could be judged, expected at least 10"),
        (("--source", "nowhere.mp4"), 4, "does not exist"),
        ((), 2, "no source; give --camera 0, --source WHAT, or --config FILE\n"),
        (("--source", "demo:", "--source", "demo:?seed=1", "--for", "x"), 2, "--for names one camera"),
        (("--source", "demo:", "--count", "3"), 2, "x>=10"),
        (("--source", "demo:", "--out", "no/such/folder/site.json"), 2, "does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    tiny_model: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run(CALIBRATE, tiny_model, "--out", tmp_path / "site.json", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_is_asked_for_as_this_command_takes_it(tmp_path: Path) -> None:
    done = run(CALIBRATE, "--source", "demo:", "--out", tmp_path / "site.json")
    assert done.returncode == 2 and "no model; give it as in `aae-calibrate detector.onnx ...`" in done.stderr
    assert "--model" not in done.stderr and "--demo" not in done.stderr


def test_a_damaged_site_file_is_not_overwritten(tiny_model: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.json"
    site.write_text("not ours")
    done = run(CALIBRATE, tiny_model, "--source", "demo:?frames=20", "--out", site)
    assert done.returncode == 2
    assert "is no site file" in done.stderr
    assert site.read_text() == "not ours"


def test_a_stop_leaves_everything_as_it_was(tiny_model: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.json"
    command = [*CALIBRATE, str(tiny_model), "--source", "demo:320x240@10?live=1", "--out", str(site)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline(), "the name of the camera, when its frames begin to be collected"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert "nothing was written" in said
    assert list(tmp_path.iterdir()) == []


def test_what_was_learned_with_a_mask_holds_with_it_alone(tiny_model: Path, tmp_path: Path) -> None:
    site, mask, other = tmp_path / "site.json", tmp_path / "mask.json", tmp_path / "other.json"
    mask.write_text('{"frame": [160, 120], "look": [[[0, 0], [100, 0], [100, 100]]]}')
    other.write_text('{"frame": [160, 120], "look": [[[0, 0], [100, 0], [100, 110]]]}')
    source = ("--source", "demo:160x120?frames=12&defects=0")
    masked = ("--mask", mask)
    assert run(CALIBRATE, tiny_model, *source, *masked, "--count", "12", "--out", site).returncode == 0
    detect = (*source, "--model", tiny_model, "--site", site, "--no-window")
    assert run(DETECT, *detect, *masked).returncode in (0, 3)
    for given, words in ((("--mask", other), "was calibrated with another mask"), ((), "was calibrated with a mask")):
        done = run(DETECT, *detect, *given)
        assert done.returncode == 2
        assert words in done.stderr
    assert run(CALIBRATE, tiny_model, *source, "--count", "12", "--out", site).returncode == 0
    done = run(DETECT, *detect, *masked)
    assert done.returncode == 2
    assert "was calibrated without a mask; calibrate again" in done.stderr

"""A new model without a stop."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aae_detect import DemoCamera, Detector, ModelError
from aae_detect.app import demo_model_path, run
from aae_detect.frame_checks import FrameChecks
from aae_detect.frame_reference import fit_reference
from aae_detect.frame_statistics import measure_frame
from aae_detect.graph_run import make_run
from aae_detect.loop import Stream, Successor, _take_successor
from aae_detect.reload import reload_models, reload_on_sighup
from aae_detect.run_settings import Settings
from aae_detect.site_file import SiteEntry, SiteFile, write_site
from aae_detect.site_places import fit_places
from aae_detect.source_settings import SourceSettings
from aae_detect.stream_judges import Judges, load_judges
from aae_detect.stream_settings import StreamSettings
from aae_detect.threshold import conformal_threshold

ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}


def events(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 40
    while not what():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("live", [1, 0])
def test_a_new_model_is_taken_on_sighup_and_a_bad_one_is_not(tiny_model: Path, tmp_path: Path, live: int) -> None:
    model, log = tmp_path / "detector.onnx", tmp_path / "events.jsonl"
    shutil.copy(tiny_model, model)
    command = [sys.executable, "-m", "aae_detect", "--source", f"demo:160x120@30?live={live}", "--model", str(model)]
    command += ["--no-window", "--jsonl", str(log)]

    def changes() -> list[dict[str, object]]:
        return [event for event in events(log) if event["type"] == "model"]

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        wait_for(lambda: len(events(log)) > 5, process)
        model.write_bytes(tiny_model.read_bytes()[:-100])
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(changes()) == 1, process)
        shutil.copy(demo_model_path(), model)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(changes()) == 2, process)
        judged_before = len(events(log))
        wait_for(lambda: len(events(log)) > judged_before + 3, process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode in (0, 1, 3), said
    refused, loaded = changes()
    assert (refused["state"], refused["threshold"]) == ("refused", 2.0)
    assert "truncated or damaged" in str(refused["reason"])
    assert loaded["state"] == "loaded" and loaded["model_sha256"] != refused["model_sha256"]
    told = events(log)
    frames = [(n, event["threshold"]) for n, event in enumerate(told) if event["type"] == "frame"]
    when = told.index(loaded)
    assert {threshold for n, threshold in frames if n < when} == {2.0}
    assert {threshold for n, threshold in frames if n > when} == {loaded["threshold"]}
    assert "the model stays" in said and "new model, NG above" in said


def test_a_model_is_let_go_once_another_one_is_taken(tiny_model: Path, tmp_path: Path) -> None:
    """Two at a time do not fit everywhere."""
    model, log, left = tmp_path / "detector.onnx", tmp_path / "events.jsonl", list[int]()
    shutil.copy(demo_model_path(), model)
    streams = (StreamSettings(SourceSettings("demo:160x120@30?live=1"), model=model),)

    def count() -> int:
        """Count detectors of another model than the tiny one, also those that other tests hold."""
        gc.collect()
        return sum(type(each) is Detector and each.threshold != 2.0 for each in gc.get_objects())

    def reload() -> None:
        try:
            until = time.monotonic() + 40
            for wanted in ("frame", "model"):
                while not any(event["type"] == wanted for event in events(log)):
                    assert time.monotonic() < until
                    time.sleep(0.05)
                if wanted == "frame":
                    shutil.copy(tiny_model, model)
                    os.kill(os.getpid(), signal.SIGHUP)
            judged = len(events(log))
            while len(events(log)) < judged + 3:
                assert time.monotonic() < until
                time.sleep(0.05)
            left.append(count())
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    before = count()
    reloading = threading.Thread(target=reload)
    reloading.start()
    assert run(Settings(streams, provider="cpu", threads=1, window=False, jsonl=str(log))) in (0, 1, 3)
    reloading.join()
    assert left == [before]


def test_triggers_are_heard_after_a_new_model_too(tiny_model: Path, tmp_path: Path) -> None:
    """Lines on standard input have one reader, before and after."""
    rules, log = tmp_path / "decide.toml", tmp_path / "events.jsonl"
    rules.write_text('[decide]\nper = "trigger"\nng_frames = 1\nof_frames = 2\n')
    command = [sys.executable, "-m", "aae_detect", "--source", "demo:160x120@30?live=1", "--model", str(tiny_model)]
    command += ["--no-window", "--jsonl", str(log), "--decide", str(rules)]

    def parts() -> list[object]:
        return [event["part"] for event in events(log) if event["type"] == "decision"]

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdin is not None
        wait_for(lambda: len(events(log)) > 3, process)
        for number in range(12):
            if number in (3, 7):
                process.send_signal(signal.SIGHUP)
                changes = 1 if number == 3 else 2
                wait_for(lambda n=changes: sum(e["type"] == "model" for e in events(log)) == n, process)  # type: ignore[misc]
            process.stdin.write(f"part-{number}\n")
            process.stdin.flush()
            wait_for(lambda n=number: len(parts()) == n + 1, process)  # type: ignore[misc]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert parts() == [f"part-{number}" for number in range(12)]


def _stream(detector: Detector) -> Stream:
    return Stream(DemoCamera(size_hw=(120, 160)), detector)


def _wait_for_successor(stream: Stream) -> Successor:
    until = time.monotonic() + 20
    while (successor := stream.successor) is None:
        assert time.monotonic() < until, "nobody heard of it"
        time.sleep(0.01)
    stream.successor = None
    return successor


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, provider="cpu", threads=1)


def test_whatever_goes_wrong_refuses_the_new_model_and_the_next_is_taken(detector: Detector) -> None:
    troubles = [RuntimeError("[ONNXRuntimeError] : 6 : bad allocation"), ValueError("planes"), MemoryError(), None]
    tried = iter(troubles)

    def load() -> list[Judges]:
        if (trouble := next(tried)) is not None:
            raise trouble
        return [Judges(detector, FrameChecks())]

    stream = _stream(detector)
    with reload_on_sighup([stream], load):
        for trouble in troubles:
            os.kill(os.getpid(), signal.SIGHUP)
            successor = _wait_for_successor(stream)
            if trouble is not None:
                assert successor.detector is None and not successor.change.loaded
                assert successor.change.reason == f"{type(trouble).__name__}: {trouble}"
    assert successor.change.loaded and successor.detector is detector


def test_a_disk_that_hangs_does_not_keep_a_run_from_ending(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aae_detect.reload._PATIENCE_S", 0.1)
    loading, works = threading.Event(), threading.Event()

    def load() -> list[Judges]:
        loading.set()
        works.wait()
        return []

    def run() -> None:
        with reload_on_sighup([_stream(detector)], load):
            os.kill(os.getpid(), signal.SIGHUP)
            assert loading.wait(20)

    saving = threading.Timer(20, works.set)
    saving.start()
    run()
    assert not works.is_set()
    saving.cancel()
    works.set()


def test_a_reload_while_another_one_is_taken_is_not_lost(detector: Detector) -> None:
    class Slow(Stream):
        """Here, a reload begins just when the loop has read the former one, and not yet cleared it."""

        def __setattr__(self, name: str, value: object) -> None:
            if name == "successor" and value is None and "second" not in self.__dict__ and "successor" in self.__dict__:
                self.__dict__["second"] = threading.Thread(target=reload_models, args=([self], judges))
                self.__dict__["second"].start()
                self.__dict__["second"].join(0.3)
            super().__setattr__(name, value)

    def judges() -> list[Judges]:
        return [Judges(detector, FrameChecks())]

    stream = Slow(DemoCamera(size_hw=(120, 160)), detector)
    reload_models([stream], judges)
    _take_successor(stream)
    stream.__dict__["second"].join()
    assert stream.successor is not None


def test_a_model_that_loads_and_does_not_run_is_refused(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose memory is taken: the error is ONNX Runtime's own, here for a picture of the wrong size."""

    def make_narrow(session: Any, provider: str) -> Any:
        return lambda images: make_run(session, provider)(np.ascontiguousarray(images[:, :, :3]))

    monkeypatch.setattr("aae_detect.detector.make_run", make_narrow)
    with pytest.raises(ModelError, match=r"does not run on CPUExecutionProvider: .*INVALID_ARGUMENT"):
        Detector.load(tiny_model, provider="cpu", threads=1)


def test_a_damaged_site_file_is_refused_with_its_name(detector: Detector, tmp_path: Path) -> None:
    """Its planes say what is usual; damaged ones must not end the thread that reloads."""
    rng = np.random.default_rng(0)
    entry = SiteEntry(
        camera="demo:",
        product="",
        model_sha256=detector.model_sha256,
        calibrated_at="2026-11-25T08:00:00+00:00",
        threshold=5.0,
        calibration=conformal_threshold(rng.normal(size=40), 0.05, "site").calibration,
        places=fit_places(rng.normal(size=(40, 16, 16)).astype(np.float32)).pack(),
        noise_gray=1.5,
        frames=fit_reference([measure_frame(np.full((64, 64, 3), 127, np.uint8))] * 2, {(64, 64)}, 0.0),
    )
    site = tmp_path / "site.json"
    write_site(site, SiteFile((entry,)))
    wanted = StreamSettings(SourceSettings("demo:"), site=site)

    class Loaded:
        def of(self, stream: StreamSettings) -> Detector:
            return detector

    def load() -> list[Judges]:
        return load_judges([wanted], Loaded)  # type: ignore[arg-type]

    stream = _stream(detector)
    reload_models([stream], load)
    assert _wait_for_successor(stream).change.loaded
    site.write_text(site.read_text().replace(entry.frames.planes, entry.frames.planes[:-8]))
    reload_models([stream], load)
    change = _wait_for_successor(stream).change
    assert not change.loaded
    assert change.reason.startswith(f"{site} is no site file: planes have ")

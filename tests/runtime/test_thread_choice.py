"""`--threads auto`: what is chosen, and that it is remembered."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from aae_detect import Detector, ModelError, thread_choice
from aae_detect.bench.machine import count_usable_cores
from aae_detect.cli import main
from aae_detect.model_file import read_model
from aae_detect.session import open_session
from aae_detect.thread_choice import candidates, choose_threads, measure, memory_path, pick


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "aae-detect" / "threads.json"


@pytest.mark.parametrize(
    ("cores", "numbers"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 3, 4, 6]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 6, 8, 12])]
)
def test_numbers_worth_trying(cores: int, numbers: list[int]) -> None:
    assert candidates(cores) == numbers


@pytest.mark.parametrize(
    ("times", "chosen"),
    [({1: 8.0, 2: 5.0, 4: 4.0}, 4), ({1: 8.0, 2: 5.0, 4: 4.9}, 2), ({1: 5.0, 2: 5.1, 4: 9.0}, 1), ({3: 1.0}, 3)],
)
def test_the_fewest_threads_that_are_about_as_fast_as_any(times: dict[int, float], chosen: int) -> None:
    assert pick(times) == chosen


def test_every_number_is_really_timed(tiny_model: Path) -> None:
    times = measure(read_model(tiny_model), "cpu", None, [1, 2])
    assert list(times) == [1, 2]
    assert all(0 < ms < 1000 for ms in times.values())


def test_what_was_measured_is_remembered(tiny_model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory_path() == cache
    detector = Detector.load(tiny_model, provider="cpu", threads="auto")
    assert 1 <= detector.threads <= (os.cpu_count() or 1)
    (kept,) = json.loads(cache.read_text()).values()
    assert kept == detector.threads

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(thread_choice, "measure", refuse)
    assert choose_threads(read_model(tiny_model), "cpu") == kept
    with pytest.raises(AssertionError, match="measured again"):  # another provider has times of its own
        choose_threads(read_model(tiny_model), "auto")


def test_nothing_is_measured_that_may_not_run(
    tiny_model: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(tiny_model.read_bytes().replace(b"image", b"imago"))
    with pytest.raises(ModelError, match="the graph has image as nothing"):
        Detector.load(other, provider="cpu", threads="auto")
    assert not cache.exists()
    # What fails only later is told in the same way.
    monkeypatch.setattr(thread_choice, "make_run", lambda session, _: lambda images: session.run(None, {"x": images}))
    with pytest.raises(ModelError, match="loads and does not run on CPUExecutionProvider"):
        measure(read_model(tiny_model), "cpu", None, [1])


def test_what_is_remembered_is_loaded_once(tiny_model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose_threads(read_model(tiny_model), "cpu")
    (key,) = json.loads(cache.read_text())
    chosen = count_usable_cores()  # on all but the smallest machines another number than the first guess
    cache.write_text(json.dumps({key: chosen}))
    made = list[int]()

    def open_and_note(content: bytes, provider: str, threads: int, options: object) -> object:
        made.append(threads)
        return open_session(content, provider, threads)

    monkeypatch.setattr("aae_detect.detector.open_session", open_and_note)
    assert Detector.load(tiny_model, provider="cpu", threads="auto").threads == chosen
    assert made == [chosen]


def test_without_a_home_nothing_is_remembered(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user whom the system does not know
    monkeypatch.chdir(tmp_path)
    assert memory_path() is None
    assert choose_threads(read_model(tiny_model), "cpu") >= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["", "[1]", "{", '{"wrong": "x"}', "[" * 100_000])
def test_a_damaged_memory_is_measured_anew(tiny_model: Path, cache: Path, damage: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(damage)
    chosen = choose_threads(read_model(tiny_model), "cpu")
    assert chosen in json.loads(cache.read_text()).values()


def test_a_number_that_this_machine_does_not_have_is_measured_anew(tiny_model: Path, cache: Path) -> None:
    chosen = choose_threads(read_model(tiny_model), "cpu")
    (key,) = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: 100_000}))
    assert choose_threads(read_model(tiny_model), "cpu") <= (os.cpu_count() or 1)
    assert chosen >= 1


def test_without_a_place_to_write_it_measures_every_time(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert choose_threads(read_model(tiny_model), "cpu") >= 1


@pytest.mark.parametrize("text", ["many", "-1", "257", "1.5"])
def test_what_is_no_number_of_threads_is_told(text: str) -> None:
    found = CliRunner().invoke(main, ["--demo", f"--threads={text}"])
    assert found.exit_code == 2
    assert f"{text!r} is neither auto nor a number from 0 to 256" in found.output

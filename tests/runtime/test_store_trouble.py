"""A store whose disk is full, read-only or damaged: verdicts go on, and it is said once."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aae_detect import ConfigError, Frame
from aae_detect.drawer import Drawer
from aae_detect.frames import Signal
from aae_detect.judged import Judged
from aae_detect.sinks.forwarder import Forwarder
from aae_detect.sinks.opening import Sinks
from aae_detect.sinks.python_call import PythonCall
from aae_detect.sinks.settings import PythonSettings, SinkSettings
from aae_detect.store.database import StoreDiskError, is_disks_fault, transaction
from aae_detect.store.disk_room import DiskRoom
from aae_detect.store.event_store import DATABASE, PICTURES, RESERVE, EventStore, Retention
from aae_detect.store.store_output import StoreOutput

LOOK_S = 1.1
"""After this long the room on the disk has been looked at again."""

MEGABYTE = 2**20


def event(at: datetime | None = None) -> dict[str, object]:
    moment = (at or datetime.now(UTC)).isoformat(timespec="milliseconds")
    region = {"x": 12, "y": 40, "width": 30, "height": 20, "area_px": 455, "peak": 7.25}
    return {"type": "frame", "time": moment, "source": "line 1", "verdict": "NG", "score": 3.5, "regions": [region] * 4}


def signal() -> Signal:
    return Signal(True, "gone", datetime.now(UTC), "line 1")


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system (root)")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore(tmp_path / "store") as store:
        yield store


def output_of(store: EventStore, said: list[str]) -> StoreOutput:
    return StoreOutput(store, Retention(), Drawer(), said.append)


def test_only_what_is_kept_is_wanted(store: EventStore) -> None:
    output = output_of(store, [])
    frame = Frame(None, 0, datetime.now(UTC), "line 1", "torn")

    def seen(verdict: str, reason: str = "") -> Judged:
        return Judged(frame, None, None, reason, None, 1.0, {**event(), "verdict": verdict})

    assert [output.wants(seen(verdict)) for verdict in ("OK", "NG")] == [False, True]
    assert output.wants(seen("UNKNOWN", "covered: 40 %"))
    output.take(seen("UNKNOWN", "covered: 40 %"))
    assert not output.wants(seen("UNKNOWN", "covered: 41 %"))
    assert output.wants(seen("UNKNOWN", "dark: 3"))
    assert store.count() == 1


def test_pictures_that_cannot_be_made_cost_themselves_and_are_said_once(store: EventStore) -> None:
    said: list[str] = []
    output = output_of(store, said)

    def seen(width: int) -> Judged:
        picture = np.zeros((1, width, 3), np.uint8)
        return Judged(Frame(picture, 0, datetime.now(UTC), "line 1"), picture, None, "", None, 1.0, event())

    for width in (70_000, 1_100_000, 1_100_000):  # more than JPEG can hold, and than PNG can
        output.take(seen(width))
    output.signal(signal())
    problem = "pictures cannot be made: a picture of 1100000x1 cannot be written as .png; crop or shrink it"
    assert said == [f"warning: {problem}"]
    output.take(seen(100))
    assert said[1:] == [f"{store.folder}: pictures are kept again"]
    assert store.count() == 5
    kept = [path.name.partition(".")[2] for path in (store.folder / PICTURES).rglob("*.*")]
    assert sorted(kept) == ["frame.png", "frame.png", "overlay.jpg", "overlay.jpg"]


def test_a_read_only_disk_costs_events_and_is_said_once(store: EventStore) -> None:
    said: list[str] = []
    output = output_of(store, said)
    output.signal(signal())
    store._database.execute("PRAGMA query_only = 1")
    for _ in range(3):
        output.signal(signal())
    assert said == [
        f"warning: {store.folder}: an event cannot be written (attempt to write a readonly database); verdicts go on"
    ]
    store._database.execute("PRAGMA query_only = 0")
    output.signal(signal())
    output.signal(signal())
    assert said[1:] == [f"{store.folder}: events are kept again, 3 are missing"]
    assert store.count() == 3
    assert (store.folder / RESERVE).exists()


def test_a_reserve_that_cannot_be_given_up_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    room = DiskRoom(tmp_path, tmp_path / "file" / RESERVE, 0)  # no name in a file can be made or taken away
    assert room.look() == ""
    assert not room.give_up_reserve()
    shutil.rmtree(tmp_path)
    time.sleep(LOOK_S)
    assert "the disk does not say how much is free" in room.look()


def test_a_line_starts_with_a_read_only_store(disk: Disk, tiny_model: Path) -> None:
    EventStore(disk.folder / "store").close()
    disk.remount("ro")
    with pytest.raises(StoreDiskError):
        EventStore(disk.folder / "store")
    with pytest.raises(StoreDiskError, match="cannot be made"):
        EventStore(disk.folder / "another")
    said = _run(tiny_model, disk.folder / "store")
    assert said.count("no event is kept until it works, which is tried every minute; verdicts go on") == 1


def test_a_disk_that_is_mended_is_used_without_a_new_start(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventStore(disk.folder / "store") as before:
        before.append(event())
    disk.remount("ro")
    said: list[str] = []
    (tmp_path / "tell.py").write_text("def on_event(event, pictures): pass\n")
    sink = PythonCall(PythonSettings(f"{tmp_path}/tell.py:on_event"))
    with EventStore(disk.folder / "new", waits_for_disk=True) as store, closing(Forwarder(store, sink, said.append)):
        assert len(said) == 1 and "hears of no event until it works, which is tried every minute" in said.pop()
    with EventStore(disk.folder / "store", least_free_bytes=MEGABYTE, waits_for_disk=True) as store:
        assert not store.is_open and "read-only" in store.problem
        output = output_of(store, said)
        output.signal(signal())
        disk.remount("rw")
        output.signal(signal())
        assert not store.is_open
        assert len(said) == 1, "it is tried once a minute, and said once"
        monkeypatch.setattr(store, "_next_try_s", 0.0)
        output.signal(signal())
        assert said[1:] == [f"{store.folder}: events are kept again, 2 are missing"]
        assert store.is_open and store.problem == "" and store.count() == 2
    with EventStore(disk.folder / "store", waits_for_disk=True) as store:
        assert store.is_open and store.count() == 2


def test_a_line_starts_on_a_full_disk(disk: Disk, tiny_model: Path) -> None:
    with EventStore(disk.folder / "store", least_free_bytes=MEGABYTE) as store:
        store.append(event())
    disk.fill()
    _run(tiny_model, disk.folder / "store")
    with EventStore(disk.folder / "store", read_only=True) as store:
        assert store.count() > 1, "the reserve was there for them"


def _run(model: Path, store: Path) -> str:
    command = [sys.executable, "-m", "aae_detect", "--source", "demo:160x120?frames=5", "--threshold", "-1"]
    command += ["--model", str(model), "--no-window", "--store", str(store)]
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "5 frames in" in done.stderr and "Traceback" not in done.stderr
    return done.stderr


def test_the_reserve_lasts_for_a_long_time_and_is_made_again(disk: Disk) -> None:
    with EventStore(disk.folder / "store", least_free_bytes=MEGABYTE) as store:
        store.append(event())  # a young store: its log has not grown yet
        disk.fill()
        kept = 0
        while kept < 1500:
            store.append(event())
            kept += 1
        assert not (store.folder / RESERVE).exists()
        with pytest.raises(ConfigError, match="make room"):
            for _ in range(10_000):
                store.append(event())
        (disk.folder / "filler").unlink()
        time.sleep(LOOK_S)
        store.append(event())
        assert (store.folder / RESERVE).stat().st_size == 2 * MEGABYTE
        assert store.count() > kept


def test_a_sink_that_cannot_remember_does_not_keep_a_line_from_starting(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tell.py").write_text("def on_event(event, pictures):\n    pass\n")
    settings = SinkSettings(python=(PythonSettings(f"{tmp_path}/tell.py:on_event"),))
    said: list[str] = []
    monkeypatch.setattr("aae_detect.store.database._BUSY_MS", 50)
    with closing(sqlite3.connect(store.folder / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(Sinks(settings, said.append)) as sinks:
            sinks.start(store, ["line 1"])
        other.execute("ROLLBACK")
    assert len(said) == 1
    assert "database is locked" in said[0] and "hears of no event until it works" in said[0]


def test_a_sink_that_could_not_remember_at_the_start_tries_again(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tell.py").write_text("calls = []\ndef on_event(event, pictures):\n    calls.append(event)\n")
    sink, said = PythonCall(PythonSettings(f"{tmp_path}/tell.py:on_event")), list[str]()
    Forwarder(store, sink, said.append).close()  # it is known to the store
    monkeypatch.setattr("aae_detect.store.database._BUSY_MS", 50)
    monkeypatch.setattr("aae_detect.sinks.forwarder._OPEN_AGAIN_S", 0.1)
    store.append(event())
    with closing(sqlite3.connect(store.folder / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        forwarder = Forwarder(store, sink, said.append)
        other.execute("ROLLBACK")
    with closing(forwarder):
        deadline = time.monotonic() + 20
        calls = sink._call.__globals__["calls"]  # type: ignore[attr-defined]
        while not calls and time.monotonic() < deadline:
            time.sleep(0.02)
    assert len(calls) == 1
    assert said[1:] == [f"{sink.name}: {store.folder} can be read again; events are sent"]


def test_a_lock_of_another_process_costs_an_event_and_not_the_reserve(store: EventStore) -> None:
    said: list[str] = []
    output = output_of(store, said)
    output.signal(signal())
    store._database.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(store.folder / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        output.signal(signal())
        other.execute("ROLLBACK")
    output.signal(signal())
    assert "database is locked" in said[0]
    assert said[1:] == [f"{store.folder}: events are kept again, 1 are missing"]
    assert (store.folder / RESERVE).exists()


def test_a_database_that_does_not_answer_costs_events(store: EventStore) -> None:
    said: list[str] = []
    output = output_of(store, said)
    store.close()
    picture = np.zeros((8, 8, 3), np.uint8)
    frame = Frame(picture, 1, datetime.now(UTC), "line 1")
    for _ in range(3):
        assert output.take(Judged(frame, None, None, "", None, 1.0, event()))
    output.close()
    assert len(said) == 2
    assert "closed database" in said[0]
    assert said[1] == f"warning: {store.folder}: the last 3 events are missing"


def test_the_reserve_is_made_again_when_there_is_room(store: EventStore) -> None:
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ConfigError, match="an event cannot be written"):
        for _ in range(100):
            store.append(event())
    assert not (store.folder / RESERVE).exists()
    store._database.execute(f"PRAGMA max_page_count = {100 * pages}")
    time.sleep(LOOK_S)
    store.append(event())
    assert (store.folder / RESERVE).exists()


def test_an_event_that_cannot_be_committed_leaves_no_pictures(store: EventStore) -> None:
    store.append(event(), {"frame.png": b"x" * 100})
    store._database.execute("PRAGMA query_only = 1")
    with pytest.raises(ConfigError, match="an event cannot be written"):
        store.append(event(), {"frame.png": b"x" * 100, "overlay.jpg": b"y"})
    kept = [path for path in (store.folder / PICTURES).rglob("*") if path.is_file()]
    assert kept == [stored.pictures["frame"] for stored in store.events()]


def test_an_event_that_no_database_takes_is_refused_and_leaves_no_pictures(store: EventStore) -> None:
    with pytest.raises(ConfigError, match="an event cannot be written"):
        store.append({**event(), "source": "film_\udce4.mp4"}, {"frame.png": b"x" * 100})
    assert not [path for path in (store.folder / PICTURES).rglob("*") if path.is_file()]


def test_a_commit_that_the_disk_refuses_is_told_as_that(tmp_path: Path) -> None:
    """SQLite has taken the statements back by itself then."""
    resource = pytest.importorskip("resource")
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as database:
        database.execute("CREATE TABLE numbers (number)")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, limits[1]))  # real write errors, as on a full disk
        try:
            with pytest.raises(sqlite3.OperationalError) as caught, transaction(database):
                database.execute("INSERT INTO numbers VALUES (zeroblob(100000))")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert is_disks_fault(caught.value, tmp_path)
        assert not database.in_transaction
        assert database.execute("SELECT COUNT(*) FROM numbers").fetchone() == (0,)

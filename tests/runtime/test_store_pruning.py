"""What leaves the store: by age, by number, by room, and never what is wanted or only seems to be old."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aae_detect import ConfigError, Frame
from aae_detect.drawer import Drawer
from aae_detect.frames import Signal
from aae_detect.judged import Judged
from aae_detect.store.event_store import DATABASE, PICTURES, EventStore, Retention
from aae_detect.store.picture_files import PictureFiles
from aae_detect.store.store_output import StoreOutput


def event(at: datetime | None = None) -> dict[str, object]:
    moment = (at or datetime.now(UTC)).isoformat(timespec="milliseconds")
    region = {"x": 12, "y": 40, "width": 30, "height": 20, "area_px": 455, "peak": 7.25}
    return {"type": "frame", "time": moment, "source": "line 1", "verdict": "NG", "score": 3.5, "regions": [region] * 4}


def signal() -> Signal:
    return Signal(True, "gone", datetime.now(UTC), "line 1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore(tmp_path / "store") as store:
        yield store


def test_old_events_that_cannot_be_taken_out_hold_nobody_up(store: EventStore) -> None:
    said: list[str] = []
    store._database.execute("CREATE TRIGGER stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
    store.append(event())
    output = StoreOutput(store, Retention(most_events=0), Drawer(), said.append)
    for _ in range(3):
        output.signal(signal())
    assert store.count() == 4
    assert said == [f"warning: {store.folder}: old events and pictures cannot be taken out (no); the store grows"]


@pytest.mark.parametrize("damage", ["{", "[1]", '{"frame": 3}'])
def test_a_damaged_event_goes_when_it_is_old(store: EventStore, damage: str) -> None:
    for _ in range(3):
        store.append(event(), {"frame.png": b"x" * 100})
    store._database.execute("UPDATE events SET pictures = ? WHERE number = 1", (damage,))
    for path in (store.folder / PICTURES).rglob("*.png"):
        os.utime(path, (time.time() - 7200,) * 2)
    assert store.prune(Retention(), orphans=True) == 0
    assert len(list((store.folder / PICTURES).rglob("*.png"))) == 3, "nobody can say whose picture it is"
    assert store.prune(Retention(most_picture_bytes=0)) == 0
    assert store.prune(Retention(most_events=0)) == 3
    assert store.count() == 0


def test_a_clock_that_is_far_ahead_costs_no_events(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        store.append(event())
    said: list[str] = []
    ahead = time.time() + 100 * 86400
    monkeypatch.setattr("aae_detect.store.pruning.time.time", lambda: ahead)
    StoreOutput(store, Retention(), Drawer(), said.append).signal(signal())
    assert store.count() == 5
    (warning,) = said
    assert "5 of 5 events seem to be older than 90 days, and stay; is the clock right?" in warning
    with pytest.raises(ConfigError, match="is the clock right"):
        store.prune(Retention(most_events=3), by_hand=False)
    assert store.count() == 3, "room is made as ever"
    assert store.prune(Retention()) == 3, "a person may ask for it"


def test_what_came_before_the_clock_was_set_is_not_old(store: EventStore) -> None:
    for at in (datetime(2000, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC)):
        store.append(event(at))
    assert store.prune(Retention()) == 0
    assert store.prune(Retention(most_events=1)) == 1


def test_a_camera_that_flickers_does_not_fill_the_disk(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One frame is fine, the next says nothing, for three minutes."""
    output = StoreOutput(store, Retention(), Drawer(), print)
    for second in range(180):
        monkeypatch.setattr("aae_detect.store.store_output.time.monotonic", lambda at=1000.0 + second: at)
        for verdict, reason in (("OK", ""), ("UNKNOWN", f"black: {second}")):
            frame = Frame(np.zeros((8, 8, 3), np.uint8), second, datetime.now(UTC), "line 1")
            output.take(Judged(frame, frame.image, None, reason, None, 0.0, {**event(), "verdict": verdict}))
    assert store.count() == 3
    frame = Frame(None, 200, datetime.now(UTC), "line 1")
    output.take(Judged(frame, None, None, "covered: all", None, 0.0, {**event(), "verdict": "UNKNOWN"}))
    assert store.count() == 4, "for another reason"


def test_pictures_that_another_process_takes_out_first_are_no_trouble(tmp_path: Path) -> None:
    day = tmp_path / "2026-11-25"
    day.mkdir()
    for number in range(4):
        (day / f"{number}.frame.png").write_bytes(b"x")
        os.utime(day / f"{number}.frame.png", (time.time() - 7200,) * 2)

    def is_known(key: str, name: str) -> bool:
        for path in day.iterdir():
            path.unlink()
        return False

    PictureFiles(tmp_path).remove_orphans(is_known)
    assert not day.exists()


@pytest.mark.parametrize(
    ("retention", "statement"),
    [(Retention(most_picture_bytes=0), "UPDATE events SET pictures"), (Retention(most_events=0), "DELETE FROM")],
)
def test_what_is_marked_in_the_last_moment_keeps_its_pictures(
    store: EventStore, retention: Retention, statement: str
) -> None:
    key = store.append(event(), {"frame.png": b"x" * 100})
    with closing(sqlite3.connect(store.folder / DATABASE, isolation_level=None, timeout=0)) as other:
        marked: list[int] = []

        def mark(running: str) -> None:
            if running.startswith(statement):
                with suppress(sqlite3.OperationalError):  # whoever asks is told that it is locked
                    marked.append(other.execute("UPDATE events SET mark = 'good' WHERE key = ?", (key,)).rowcount)

        store._database.set_trace_callback(mark)
        store.prune(retention)
        store._database.set_trace_callback(None)
    left = [stored.pictures["frame"].is_file() for stored in store.events(mark="good")]
    assert left == [True] * len(marked)
    assert marked == ([1] if statement.startswith("UPDATE") else [])

"""The store of events: what was committed is there, whatever happened since."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from aae_detect import ConfigError
from aae_detect.app import demo_model_path
from aae_detect.store.cursor import Cursor
from aae_detect.store.database import MIGRATIONS
from aae_detect.store.event_store import DATABASE, PICTURES, RESERVE, EventStore, Retention

EVENTS = [sys.executable, "-m", "aae_detect.store.cli"]
ENVIRONMENT = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
NOW = datetime.now(UTC)
PNG = cv2.imencode(".png", np.full((4, 4, 3), 9, np.uint8))[1].tobytes()


def event(verdict: str = "NG", source: str = "line 1", age_days: float = 0.0, **more: object) -> dict[str, object]:
    moment = (NOW - timedelta(days=age_days)).isoformat(timespec="milliseconds")
    return {"type": "frame", "time": moment, "source": source, "verdict": verdict, "score": 3.5, **more}


Opened = Callable[..., EventStore]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens stores, and closes them in the end."""
    with ExitStack() as stack:

        def open_store(*arguments: object, **options: object) -> EventStore:
            return stack.enter_context(EventStore(*arguments, **options))  # type: ignore[arg-type]

        yield open_store


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*EVENTS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)


def test_events_come_back_in_order_with_their_pictures(tmp_path: Path, opened: Opened) -> None:
    store = opened(tmp_path / "s")
    keys = [store.append(event(score=float(n)), {"frame.png": PNG, "overlay.jpg": b"x"}) for n in range(3)]
    store.append(event("UNKNOWN", "line 2"))
    store.close()
    again = opened(tmp_path / "s", read_only=True)
    found = list(again.events())
    assert [stored.number for stored in found] == [1, 2, 3, 4]
    assert [stored.key for stored in found[:3]] == keys
    assert len(set(keys)) == 3
    assert found[1].event["score"] == 1.0
    assert found[0].pictures["frame"].read_bytes() == PNG
    assert set(found[0].pictures) == {"frame", "overlay"}
    assert [stored.number for stored in again.events(verdicts=("UNKNOWN",))] == [4]
    assert [stored.number for stored in again.events(sources=("line 1",), newest_first=True, limit=2)] == [3, 2]
    assert [stored.number for stored in again.events(after=2)] == [3, 4]
    assert list(again.events(since_ms=round(time.time() * 1000) + 60_000)) == []
    with pytest.raises(sqlite3.OperationalError):
        again._database.execute("DELETE FROM events")


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from aae_detect.store.event_store import EventStore
store = EventStore(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = {"type": "frame", "time": moment, "source": "s", "n": number}
    print(store.append(event, {"frame.png": b"0" * 20_000}), flush=True)
"""


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_what_was_committed_survives_a_kill_at_any_moment(tmp_path: Path, opened: Opened, kills: int) -> None:
    rng = np.random.default_rng(0)
    told: list[str] = []
    for _ in range(kills):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told.append(process.stdout.readline().strip())
            time.sleep(float(rng.uniform(0, 0.15)))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.read().split()
    store = opened(tmp_path)
    kept = {stored.key: stored for stored in store.events()}
    whole = [key for key in told if len(key) == 25]  # the last line may have been cut off while it was told
    assert len(whole) >= kills
    assert set(whole) <= set(kept)
    assert all(stored.pictures["frame"].stat().st_size == 20_000 for stored in kept.values())
    assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_oldest_go_first_and_marked_ones_stay(tmp_path: Path, opened: Opened) -> None:
    store = opened(tmp_path)
    keys = [store.append(event(age_days=age), {"frame.png": PNG}) for age in (200, 100, 3, 2, 1, 0)]
    store.set_mark(keys[0], "good")
    assert store.prune(Retention(most_days=90)) == 1
    assert [stored.key for stored in store.events()] == [keys[0], *keys[2:]]
    assert store.prune(Retention(most_events=3)) == 1
    assert [stored.key for stored in store.events()] == [keys[0], *keys[3:]]
    assert store.prune(Retention(most_picture_bytes=3 * len(PNG))) == 0
    found = list(store.events())
    assert [bool(stored.pictures) for stored in found] == [True, False, True, True], "the oldest lost its picture"
    assert len([path for path in tmp_path.rglob("*.png")]) == 3


def test_pictures_without_an_event_go_after_an_hour(tmp_path: Path, opened: Opened) -> None:
    store = opened(tmp_path)
    store.append(event(), {"frame.png": PNG})
    day = next((tmp_path / PICTURES).iterdir())
    left, young = day / "0123456789ab-0123456789ab.frame.png", day / "0123456789ac-0123456789ab.frame.png"
    for path in (left, young):
        path.write_bytes(PNG)
    os.utime(left, (time.time() - 7200,) * 2)
    store.prune(Retention())
    assert left.exists(), "looked for only when asked"
    store.prune(Retention(), orphans=True)
    assert not left.exists() and young.exists()
    assert len(list(store.events())) == 1


def test_a_disk_without_room_keeps_events_without_pictures_and_says_so(tmp_path: Path, opened: Opened) -> None:
    store = opened(tmp_path, least_free_bytes=2**60)
    store.append(event(), {"frame.png": PNG})
    assert store.problem.startswith("pictures are not kept: ")
    assert [stored.pictures for stored in store.events()] == [{}]
    assert not (tmp_path / RESERVE).exists()


def test_a_full_disk_takes_the_reserve(tmp_path: Path, opened: Opened) -> None:
    """A database that may not grow is what a full disk looks like to SQLite."""
    store = opened(tmp_path)
    assert (tmp_path / RESERVE).stat().st_size > 10**6
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ConfigError, match="an event cannot be written"):
        for _ in range(100):
            store.append(event(reason="x" * 2000))
    assert not (tmp_path / RESERVE).exists()


def test_stores_of_another_kind_are_refused(tmp_path: Path, opened: Opened) -> None:
    with pytest.raises(ConfigError, match=r"holds no events.sqlite"):
        opened(tmp_path, read_only=True)
    (tmp_path / DATABASE).write_bytes(b"not a database, but long enough to look like one" * 50)
    with pytest.raises(ConfigError, match="cannot be used as a store"):
        opened(tmp_path)
    (tmp_path / DATABASE).unlink()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigError, match="upgrade"):
        opened(tmp_path)


def test_an_older_store_becomes_a_newer_one_with_all_its_events(tmp_path: Path, opened: Opened) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
        body = json.dumps(event())
        old.execute(
            "INSERT INTO events (key, at_ms, type, source, verdict, body, pictures, picture_bytes) "
            "VALUES (?, 5, 'frame', 'line 1', 'NG', ?, '{}', 0)",
            (key := "000000000005-0123456789ab", body),
        )
    assert [stored.key for stored in opened(tmp_path, read_only=True).events()] == [key], "reading changes nothing"
    store = opened(tmp_path)
    assert store._database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert [stored.key for stored in store.events()] == [key]
    with closing(Cursor(tmp_path, "erp")) as cursor:
        assert cursor.number == 1, "what was there before the sink does not go to it"
        cursor.move(2)
    with closing(Cursor(tmp_path, "erp")) as cursor:
        assert cursor.number == 2


def test_names_that_lead_out_of_the_folder_lead_nowhere(tmp_path: Path, opened: Opened) -> None:
    store = opened(tmp_path)
    key = store.append(event(), {"frame.png": PNG})
    for name in ("../../../etc/passwd", "/etc/passwd", "2026-01-01/../../x.frame.png"):
        store._database.execute("UPDATE events SET pictures = ? WHERE key = ?", (json.dumps({"frame": name}), key))
        assert store.find(key).pictures == {}


def test_the_commands_list_show_mark_export_and_prune(tmp_path: Path, opened: Opened) -> None:
    folder, out = tmp_path / "s", tmp_path / "good"
    store = opened(folder)
    keys = [store.append(event(score=n), {"frame.png": PNG}) for n in (3.5, 4.5)]
    store.append(event("UNKNOWN", reason="black: nothing", score=None))
    store.close()
    listed = run("list", folder)
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()[:2]] == keys
    assert "UNKNOWN  black: nothing" in listed.stdout.splitlines()[2]
    whole = json.loads(run("list", folder, "--json", "--verdict", "UNKNOWN").stdout)
    assert list(whole) == ["number", "key", "mark", "event", "pictures"]
    assert (whole["number"], whole["event"]["reason"]) == (3, "black: nothing")
    assert run("list", folder, "--since", "0s").stderr == "no such events\n"
    shown = run("show", folder, keys[1])
    assert '"score": 4.5' in shown.stdout and ".frame.png" in shown.stdout
    assert run("mark", folder, keys[1], "good").stdout.rstrip().endswith("[good]")
    assert "1 frames copied" in run("export", folder, "--good", "--out", out).stdout
    assert [path.read_bytes() for path in out.iterdir()] == [PNG]
    assert "2 events taken out" in run("prune", folder, "--most", "0").stdout
    assert [line.split()[0] for line in run("list", folder).stdout.splitlines()] == [keys[1]]
    for arguments, words in (
        (("show", folder, "zz"), "no event"),
        (("list", tmp_path), "holds no"),
        (("list", folder, "--since", "1x"), "time span"),
    ):
        done = run(*arguments)
        assert done.returncode == 2 and words in done.stderr


def test_a_damaged_event_does_not_hide_the_others(tmp_path: Path, opened: Opened) -> None:
    folder, out = tmp_path / "s", tmp_path / "out"
    store = opened(folder)
    keys = [store.append(event(score=n), {"frame.png": PNG}) for n in (3.5, 4.5, 5.5)]
    store._database.execute("UPDATE events SET body = '{' WHERE number = 2")
    store.close()
    listed, exported = run("list", folder), run("export", folder, "--out", out)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [keys[0], keys[2]]
    assert {path.stem for path in out.iterdir()} == {keys[0], keys[2]}
    for done in (listed, exported):
        assert done.returncode == 0
        assert f"warning: {folder}: event 2 is damaged" in done.stderr and "it is left out" in done.stderr


def test_a_store_from_elsewhere_cannot_have_files_written_or_read_where_it_likes(
    tmp_path: Path, opened: Opened
) -> None:
    folder, out, secret = tmp_path / "s", tmp_path / "some" / "out", tmp_path / "secret"
    secret.write_bytes(b"kept")
    store = opened(folder)
    keys = [store.append(event(score=n), {"frame.png": PNG}) for n in (3.5, 4.5, 5.5)]
    keys += [store.append(event(age_days=age)) for age in (-365 * 7000, 365 * 60)]  # clocks that are wrong
    store._database.execute("UPDATE events SET key = '../../escaped' WHERE number = 1")
    linked = store.find(keys[1]).pictures["frame"]
    linked.unlink()
    linked.symlink_to(secret)
    store.close()
    done = run("export", folder, "--out", out)
    assert done.returncode == 0 and done.stdout == f"1 frames copied to {out}; 3 events have none\n"
    assert f"{folder}: event 1 is damaged ('../../escaped' is no key)" in done.stderr
    assert f"warning: {linked} leads out of {folder}; it is left out" in done.stderr
    assert [path.name for path in out.iterdir()] == [f"{keys[2]}.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"s", "some", "secret"}
    (out / f"{keys[2]}.png").unlink()
    (out / f"{keys[2]}.png").symlink_to(secret)
    done = run("export", folder, "--out", out)
    assert done.returncode == 2 and "is a symbolic link; take it away" in done.stderr
    assert secret.read_bytes() == b"kept"


def test_aae_detect_keeps_what_matters(tmp_path: Path, opened: Opened) -> None:
    folder = tmp_path / "store"
    source = "demo:?seed=3&defects=0.5&frames=90"
    command = [sys.executable, "-m", "aae_detect", "--source", source, "--model", str(demo_model_path())]
    command += ["--no-window", "--store", str(folder), "--jsonl", str(tmp_path / "e.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 3, done.stderr
    stored = list(opened(folder, read_only=True).events())
    assert [stored[0].event["type"], stored[-1].event["type"]] == ["start", "stop"]
    assert len(stored[0].event["models"][0]) == 64
    told = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    ng = [line for line in told if line["verdict"] == "NG"]
    assert ng
    assert [each.event for each in stored[1:-1]] == ng
    for each in stored[1:-1]:
        assert cv2.imread(str(each.pictures["frame"])).shape == (480, 640, 3)
        assert cv2.imread(str(each.pictures["overlay"])).shape == (480, 640, 3)
        assert np.load(each.pictures["map"], allow_pickle=False).max() == pytest.approx(each.event["score"], rel=1e-2)

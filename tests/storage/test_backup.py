"""Copies of a SQLite database: whole, made while it is written, and found out when they are not what they were."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queued.domain.jobs import NewJob
from queued.storage import backup
from queued.storage.backup import BackupError, copies, directory_of
from queued.storage.store import Store, open_store

DAY = 86400.0


def never() -> bool:
    return False


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    store = open_store(sqlite_url)
    store.migrate()
    store.enqueue([NewJob("app.work", arguments=f'{{"args":[{n}],"kwargs":{{}}}}') for n in range(500)])
    yield store
    store.close()


def make(store: Store, keep: int = 7) -> backup.Copy:
    return backup.make(store, None, keep, never)


def verify(store: Store, max_age: float = DAY) -> backup.Copy:
    return backup.verify(store, None, max_age, never)


def test_a_copy_holds_what_the_database_held_and_is_found_whole(store: Store) -> None:
    made = make(store)
    store.enqueue([NewJob("app.later")])
    with closing(sqlite3.connect(made.path)) as connection:
        assert connection.execute("SELECT count(*) FROM queued_jobs").fetchone()[0] == 500
    found = verify(store)
    assert (found.path, found.rows) == (made.path, made.rows)
    assert found.rows >= 1000
    assert os.stat(made.path).st_mode & 0o077 == 0
    assert sorted(path.suffix for path in directory_of(store, None).iterdir()) == [".json", ".sqlite3"]


def test_a_copy_of_a_database_that_is_written_all_the_time_is_one_moment_of_it(
    store: Store, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "STEP", 5)
    stop = threading.Event()

    def write() -> None:
        writer = open_store(sqlite_url)
        while not stop.is_set():
            writer.enqueue([NewJob("app.busy")] * 10)
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        made = make(store)
    finally:
        stop.set()
        thread.join()
    with closing(sqlite3.connect(made.path)) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM queued_{table}").fetchone()[0] for table in ("jobs", "ready")
        ]
    assert counts[0] == counts[1]
    verify(store)


def test_only_the_newest_copies_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        monkeypatch.setattr(backup.time, "strftime", lambda *_, n=n: f"20260101T00000{n}")
        make(store, keep=2)
    assert [path.name for path in copies(directory_of(store, None))] == [
        "queued-20260101T000002.sqlite3",
        "queued-20260101T000003.sqlite3",
    ]
    assert len(list(directory_of(store, None).iterdir())) == 4
    with pytest.raises(BackupError, match="keep=0"):
        make(store, keep=0)


def test_a_copy_that_is_too_old_or_not_there_is_said_to_be(store: Store) -> None:
    with pytest.raises(BackupError, match="there is no copy in"):
        verify(store)
    path = make(store).path
    os.utime(path, (0, os.path.getmtime(path) - 3 * DAY))
    with pytest.raises(BackupError, match=r"72\.0 hours old, more than 24"):
        verify(store)


def spoil_a_row(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM queued_jobs WHERE id = 7")
        connection.commit()


def spoil_the_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE queued_failed")
        connection.commit()


def spoil_bytes(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 3))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def lose_the_count(path: Path) -> None:
    path.with_name(path.name + ".json").unlink()


@pytest.mark.parametrize("spoil", [spoil_a_row, spoil_the_schema, spoil_bytes, cut, lose_the_count])
def test_a_copy_that_was_spoiled_is_found_out(store: Store, spoil: Any) -> None:
    path = Path(make(store).path)
    verify(store)
    spoil(path)
    with pytest.raises(BackupError, match=path.name):
        verify(store)
    assert not list(path.parent.glob("queued-restore-*"))


def test_a_stop_breaks_a_copy_off_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(BackupError, match="broken off"):
        backup.make(store, None, 7, lambda: True)
    assert list(directory_of(store, None).iterdir()) == []

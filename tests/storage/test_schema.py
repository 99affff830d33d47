"""The schema: made, brought up to date, repaired, refused; and databases that cannot be used."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from queued.domain.errors import DatabaseFull, DatabaseMisconfigured, DatabaseUnavailable, SchemaTooNew
from queued.domain.jobs import NewJob
from queued.domain.query import Query
from queued.domain.settings import DatabaseSettings
from queued.storage import search
from queued.storage.postgresql import one_line
from queued.storage.sql import migrations
from queued.storage.sqlite import Sqlite
from queued.storage.store import Store, open_store


def test_migrating_twice_does_nothing_the_second_time(store: Store) -> None:
    assert store.migrate() == []
    store.check_schema()


def test_many_may_migrate_an_empty_database_at_once(open_another: Callable[[], Store]) -> None:
    applied: list[list[str]] = []
    errors: list[Exception] = []

    def migrate(store: Store) -> None:
        try:
            applied.append(store.migrate())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate, args=(open_another(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(map(len, applied)) == [0, 0, 0, 0, 0, len(migrations("sqlite"))]


def test_without_a_schema_the_remedy_is_named(open_another: Callable[[], Store]) -> None:
    store = open_another()
    with pytest.raises(DatabaseMisconfigured, match="queued migrate"):
        store.check_schema()
    with pytest.raises(DatabaseMisconfigured, match="queued migrate"):
        store.enqueue([NewJob("app.work")])


def record_from_the_future(store: Store, breaking: bool) -> None:
    with store.transaction() as session:
        session.run("migrations.record", version=9999, name="9999_from_the_future", breaking=breaking)


def test_a_newer_breaking_schema_is_refused_in_one_sentence(store: Store) -> None:
    record_from_the_future(store, True)
    for attempt in (store.migrate, store.check_schema):
        with pytest.raises(SchemaTooNew, match=r"9999_from_the_future.*upgrade queued") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_newer_schema_that_breaks_nothing_is_worked_with(store: Store) -> None:
    record_from_the_future(store, False)
    store.check_schema()
    assert store.migrate() == []


def test_an_existing_but_empty_sqlite_file_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    path.touch()
    store = open_store(f"sqlite:///{path}")
    assert store.migrate() != []
    assert store.enqueue([NewJob("app.work")]) == [1]
    store.close()


@pytest.mark.parametrize("create", [True, False])
def test_a_missing_directory_or_file_is_named(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "nowhere" / "queue.sqlite3" if create else tmp_path / "queue.sqlite3"
    with pytest.raises(DatabaseMisconfigured, match=str(path.parent if create else path)):
        open_store(f"sqlite:///{path}", create=create).migrate()
    assert not path.exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    path.write_text("this is a letter, not a database, and a long one at that\n" * 50)
    with pytest.raises(DatabaseMisconfigured, match=str(path)):
        open_store(f"sqlite:///{path}").migrate()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the daemon's own test drops its rights")
def test_a_directory_without_write_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DatabaseMisconfigured, match="not writable"):
        open_store(f"sqlite:///{tmp_path}/queue.sqlite3").migrate()


CLOSED = """
import os, sys
from queued.domain.errors import DatabaseMisconfigured
from queued.storage.store import open_store
store = open_store(sys.argv[1], create=False)
store.backend  # what it imports may be closed to that user too
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    store.check_schema()
except DatabaseMisconfigured as error:
    print(error)
"""


def test_a_database_in_a_directory_that_is_closed_to_the_user_is_not_taken_for_missing(tmp_path: Path) -> None:
    directory = tmp_path / "closed"
    directory.mkdir()
    url = f"sqlite:///{directory}/queue.sqlite3"
    open_store(url).migrate()
    directory.chmod(0)
    told = subprocess.run([sys.executable, "-c", CLOSED, url], capture_output=True, text=True, timeout=60, check=False)
    directory.chmod(0o700)
    assert f"{directory}/queue.sqlite3 may not be looked at by user " in told.stdout, told.stderr


@pytest.mark.parametrize("url", ["sqlite://queue", "sqlite:///", "mysql://localhost/queue", "queue.sqlite3"])
def test_a_url_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(DatabaseMisconfigured):
        open_store(url).migrate()


def test_the_settings_of_sqlite_reach_the_connection(tmp_path: Path) -> None:
    settings = DatabaseSettings(
        url=f"sqlite:///{tmp_path}/queue.sqlite3",
        busy_timeout=1234,
        mmap_size=1048576,
        cache_size=-500,
        synchronous="normal",
    )
    store = open_store(settings)
    connection: Any = store.backend.connection()

    def pragma(name: str) -> object:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    found = {name: pragma(name) for name in ("journal_mode", "busy_timeout", "mmap_size", "cache_size", "synchronous")}
    assert found == {
        "journal_mode": "wal",
        "busy_timeout": 1234,
        "mmap_size": 1048576,
        "cache_size": -500,
        "synchronous": 1,
    }
    store.close()


def test_a_writer_that_never_ends_is_reported_after_the_busy_timeout(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.sqlite3"
    store = open_store(DatabaseSettings(url=url, busy_timeout=200))
    store.migrate()
    stranger = sqlite3.connect(tmp_path / "queue.sqlite3", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match=r"200 ms \(busy_timeout\)"):
        store.enqueue([NewJob("app.work")])
    stranger.execute("ROLLBACK")
    assert store.enqueue([NewJob("app.work")]) == [1]
    stranger.close()
    store.close()


def test_postgresql_in_a_schema_of_another_name(postgresql_url: str) -> None:
    store = open_store(DatabaseSettings(url=postgresql_url, schema="my jobs"))
    store.migrate()
    assert store.enqueue([NewJob("app.work")]) == [1]
    connection: Any = store.backend.connection()
    assert connection.execute('SELECT count(*) FROM "my jobs".jobs').fetchone()[0] == 1
    store.close()


def test_who_owns_the_schema_needs_no_right_to_make_others(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE frugal LOGIN")
        connection.execute("CREATE SCHEMA queued AUTHORIZATION frugal")
    try:
        store = open_store(postgresql_url.replace("//queued@", "//frugal@"))
        try:
            assert store.migrate()
            assert store.enqueue([NewJob("app.work")]) == [1]
        finally:
            store.close()
    finally:
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY frugal CASCADE")
            connection.execute("DROP ROLE frugal")


def test_a_missing_postgresql_database_is_refused_and_a_closed_port_is_worth_another_try(postgresql_url: str) -> None:
    base, _, query = postgresql_url.partition("?")
    other = base.rsplit("/", 1)[0] + "/no_such_database" + ("?" + query if query else "")
    with pytest.raises(DatabaseMisconfigured, match="no_such_database"):
        open_store(other).migrate()
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        open_store("postgresql://nobody@127.0.0.1:1/none").migrate()
    with pytest.raises(DatabaseMisconfigured, match="URL"):
        open_store("postgresql://host/db?nonsense=1").migrate()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_whom_a_new_sqlite_file_is_for_the_umask_says(umask: int, mode: int, tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    before = os.umask(umask)
    try:
        store = open_store(f"sqlite:///{path}")
        store.migrate()
        store.enqueue([NewJob("work", "[]")])
        beside = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.is_file()}
        store.close()
    finally:
        os.umask(before)
    assert set(beside.values()) == {mode}
    assert {"queue.sqlite3", "queue.sqlite3-wal", "queue.sqlite3-shm", "queue.sqlite3-pen"} <= set(beside)


def test_an_application_goes_on_with_the_file_that_has_taken_the_place_of_its_own(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    store, other = open_store(sqlite_url, create=False), open_store(sqlite_url)
    try:
        other.migrate()
        assert store.enqueue([NewJob("app.first")]) == [1]
        other.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        with pytest.raises(DatabaseMisconfigured, match="there is no database at"):
            store.enqueue([NewJob("app.nowhere")])
        other.migrate()
        assert store.enqueue([NewJob("app.second")]) == [1]
        assert store.enqueue([NewJob("app.later", wait=60)]) == [2]
        with other.reading() as session:
            assert [job.class_name for job in search.search(session, Query(), 10).jobs] == ["app.later", "app.second"]
    finally:
        store.close()
        other.close()


def test_a_full_disk_is_told_as_that_and_reading_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = store.backend.connection()
    if isinstance(connection, sqlite3.Connection):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    else:
        connection.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT ON queued.jobs FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
    with pytest.raises(DatabaseFull, match="make room on"):
        for _ in range(1000):
            store.enqueue([NewJob("app.work", arguments=json.dumps({"args": ["x" * 10_000], "kwargs": {}}))])
    with store.reading() as session:
        search.search(session, Query(), 10)


def test_an_error_of_the_disk_is_for_want_of_room_where_there_is_none(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sqlite_url)
    backend = store.backend
    assert isinstance(backend, Sqlite)
    try:
        store.migrate()
        free = store.free()
        assert free is not None
        assert free > 0
        for left, kind in ((0, DatabaseFull), (10_000_000, DatabaseUnavailable)):
            monkeypatch.setattr(backend, "free", lambda left=left: left)
            with pytest.raises(DatabaseUnavailable) as raised, store.reading():
                raise sqlite3.OperationalError("disk I/O error")
            assert type(raised.value) is kind
    finally:
        store.close()


def test_lines_of_libpq_are_put_together_with_a_mark() -> None:
    told = 'connection to server on socket "/s" failed: Connection refused\n\tIs the server running locally?\n'
    assert one_line(OSError(told)) == (
        'connection to server on socket "/s" failed: Connection refused; Is the server running locally?'
    )
    assert one_line(OSError("All failures were:\n- host: a\n\n- host: b")) == "All failures were: - host: a; - host: b"
    assert one_line(OSError()) == "OSError"

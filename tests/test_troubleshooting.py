"""What docs/troubleshooting.md quotes is what the program says."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
from pathlib import Path

import psycopg
import pytest

from fixtures.daemon import DaemonFactory
from fixtures.troubleshooting import PAGE, quoted
from queued.domain.errors import DatabaseMisconfigured, DatabaseUnavailable
from queued.domain.jobs import NewJob
from queued.domain.query import Query
from queued.domain.settings import DatabaseSettings
from queued.storage import search
from queued.storage.store import open_store


def test_every_message_is_looked_for() -> None:
    assert PAGE.count("\n> ") == 10


def test_a_table_is_missing(sqlite_url: str, tmp_path: Path) -> None:
    none, some = quoted("A table is missing")
    store = open_store(sqlite_url)
    try:
        with pytest.raises(DatabaseMisconfigured, match=re.escape(none)):
            store.enqueue([NewJob("app.work")])
        store.migrate()
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
            connection.execute("DELETE FROM queued_migrations WHERE name = '0005_batches'")
        with pytest.raises(DatabaseMisconfigured, match=f"^{re.escape(some)} 0005_batches"):
            store.check_schema()
    finally:
        store.close()


def test_the_database_is_locked(sqlite_url: str) -> None:
    (message,) = quoted("The database is locked")
    store = open_store(DatabaseSettings(url=sqlite_url, busy_timeout=200))
    store.migrate()
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match=re.escape(message)):
            store.enqueue([NewJob("app.work")])
    finally:
        other.close()
        store.close()


def test_the_database_file_was_deleted_or_replaced(sqlite_url: str) -> None:
    deleted, replaced = quoted("The database file was deleted or replaced")
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    store = open_store(sqlite_url, holds=True)
    store.migrate()
    try:
        path.rename(path.with_suffix(".away"))
        with pytest.raises(DatabaseMisconfigured, match=re.escape(deleted)):
            store.enqueue([NewJob("app.work")])
        path.touch()
        with pytest.raises(DatabaseMisconfigured, match=re.escape(replaced)):
            store.enqueue([NewJob("app.work")])
        path.with_suffix(".away").rename(path)
        assert store.enqueue([NewJob("app.work")]) == [1]
    finally:
        store.close()


def test_a_copy_is_restored_as_the_page_says(daemon: DaemonFactory, sqlite_url: str, tmp_path: Path) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    running = daemon(sqlite_url, workers=[])
    store = open_store(sqlite_url)
    kept, gone = [NewJob("app.kept")], [NewJob("app.gone")]
    store.enqueue(kept)
    made = running.queuectl("db", "backup")
    assert made.returncode == 0, made.stderr
    store.enqueue(gone)
    store.close()
    assert running.stop() == 0
    block = PAGE.partition("## Restoring a copy of a SQLite database")[2].partition("```sh\n")[2].partition("```")[0]
    lines = [line for line in block.splitlines() if not line.startswith(("systemctl", "queued", "queuectl"))]
    script = "\n".join(lines).replace("/var/lib/queued", str(path.parent)).replace("queue.sqlite3", path.name)
    subprocess.run(["/bin/sh", "-eu", "-c", script], check=True)
    running.start()
    with store.reading() as session:
        assert [job.class_name for job in search.search(session, Query(), 10).jobs] == ["app.kept"]
    assert store.enqueue(gone) == [2]
    store.close()
    assert running.queuectl("db", "verify").returncode == 0


def test_heartbeats_come_late(daemon: DaemonFactory, database_url: str) -> None:
    silent, declared, _ = quoted("Heartbeats come late")
    late, other = (daemon(database_url, settings={"heartbeat_interval": 0.5, "alive_threshold": 3}) for _ in range(2))
    other.signal(signal.SIGSTOP)
    late.signal(signal.SIGSTOP)
    late.wait_until(lambda: silent in late.queuectl("status").stdout, f"{silent!r} in the status")
    other.signal(signal.SIGCONT)
    other.wait_for_log("Worker .* was not heard of")
    late.signal(signal.SIGCONT)
    late.wait_for_log(re.escape(declared))


def test_the_connections_of_a_login_are_used_up(postgresql_url: str) -> None:
    _, of_a_role = quoted("Connections to PostgreSQL are used up")
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
        store = open_store(postgresql_url.replace("//queued@", "//crowded@"))
        try:
            with pytest.raises(DatabaseUnavailable, match=of_a_role):
                store.check_schema()
        finally:
            store.close()
            connection.execute("DROP ROLE crowded")

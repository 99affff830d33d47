"""Starting under circumstances that are not as they should be: one clear sentence, and an exit code that says who must act."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from acceptance.conftest import Serve
from acceptance.service import PATIENCE
from fixtures.daemon import Daemon
from fixtures.postgresql import GUARDED_ROLE, PostgreSQLServer, free_port
from queued.storage.store import open_store

UNAVAILABLE, CONFIGURATION = 69, 78


def refused(daemon: Daemon, status: int) -> str:
    """What a start said that was refused: one sentence, no traceback."""
    daemon.start(ready=False)
    assert daemon.wait() == status, daemon.log()
    return one_sentence(daemon.log())


def one_sentence(output: str) -> str:
    """The one error in an output."""
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if " INFO " not in line]
    assert len(lines) == 1, output
    return lines[0]


def test_two_supervisors_that_start_at_once_on_an_empty_database_share_the_work(
    serve: Serve, database_url: str, mode: str, work: ModuleType
) -> None:
    first, second = (serve(database_url, mode=mode, start=False) for _ in range(2))
    for service in (first, second):
        service.daemon.start(ready=False)
    for service in (first, second):
        service.daemon.wait_until_ready()
    logs = first.daemon.log() + second.daemon.log()
    assert logs.count("Migrated the database") == 1
    runners: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while len(runners) < 2 and time.monotonic() < deadline:  # one may have loaded its application long before the other
        first.wait_all(first.enqueue(*[work.note.bind(seconds=0.05) for _ in range(20)]))
        runners = {entry["pid"] for entry in first.ledger.starts()}
    assert len(runners) == 2
    assert set(first.ledger.jobs("start").values()) == {1}
    assert first.daemon.stop() == 0
    [job] = first.enqueue(work.note.bind())
    second.wait(job)
    for text in ("Traceback", "WARN", "ERROR"):
        assert text not in first.daemon.log() + second.daemon.log()


def test_a_file_that_exists_and_is_empty_becomes_a_database(serve: Serve, sqlite_url: str, work: ModuleType) -> None:
    path(sqlite_url).touch()
    service = serve(sqlite_url)
    [job] = service.enqueue(work.note.bind())
    service.wait(job)


def test_a_schema_that_exists_and_is_empty_is_filled(serve: Serve, postgresql_url: str, work: ModuleType) -> None:
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("CREATE SCHEMA queued")
    service = serve(postgresql_url)
    [job] = service.enqueue(work.note.bind())
    service.wait(job)


def test_a_newer_schema_is_refused(serve: Serve, database_url: str, mode: str) -> None:
    store = open_store(database_url)
    store.migrate()
    with store.transaction() as session:
        session.run("migrations.record", version=9999, name="9999_from_the_future", breaking=True)
    store.close()
    said = refused(serve(database_url, mode=mode, start=False).daemon, CONFIGURATION)
    assert "9999_from_the_future" in said
    assert "upgrade queued" in said


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(serve: Serve, sqlite_url: str) -> None:
    path(sqlite_url).write_text("These are my notes, not a database.\n" * 50)
    said = refused(serve(sqlite_url, start=False).daemon, CONFIGURATION)
    assert str(path(sqlite_url)) in said
    assert path(sqlite_url).read_text().startswith("These are my notes")


@pytest.mark.parametrize("what", ["the directory", "the file"])
def test_a_path_that_cannot_be_written_is_refused(serve: Serve, sqlite_url: str, what: str) -> None:
    file = path(sqlite_url)
    if what == "the file":
        sqlite3.connect(file).execute("CREATE TABLE of_somebody_else (x)").connection.close()
        file.chmod(0o444)
    else:
        file.parent.chmod(0o555)
    try:
        done = without_privileges(serve(sqlite_url, start=False).daemon)
    finally:
        file.parent.chmod(0o755)
    assert done.returncode == CONFIGURATION, done.stderr
    said = one_sentence(done.stdout + done.stderr)
    assert str(file if what == "the file" else file.parent) in said
    assert re.search("read-only|writ|permission", said, re.IGNORECASE)


def test_a_directory_that_does_not_exist_is_refused(serve: Serve, tmp_path: Path) -> None:
    said = refused(serve(f"sqlite:///{tmp_path}/missing/queued.sqlite3", start=False).daemon, CONFIGURATION)
    assert f"{tmp_path}/missing" in said


def test_a_wrong_password_is_refused_and_not_repeated(
    serve: Serve, postgresql_server: PostgreSQLServer, postgresql_url: str
) -> None:
    database = postgresql_url.rpartition("/")[2]
    url = postgresql_server.url(database, GUARDED_ROLE, "not-the-password")
    started = serve(url, start=False).daemon
    said = refused(started, CONFIGURATION)
    assert "password authentication failed" in said
    assert "not-the-password" not in started.log()
    asked = started.queuectl("status")
    assert asked.returncode == CONFIGURATION
    assert "password authentication failed" in one_sentence(asked.stdout + asked.stderr)


def test_a_database_that_does_not_exist_is_refused(serve: Serve, postgresql_server: PostgreSQLServer) -> None:
    said = refused(serve(postgresql_server.url("nowhere"), start=False).daemon, CONFIGURATION)
    assert '"nowhere" does not exist' in said


def test_a_database_that_is_down_is_waited_for_and_can_be_given_up(serve: Serve) -> None:
    started = serve(f"postgresql://queued@127.0.0.1:{free_port()}/test", start=False).daemon
    for words in (["migrate"], ["status"], ["jobs", "list"]):
        done = started.queuectl(*words)
        assert done.returncode == UNAVAILABLE
        assert "cannot be reached" in one_sentence(done.stdout + done.stderr)
    started.start(ready=False)
    started.wait_for_log("Waiting for the database")
    started.signal(signal.SIGTERM)
    assert started.wait() == 0
    assert "cannot be reached" in one_sentence(started.log())


def test_a_start_goes_on_when_the_database_comes(
    serve: Serve, postgresql_server: PostgreSQLServer, postgresql_url: str, mode: str, work: ModuleType
) -> None:
    postgresql_server.stop()
    try:
        service = serve(postgresql_url, mode=mode, ready=False)
        service.daemon.wait_for_log("Waiting for the database")
    finally:
        postgresql_server.start()
    service.daemon.wait_until_ready()
    [job] = service.enqueue(work.note.bind())
    service.wait(job)


def path(url: str) -> Path:
    """The file of a SQLite URL."""
    return Path(url.removeprefix("sqlite:///"))


def without_privileges(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """Run `queued start` so that the rights of files hold for it: root loses the capability to pass them over."""
    command = [sys.executable, "-m", "queued", "start", "--config", str(daemon.config)]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("as root this needs setpriv")
        command = [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *command]
    return subprocess.run(
        command, env=daemon.environment, cwd=daemon.directory, capture_output=True, text=True, timeout=30, check=False
    )

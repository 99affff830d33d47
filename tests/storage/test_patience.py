"""A database server that stands still: whoever must not wait for ever does not."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queued.domain.errors import DatabaseUnavailable
from queued.domain.settings import DatabaseSettings
from queued.storage import insights, processes
from queued.storage.postgresql import connect_timeout
from queued.storage.store import Store, open_store
from queued.storage.turnstile import Turnstile

PATIENCE = 0.5


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def backend(store: Store) -> int:
    """The server's process that serves this store."""
    connection = store.backend.connection()
    return int(connection.info.backend_pid)  # type: ignore[union-attr]


def test_a_server_that_does_not_answer_is_unavailable_when_patience_is_over(postgresql_url: str) -> None:
    store = open_store(postgresql_url, patience=PATIENCE)
    try:
        store.migrate()
        with frozen(backend(store)):
            started = time.monotonic()
            with (
                pytest.raises(DatabaseUnavailable, match=r"has not answered for 0\.5 s"),
                store.transaction() as session,
            ):
                processes.beat(session, 1)
            assert PATIENCE <= time.monotonic() - started < 10 * PATIENCE
            # The same store goes on at once with another connection, though the first server process still stands.
            with store.reading() as session:
                assert insights.backlog(session).ready == 0
    finally:
        store.close()


def test_a_locked_sqlite_file_is_unavailable_when_patience_is_over_whatever_busy_timeout_says(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    settings = DatabaseSettings(url=f"sqlite:///{path}", busy_timeout=60_000)
    store = open_store(settings, patience=PATIENCE)
    store.migrate()
    # Both waits in a row: a writer that keeps the pen, and a stranger's transaction that knows of no turnstile.
    pen = Turnstile(str(path), 1.0)
    pen.enter()
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="has held the database"), store.transaction() as session:
        processes.beat(session, 1)
    assert 0.9 * PATIENCE <= time.monotonic() - started < 10 * PATIENCE
    pen.leave()
    pen.close()
    stranger.close()
    with store.transaction() as session:
        assert processes.beat(session, 1) == 0
    store.close()


@pytest.mark.parametrize(
    ("given", "configured", "patience", "expected"),
    [
        ({}, 5.0, None, 5),
        ({}, 5.0, 10.0, 5),
        ({}, 3600.0, 22.0, 22),
        ({"host": "one,two,three"}, 60.0, 22.0, 7),
        ({"host": "one,two", "connect_timeout": "60"}, 5.0, 10.0, 5),
        ({"connect_timeout": "3"}, 60.0, 10.0, 3),
        ({"connect_timeout": "0"}, 5.0, 10.0, 10),
        ({"connect_timeout": "60"}, 5.0, None, "60"),
        ({"connect_timeout": "soon"}, 5.0, 10.0, "soon"),
    ],
)
def test_connecting_takes_no_longer_than_patience(
    given: dict[str, str], configured: float, patience: float | None, expected: object
) -> None:
    found = connect_timeout(given, configured, patience)
    assert str(found) == str(expected)

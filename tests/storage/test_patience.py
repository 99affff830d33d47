"""A database server that stands still: whoever must not wait for ever does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from queued.domain.errors import DatabaseUnavailable
from queued.storage import insights, processes
from queued.storage.store import Store, open_store

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

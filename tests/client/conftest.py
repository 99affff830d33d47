"""A client that knows nothing yet, and databases for it to store jobs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import queued
from queued.client import callbacks, hooks, route
from queued.storage.store import Store, open_store


@pytest.fixture(autouse=True)
def _fresh_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No database, no runner, no callbacks of all jobs, no hooks."""
    for name in ("QUEUED_DATABASE_URL", "QUEUED_CONFIG", "QUEUED_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(route, "_configured", None)
    monkeypatch.setattr(route, "_port", None)
    yield
    route._destination.holder = None
    hooks.forget_hooks()
    for point in callbacks.POINTS:
        callbacks.everywhere.at(point).clear()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A migrated database that the client is configured for, seen through a store of the test's own."""
    store = open_store(database_url)
    store.migrate()
    queued.configure(database_url)
    yield store
    store.close()


def stored(store: Store) -> list[dict[str, Any]]:
    """Every job in the database, with where it is, in the order of ids."""
    with store.transaction() as session:
        connection = session._connection if store.dialect == "sqlite" else session._cursor.connection  # type: ignore[attr-defined]
        dot = "_" if store.dialect == "sqlite" else "."
        cursor = connection.execute(
            f"SELECT j.id, class_name, j.queue, j.priority, arguments, options, r.job_id IS NOT NULL, s.job_id IS NOT NULL, s.run_at "
            f"FROM queued{dot}jobs j LEFT JOIN queued{dot}ready r ON r.job_id = j.id "
            f"LEFT JOIN queued{dot}scheduled s ON s.job_id = j.id ORDER BY j.id"
        )
        names = ("id", "class_name", "queue", "priority", "arguments", "options", "ready", "scheduled", "run_at")
        return [dict(zip(names, tuple(row), strict=True)) for row in cursor.fetchall()]


class RecordingPort:
    """The runner's port as a job sees it: what it was asked to store, and answers with ids."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []

    def enqueue(self, jobs: list[dict[str, Any]]) -> list[int]:
        """Take the jobs, answer ids from 1000 on."""
        first = 1000 + len(self.jobs)
        self.jobs += jobs
        return list(range(first, first + len(jobs)))

    def stopping(self) -> bool:
        """Never."""
        return False


def delivery(job: queued.Job[..., Any] | str, *args: Any, **fields: Any) -> dict[str, Any]:
    """What a worker hands to its runner for a call of `job` with `args`."""
    from queued.client.arguments import encode_call

    name = job if isinstance(job, str) else job.name
    given = {"id": 7, "lease": 3, "class": name, "args": encode_call(args, {}), "opts": None, "queue": "default", "priority": 0}
    return {**given, "attempt": 1, "counters": {}, "enqueued_at": 1_700_000_000.25, **fields}

"""A client that knows nothing yet, and databases for it to store jobs in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import queued
from queued.client import callbacks, hooks, route
from queued.storage.store import Store, open_store
from queued.testing import queued_jobs as queued_jobs


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

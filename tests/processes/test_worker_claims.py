"""What a worker makes of claims and rests around an outage, without a runner: the database and its own books."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queued.domain.jobs import NewJob
from queued.domain.settings import Settings, WorkerSettings
from queued.processes.outbox import Ended
from queued.processes.role import Liveness
from queued.processes.wakeup import Wakeup
from queued.processes.worker import Worker
from queued.storage.store import Store, open_store


@pytest.fixture
def worker(settings: Settings, store: Store, tmp_path: Path) -> Iterator[Worker]:
    """A registered worker whose application is never loaded."""
    worker = Worker("worker-1", settings, WorkerSettings(), str(tmp_path / "no-application"))
    read, write = os.pipe()
    worker.wakeup, worker.liveness = Wakeup(), Liveness(write)
    worker.store = open_store(settings.database)
    worker._register()
    yield worker
    worker.close()
    worker.store.close()
    worker.wakeup.close()
    os.close(read)
    os.close(write)


def state(store: Store, job: int) -> str:
    with store.reading() as session:
        row = session.one("insights.state", id=job)
    assert row is not None
    return str(row["state"])


def test_a_claim_that_the_worker_never_heard_of_goes_back_after_an_outage(worker: Worker, store: Store) -> None:
    known, unknown = store.enqueue([NewJob("a"), NewJob("b")])
    worker._search(time.monotonic())
    [first] = worker._take_ready(1)
    assert first.id == known
    worker._take_ready(1)  # its answer is lost
    worker._outbox.add(Ended(first.id, first.lease, "a", "done", time.monotonic()))
    assert {state(store, known), state(store, unknown)} == {"running"}
    worker._return_unknown()
    assert state(store, known) == "running"
    assert state(store, unknown) == "ready"


def test_after_an_outage_the_worker_compares_its_books_with_the_database(worker: Worker, store: Store) -> None:
    [job] = store.enqueue([NewJob("a")])
    worker._search(time.monotonic())
    worker._take_ready(1)
    worker.poll()
    assert state(store, job) == "running"
    worker._doubt_until = time.monotonic() + 10
    worker.poll()
    assert state(store, job) == "ready"

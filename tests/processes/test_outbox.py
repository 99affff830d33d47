"""What a worker tells the database, when the answer to a commit is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from queued.domain.errors import DatabaseUnavailable
from queued.domain.jobs import Failure, NewJob
from queued.processes.outbox import Ended, Outbox, Request
from queued.storage.claimed import Worker
from queued.storage.session import Session
from queued.storage.store import Store, open_store
from queued.telemetry import subscribe
from storage.conftest import Claimer


class Forgetful(Store):
    """A store whose connection is lost at one commit: before it reached the server, or after."""

    lose: str | None = None

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Session]:  # type: ignore[override]
        lose, self.lose = self.lose, None
        with super().transaction(durable) as session:
            yield session
            if lose == "the request":
                raise DatabaseUnavailable("the connection was lost before the commit")
        if lose == "the answer":
            self.close()
            raise DatabaseUnavailable("the connection was lost after the commit")


class Asker:
    """The end of a runner that hears the answers."""

    def __init__(self) -> None:
        self.runner = self
        self.heard: list[dict[str, Any]] = []

    def send(self, frame: dict[str, Any]) -> None:
        self.heard.append(frame)


@pytest.mark.parametrize("lost", ["the request", "the answer"])
def test_a_job_that_enqueues_does_so_once_though_the_connection_is_lost_at_the_commit(
    postgresql_url: str, lost: str
) -> None:
    plain = open_store(postgresql_url)
    plain.migrate()
    store = Forgetful(plain.backend, plain.settings)
    outbox, asker = Outbox(store, Worker("here", "worker-1"), store.ring), Asker()
    outbox.request(Request(1, (NewJob("app.a"), NewJob("app.b")), asker))
    outbox.request(Request(2, (NewJob("app.c"),), asker))
    store.lose = lost
    with pytest.raises(DatabaseUnavailable):
        outbox.flush()
    assert asker.heard == []
    outbox.flush()
    with store.reading() as session:
        stored = session.one("insights.count_ready", cap=100)
    assert stored is not None
    assert stored["n"] == 3
    assert [(frame["t"], frame["r"], len(frame["ids"])) for frame in asker.heard] == [
        ("stored", 1, 2),
        ("stored", 2, 1),
    ]
    assert len(outbox) == 0
    store.close()


@pytest.fixture
def telling() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What is told of meanwhile."""
    heard: list[tuple[str, dict[str, Any]]] = []
    end = subscribe(lambda name, data: heard.append((name, dict(data))))
    yield heard
    end()


def test_what_goes_back_untouched_is_told_in_one_line_and_what_was_cut_short_each_by_itself(
    sqlite_url: str, telling: list[tuple[str, dict[str, Any]]]
) -> None:
    with closing(open_store(sqlite_url)) as store:
        store.migrate()
        outbox = Outbox(store, Worker("here", "worker-1"), store.ring)
        ids = store.enqueue([NewJob("app.some") for _ in range(4)])
        why = Failure("queued.JobInterrupted", "its worker stopped")
        for held in Claimer(store).claim():
            cut = held.id == ids[0]
            outbox.add(Ended(held, "released", time.monotonic(), 3.1 if cut else 0.0, why if cut else None))
        outbox.flush()
        told = [(event, data.get("job_id", data.get("ids"))) for event, data in telling if "released" in event]
        assert told == [("job_released", ids[0]), ("jobs_released", ids[1:])]

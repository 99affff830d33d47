"""An operator's action on jobs that move while it looks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queued.domain.jobs import NewJob
from queued.storage import claimed, operators
from queued.storage.session import Row, Session
from queued.storage.sql import Dialect
from queued.storage.store import Store, open_store
from storage.conftest import Claimer


class Interrupted:
    """A session beside which something else happens: `meanwhile` is called before the first look at that job's state."""

    def __init__(self, session: Session, job: int, meanwhile: Callable[[], object]) -> None:
        self._session, self._job, self._meanwhile = session, job, meanwhile
        self._looks = 0

    @property
    def dialect(self) -> Dialect:
        return self._session.dialect

    def all(self, name: str, /, **params: Any) -> list[Row]:
        return self._session.all(name, **params)

    def one(self, name: str, /, **params: Any) -> Row | None:
        if name == "insights.state" and params["id"] == self._job:
            self._looks += 1
            if self._looks == 2:  # the first look was for ready jobs, and the job was not one
                self._meanwhile()
        return self._session.one(name, **params)

    def run(self, name: str, /, **params: Any) -> int:
        return self._session.run(name, **params)


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    """Only on PostgreSQL does anything happen beside an open transaction that writes."""
    return postgresql_url


def test_a_job_that_moves_costs_the_report_no_other_job(store: Store, claimer: Claimer) -> None:
    store.enqueue([NewJob("a"), NewJob("b")])
    running, moving = claimer.claim()
    worker = open_store(store.settings)

    def give_back() -> None:
        with worker.transaction() as session:
            claimed.release(session, [(moving.id, moving.lease)], [])

    with store.transaction() as session:
        acted = operators.discard(Interrupted(session, moving.id, give_back), [running.id, moving.id, 999])
    worker.close()
    assert acted.done == [moving.id]
    assert acted.refused == {running.id: "running"}
    assert acted.missing == [999]

"""Values that a database cannot hold: a refusal of ours, and the others are stored all the same."""

from __future__ import annotations

import time
from typing import Any

import pytest

from queued.domain.errors import DatabaseError
from queued.domain.jobs import Failure, NewJob
from queued.processes.outbox import Ended, Outbox
from queued.storage import claimed
from queued.storage.store import Store, open_store
from storage.conftest import Claimer

STRANGE: list[dict[str, Any]] = [
    {"kind": "failed", "failure": Failure("Error", "half a character: \ud800")},
    {"kind": "retry", "failure": Failure("Error", "once more"), "priority": 2**70},
]


@pytest.mark.parametrize("value", ["\ud800"])
def test_a_text_that_cannot_be_stored_is_an_error_of_the_database(store: Store, value: str) -> None:
    with pytest.raises(DatabaseError), store.reading() as session:
        session.one("processes.find", name=value)


@pytest.mark.parametrize("many", [1, 2])
@pytest.mark.parametrize("job", [NewJob("\ud800"), NewJob("a", queue="\ud800"), NewJob("a", priority=2**70)])
def test_a_job_that_cannot_be_stored_is_an_error_and_the_next_is_stored(
    store: Store, claimer: Claimer, job: NewJob, many: int
) -> None:
    with pytest.raises(DatabaseError):
        store.enqueue([job] * many)
    (stored,) = store.enqueue([NewJob("app.work")])
    assert [job.id for job in claimer.claim()] == [stored]


@pytest.mark.parametrize(
    "job", [NewJob("a\0b"), NewJob("a", queue="a\0b"), NewJob("a", "\0"), NewJob("a", priority=2**31)]
)
def test_what_postgresql_refuses_is_an_error_and_the_next_is_stored(postgresql_url: str, job: NewJob) -> None:
    store = open_store(postgresql_url)
    store.migrate()
    with pytest.raises(DatabaseError):
        store.enqueue([job])
    assert len(store.enqueue([NewJob("app.work")])) == 1
    store.close()


@pytest.mark.parametrize("strange", STRANGE)
def test_an_outcome_that_cannot_be_stored_fails_its_job_and_no_other(
    store: Store, claimer: Claimer, strange: dict[str, Any]
) -> None:
    store.enqueue([NewJob("a"), NewJob("b")])
    first, second = claimer.claim()
    outbox = Outbox(store, claimed.Worker("here", "worker-1"), lambda arrivals: None)
    outbox.add(Ended(first, ended_at=time.monotonic(), **strange))
    outbox.add(Ended(second, "done", time.monotonic()))
    outbox.flush()
    with store.reading() as session:
        states = [session.one("insights.state", id=job.id) for job in (first, second)]
    assert [row and row["state"] for row in states] == ["failed", "finished"]

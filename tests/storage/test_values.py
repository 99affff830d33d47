"""Values that a database cannot hold: a refusal of ours, and the others are stored all the same."""

from __future__ import annotations

import time
from typing import Any

import pytest

from queued.domain.errors import DatabaseError
from queued.domain.jobs import Failure, NewJob
from queued.processes.outbox import Ended, Outbox
from queued.storage import claimed
from queued.storage.store import Store
from storage.conftest import Claimer

STRANGE: list[dict[str, Any]] = [
    {"kind": "failed", "failure": Failure("Error", "half a character: \ud800")},
    {"kind": "retry", "failure": Failure("Error", "once more"), "priority": 2**70},
]


@pytest.mark.parametrize("value", ["\ud800"])
def test_a_text_that_cannot_be_stored_is_an_error_of_the_database(store: Store, value: str) -> None:
    with pytest.raises(DatabaseError), store.reading() as session:
        session.one("processes.find", name=value)


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

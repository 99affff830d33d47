"""Jobs that must have started in time, or not at all."""

from __future__ import annotations

import time

from queued.domain.jobs import NewJob, Outcome
from queued.domain.limits import Limit
from queued.domain.unique import Unique
from queued.storage import claimed, expiries
from queued.storage.store import Store
from storage.conftest import Claimer
from storage.limits import BOOM, HERE, check, rows


def soon(seconds: float, **fields: object) -> NewJob:
    return NewJob("app.work", expires=seconds, **fields)  # type: ignore[arg-type]


def test_a_job_that_starts_in_time_cannot_expire_any_more(store: Store, claimer: Claimer) -> None:
    store.enqueue([soon(60)])
    (held,) = claimer.claim()
    with store.transaction() as session:
        assert expiries.start(session, [held.id]) == set()
    assert rows(store, "expiries") == []


def test_a_job_that_is_claimed_too_late_is_told_of(store: Store, claimer: Claimer) -> None:
    store.enqueue([soon(0.01), soon(60)])
    time.sleep(0.03)
    first, second = claimer.claim()
    with store.transaction() as session:
        assert expiries.start(session, [first.id, second.id]) == {first.id}


def test_time_counts_from_when_the_job_is_due(store: Store) -> None:
    store.enqueue([soon(0.01, wait=60.0)])
    time.sleep(0.03)
    with store.transaction() as session:
        assert expiries.discard(session, expiries.lapsed(session)) == ([], [])


def test_the_sweep_discards_what_waits_too_long_and_lets_the_next_in(store: Store, claimer: Claimer) -> None:
    limit = (Limit("l", 1),)
    unique = Unique("u")
    stored = store.enqueue(
        [soon(0.01, limits=limit, unique=unique), soon(0.01, limits=limit), NewJob("app.patient", limits=limit)]
    )
    time.sleep(0.03)
    with store.transaction() as session:
        ids, arrivals = expiries.discard(session, expiries.lapsed(session))
    assert ids == stored[:2]
    assert len(arrivals) == 1
    assert [row["job_id"] for row in rows(store, "ready")] == stored[2:]
    assert {row["error_class"] for row in rows(store, "attempts")} == {"queued.JobExpired"}
    assert rows(store, "expiries") == rows(store, "unique_keys") == rows(store, "job_uniques") == []
    check(store, {"l": 1})


def test_a_job_that_has_started_once_does_not_expire_while_it_waits_for_a_retry(store: Store, claimer: Claimer) -> None:
    store.enqueue([soon(0.05)])
    (held,) = claimer.claim()
    with store.transaction() as session:
        expiries.start(session, [held.id])
    with store.transaction() as session:
        claimed.finish(session, [Outcome(held.id, held.lease, "retry", failure=BOOM, ties=held.ties)], HERE)
    time.sleep(0.06)
    with store.transaction() as session:
        assert expiries.discard(session, expiries.lapsed(session)) == ([], [])
    (again,) = claimer.claim()
    with store.transaction() as session:
        assert expiries.start(session, [again.id]) == set()

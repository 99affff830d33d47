"""Rate limits: no window of the period holds more turns than it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

import pytest

from queued.domain.jobs import NewJob, Outcome
from queued.domain.limits import Limit
from queued.domain.rates import Rate, turn
from queued.storage import claimed, operators, rates, scheduled
from queued.storage.store import Store
from storage.conftest import Claimer
from storage.limits import BOOM, HERE, check, pass_time, rows


def rated(starts: int = 2, period: float = 60.0, key: str = "k", **fields: object) -> NewJob:
    return NewJob("app.work", rate=Rate(key, starts, period), **fields)  # type: ignore[arg-type]


def ids(store: Store, table: str) -> list[int]:
    return sorted(row["job_id"] for row in rows(store, table))


def dispatch(store: Store) -> None:
    with store.transaction() as session:
        scheduled.dispatch(session, 100)


def turns(store: Store) -> list[float]:
    """When the scheduled jobs are due, in seconds, each relative to the first."""
    second = 1.0 if store.dialect == "postgresql" else 1_000_000.0
    due = sorted(row["run_at"] for row in rows(store, "scheduled"))
    return [
        (moment - due[0]).total_seconds() if store.dialect == "postgresql" else (moment - due[0]) / second
        for moment in due
    ]


def test_jobs_that_come_too_early_are_scheduled_for_their_turns(store: Store) -> None:
    stored = store.enqueue([rated() for _ in range(7)] + [rated(key="other")])
    assert ids(store, "ready") == [*stored[:2], stored[7]]
    assert ids(store, "scheduled") == stored[2:7]
    assert turns(store) == pytest.approx([0, 0, 60, 60, 120], abs=0.4)


def test_a_job_whose_turn_has_come_is_ready_and_needs_no_second_one(store: Store) -> None:
    first, second, third = store.enqueue([rated(1, 60.0) for _ in range(3)])
    assert ids(store, "ready") == [first]
    pass_time(store, "scheduled", "run_at", 60.0)
    dispatch(store)
    assert (ids(store, "ready"), ids(store, "scheduled")) == ([first, second], [third])
    pass_time(store, "scheduled", "run_at", 60.0)
    dispatch(store)
    assert ids(store, "ready") == [first, second, third]


def test_each_attempt_takes_a_turn(store: Store, claimer: Claimer) -> None:
    store.enqueue([rated(1, 60.0)])
    (held,) = claimer.claim()
    with store.transaction() as session:
        claimed.finish(session, [Outcome(held.id, held.lease, "retry", failure=BOOM, ties=held.ties)], HERE)
    dispatch(store)
    assert ids(store, "scheduled") == [held.id]
    assert [row["attempt"] for row in rows(store, "scheduled")] == [2]
    with store.transaction() as session:
        assert operators.discard(session, [held.id]).done == [held.id]
    assert rows(store, "job_rates") == []


def test_an_operator_s_dispatch_keeps_the_rate(store: Store) -> None:
    first, second, later = store.enqueue([rated(1), rated(1), rated(1, wait=600.0)])
    with store.transaction() as session:
        acted = operators.dispatch(session, [second, later])
    # The second has its turn already; the third takes the one behind it.
    assert (acted.done, acted.refused) == ([later], {second: "scheduled"})
    assert (ids(store, "ready"), ids(store, "scheduled")) == ([first], [second, later])
    assert turns(store) == pytest.approx([0, 60], abs=0.4)
    with store.transaction() as session:
        assert operators.dispatch(session, [later]).refused == {later: "scheduled"}


def test_a_job_may_have_a_rate_and_a_limit(store: Store) -> None:
    limit = (Limit("l", 1),)
    stored = store.enqueue([rated(2, 60.0, limits=limit) for _ in range(3)])
    assert (ids(store, "ready"), ids(store, "blocked")) == (stored[:1], stored[1:2])
    assert ids(store, "scheduled") == stored[2:]
    check(store, {"l": 1})


def test_keys_whose_turns_no_longer_count_are_forgotten(store: Store) -> None:
    store.enqueue([rated(1, 0.05, "short"), rated(1, 60.0, "long")])
    time.sleep(0.1)
    with store.transaction() as session:
        assert rates.forget_idle(session) == 1
    assert [row["key"] for row in rows(store, "rates")] == ["long"]


def test_many_that_enqueue_at_once_share_the_turns(store: Store, open_another: Callable[[], Store]) -> None:
    def enqueue(own: Store) -> None:
        for _ in range(5):
            own.enqueue([rated(2, 100.0)])

    threads = [threading.Thread(target=enqueue, args=(open_another(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids(store, "ready")) == 2
    moments = [round(moment) for moment in turns(store)]
    assert len(moments) == 18
    assert all(later - earlier >= 99 for earlier, later in zip(moments, moments[2:], strict=False))


def test_no_window_holds_more_turns_than_it_may_whatever_comes_when() -> None:
    for seed in range(50):
        random = Random(seed)
        starts, period, now = random.randrange(1, 6), 10.0, 0.0
        given: list[float] = []
        for _ in range(200):
            now += random.choice((0.0, 0.0, 0.1, 1.0, 20.0))
            given.append(turn(given[-starts:], starts, period, now))
            assert given[-1] >= now
        assert given == sorted(given)
        assert all(later - earlier >= period - 1e-6 for earlier, later in zip(given, given[starts:], strict=False))

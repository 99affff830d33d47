"""Who gets which job, and in which order."""

from __future__ import annotations

import functools
import json
import operator
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from queued.domain.jobs import LIMITED, ClaimedJob, NewJob, Outcome
from queued.domain.lanes import Lane, Mark
from queued.domain.limits import Limit
from queued.domain.pace import WEIGHT, fitting
from queued.storage import claimed, operators, queues, ready, scheduled
from queued.storage.store import Store
from storage.conftest import Claimer, job

HERE = claimed.Worker("here", "worker-1")


def names(jobs: list[ClaimedJob]) -> list[str]:
    return [job.class_name for job in jobs]


def test_a_claimed_job_carries_everything_that_was_enqueued(store: Store, claimer: Claimer) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=5)
    (job_id,) = store.enqueue(
        [NewJob("app.greet", '{"args":["Zoë \\u0000"],"kwargs":{}}', "mail", 7, options='{"timeout":3}')]
    )
    (found,) = claimer.claim()
    assert (found.id, found.class_name, found.queue, found.priority) == (job_id, "app.greet", "mail", 7)
    assert found.arguments == '{"args":["Zoë \\u0000"],"kwargs":{}}'
    assert found.options == '{"timeout":3}'
    assert (found.attempt, dict(found.counters)) == (1, {})
    assert before.timestamp() < found.enqueued < time.time() + 5


@pytest.mark.parametrize(
    "odd", [{}, {"class_name": "app.odd"}, {"queue": "é"}, {"priority": 9}, {"options": '{"timeout":3}'}]
)
def test_each_of_many_jobs_keeps_what_it_was_given_be_they_alike_or_not(
    store: Store, claimer: Claimer, odd: dict[str, Any]
) -> None:
    jobs = [NewJob("app.work", json.dumps({"args": [n], "kwargs": {}}), "mail", -3, options="{}") for n in range(9)]
    jobs[4] = replace(jobs[4], **odd)
    ids = store.enqueue(jobs)
    found = {job.id: job for job in claimer.claim(9)}
    came = [found[id] for id in ids]
    assert [(job.class_name, job.arguments, job.queue, job.priority, job.options) for job in came] == [
        (job.class_name, job.arguments, job.queue, job.priority, job.options) for job in jobs
    ]


def test_ids_come_back_in_the_order_given_and_rise(store: Store) -> None:
    ids = store.enqueue([job(f"app.n{n}", wait=3600 if n % 3 == 0 else None) for n in range(50)])
    assert ids == sorted(ids)
    assert len(set(ids)) == 50
    with store.reading() as session:
        due = scheduled.next_due(session)
    assert due is not None
    assert 3590 < due <= 3600


def test_jobs_of_one_queue_come_in_the_order_of_their_arrival(store: Store, claimer: Claimer) -> None:
    for n in range(5):
        store.enqueue([job(f"app.n{n}")])
    assert names(claimer.claim(3)) == ["app.n0", "app.n1", "app.n2"]
    assert names(claimer.claim(3)) == ["app.n3", "app.n4"]
    assert claimer.claim(3) == []


def test_a_star_serves_the_smallest_priority_first_whatever_the_queue(store: Store, claimer: Claimer) -> None:
    store.enqueue(
        [job("app.low", queue="a", priority=5), job("app.high", queue="z", priority=-1), job("app.mid", queue="m")]
    )
    assert names(claimer.claim()) == ["app.high", "app.mid", "app.low"]


def test_priority_stays_global_while_another_queue_is_paused(store: Store, claimer: Claimer) -> None:
    store.enqueue(
        [
            job("app.p", queue="paused", priority=-9),
            job("app.b", queue="b", priority=2),
            job("app.z", queue="z", priority=1),
        ]
    )
    with store.transaction() as session:
        assert queues.pause(session, "paused")
    assert names(claimer.claim()) == ["app.z", "app.b"]
    with store.transaction() as session:
        assert queues.resume(session, "paused")
    assert names(claimer.claim()) == ["app.p"]


def test_with_equal_priority_the_queue_with_the_oldest_job_is_served_first(store: Store, claimer: Claimer) -> None:
    store.enqueue([job("app.first", queue="z")])
    store.enqueue([job("app.second", queue="a")])
    assert names(claimer.claim(1)) == ["app.first"]
    assert names(claimer.claim(1)) == ["app.second"]


def test_a_list_of_queues_is_an_order_of_precedence(store: Store, claimer: Claimer) -> None:
    store.enqueue(
        [
            job("app.c", queue="c", priority=-5),
            job("app.b1", queue="b", priority=3),
            job("app.a", queue="a", priority=9),
        ]
    )
    store.enqueue([job("app.b2", queue="b", priority=1)])
    assert names(claimer.claim(queues=("a", "b"))) == ["app.a", "app.b2", "app.b1"]
    assert names(claimer.claim(queues=("a", "b", "*"))) == ["app.c"]


def test_prefixes_and_exclusions_choose_queues(store: Store, claimer: Claimer) -> None:
    store.enqueue([job(f"app.{q}", queue=q) for q in ("mail", "mail_slow", "mailing", "other", "100%", "100x")])
    assert names(claimer.claim(queues=("mail*", "-mail_slow"))) == ["app.mail", "app.mailing"]
    assert names(claimer.claim(queues=("100%*",))) == ["app.100%"]
    assert names(claimer.claim(queues=("nothing*",))) == []
    assert sorted(names(claimer.claim(queues=("*", "-other")))) == ["app.100x", "app.mail_slow"]


def test_a_claim_never_takes_more_than_its_limit(store: Store, claimer: Claimer) -> None:
    store.enqueue([job(f"app.n{n}", queue=f"q{n % 7}", priority=n % 3) for n in range(100)])
    assert len(claimer.claim(10)) == 10
    assert len(claimer.claim(1)) == 1
    assert len(claimer.claim(1000)) == 89


def test_concurrent_claimers_share_the_jobs_and_none_is_claimed_twice(
    store: Store, open_another: Callable[[], Store]
) -> None:
    ids = store.enqueue([job(queue=f"q{n % 3}", priority=n % 2) for n in range(600)])
    claimers = [Claimer(open_another(), f"worker-{n}") for n in range(4)]
    got: list[list[int]] = [[] for _ in claimers]

    def drain(n: int) -> None:
        empty = 0
        while empty < 3:  # a claim may come back empty while another one holds the rows it looked at
            taken = [found.id for found in claimers[n].claim(7)]
            empty = 0 if taken else empty + 1
            got[n] += taken

    threads = [threading.Thread(target=drain, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(functools.reduce(operator.iadd, got, [])) == sorted(ids)


def test_a_claim_from_a_low_water_mark_leaves_what_is_left_of_it(store: Store, claimer: Claimer) -> None:
    if store.dialect == "sqlite":
        pytest.skip("SQLite has no dead rows to walk over, and so no marks")
    store.enqueue([job("app.old"), job("app.new")])
    with store.reading() as session:
        row = session.one("ready.lanes")
        assert row is not None
    with store.statement() as session:
        first, taken, _ = ready.claim(session, [Mark(Lane("default", 0), 0, 0)], 1, claimer.id, 100)
    mark = taken[Lane("default", 0)] + 1
    store.enqueue([job("app.newer")])
    with store.statement() as session:
        second, _, _ = ready.claim(session, [Mark(Lane("default", 0), 0, mark)], 10, claimer.id, 200)
    assert names(first) == ["app.old"]
    assert names(second) == ["app.new", "app.newer"]


def test_a_claim_brings_large_arguments_as_far_as_there_is_room_and_the_others_keep_their_places(
    store: Store, claimer: Claimer
) -> None:
    text = "x" * (WEIGHT // 8)
    small = store.enqueue([job("app.small", arguments="{}") for _ in range(3)])
    large = store.enqueue([job("app.large", arguments=text, limits=(Limit("k", 100),)) for _ in range(20)])
    later = store.enqueue([job("app.later", arguments="{}")])
    claims = [claimer.claim(1000) for _ in range(4)]
    assert [[taken.id for taken in claim] for claim in claims] == [
        [*small, *large[:7]],
        large[7:15],
        [*large[15:], *later],
        [],
    ]
    assert all(taken.arguments == text for claim in claims for taken in claim if taken.class_name == "app.large")
    assert {taken.attempt for claim in claims for taken in claim} == {1}
    assert {taken.ties for claim in claims for taken in claim if taken.class_name == "app.large"} == {LIMITED}


def test_a_job_that_was_put_back_has_waited_since_it_was_ready(store: Store, claimer: Claimer) -> None:
    store.enqueue([job(arguments="x" * WEIGHT) for _ in range(2)])
    with store.transaction():
        store.backend.script(
            "UPDATE queued_ready SET ready_at = ready_at - 60000000;"
            if store.dialect == "sqlite"
            else "UPDATE queued.ready SET ready_at = ready_at - interval '60 s'"
        )
    (_,) = claimer.claim()
    (second,) = claimer.claim()
    assert 60 <= second.waited < 120


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_job_that_is_cancelled_before_it_is_put_back_stays_claimed(
    store: Store, claimer: Claimer, open_another: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = store.enqueue([job(arguments="x" * WEIGHT) for _ in range(3)])
    operator_s = open_another()

    def cancelling(weights: Iterable[int], starting: int) -> int:
        with operator_s.transaction() as session:
            assert operators.cancel_one(session, second).interrupted == [second]
        return fitting(weights, starting)

    monkeypatch.setattr(ready, "fitting", cancelling)
    assert [found.id for found in claimer.claim()] == [first, second]
    with store.reading() as session:
        assert {job_id for job_id, _ in claimed.cancellations(session, claimer.id)} == {second}
    monkeypatch.setattr(ready, "fitting", fitting)
    assert [found.id for found in claimer.claim()] == [third]


def test_jobs_that_start_at_once_come_whatever_they_weigh(store: Store, claimer: Claimer) -> None:
    store.enqueue([job(arguments="x" * WEIGHT) for _ in range(5)])
    assert len(claimer.claim(starting=3)) == 3
    assert len(claimer.claim(starting=0)) == 1


def test_a_due_job_is_dispatched_and_one_that_is_not_stays(store: Store, claimer: Claimer) -> None:
    now = datetime.now(timezone.utc)
    store.enqueue(
        [
            job("app.later", run_at=now + timedelta(hours=1)),
            job("app.soon", wait=0.15),
            job("app.past", run_at=now - timedelta(seconds=1)),
        ]
    )
    assert names(claimer.claim()) == ["app.past"]
    arrivals: list[object] = []
    waiting = threading.Event()
    for _ in range(200):
        with store.transaction() as session:
            arrivals += scheduled.dispatch(session, 10)
        if arrivals:
            break
        waiting.wait(0.02)
    assert len(arrivals) == 1
    assert names(claimer.claim()) == ["app.soon"]


def test_dispatch_moves_no_more_than_a_batch_and_the_longest_due_first(store: Store, claimer: Claimer) -> None:
    with store.transaction() as session:
        for n, ago in enumerate((1, 3, 2)):
            (job_id,) = store_ids(session, job(f"app.n{ago}", wait=1000 + n))
            session.run(
                "scheduled.put", job_id=job_id + 1000, queue="q", priority=0, attempt=1, ties=0, wait=-float(ago)
            )
    with store.transaction() as session:
        assert [arrival.queue for arrival in scheduled.dispatch(session, 2)] == ["q", "q"]
    with store.reading() as session:
        left = scheduled.next_due(session)
    assert left is not None
    assert -2 < left <= -1


def store_ids(session: object, *new: NewJob) -> list[int]:
    from queued.storage import jobs

    return jobs.enqueue(session, new)[0]  # type: ignore[arg-type]


def test_a_rolled_back_enqueue_leaves_nothing(store: Store, claimer: Claimer) -> None:
    with pytest.raises(RuntimeError, match="changed my mind"), store.transaction() as session:
        store_ids(session, job())
        raise RuntimeError("changed my mind")
    assert claimer.claim() == []


def test_retry_counters_come_with_the_claim(store: Store, claimer: Claimer) -> None:
    store.enqueue([job()])
    for expected in ({}, {"[KeyError]": 1}, {"[KeyError]": 2}):
        (found,) = claimer.claim()
        assert dict(found.counters) == expected
        with store.transaction() as session:
            report = claimed.finish(session, [Outcome(found.id, found.lease, "retry", policy="[KeyError]")], HERE)
        assert report.stale == []
    (found,) = claimer.claim()
    assert found.attempt == 4


def test_a_claim_tells_how_long_each_job_has_waited(store: Store, claimer: Claimer) -> None:
    store.enqueue([job()])
    time.sleep(0.25)
    store.enqueue([job()])
    first, second = claimer.claim()
    assert 0.2 < first.waited < 60.0
    assert second.waited < first.waited - 0.2

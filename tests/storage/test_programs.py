"""Programs: what a worker without an application claims, wherever such a job comes from."""

from __future__ import annotations

from queued.domain.jobs import PROGRAM, ClaimedJob, Failure, NewJob, Outcome
from queued.domain.limits import Limit
from queued.storage import claimed, operators, queues, scheduled
from queued.storage.store import Store
from storage.conftest import Claimer, job

HERE = claimed.Worker("here", "worker-1")


def program(**told: object) -> NewJob:
    return job("queued.shell", **told)


def end(store: Store, found: ClaimedJob, kind: str, **told: object) -> None:
    with store.transaction() as session:
        outcome = Outcome(found.id, found.lease, kind, ties=found.ties, **told)  # type: ignore[arg-type]
        claimed.finish(session, [outcome], HERE)


def test_programs_are_claimed_alone_in_the_order_of_all_jobs(store: Store, claimer: Claimer) -> None:
    store.enqueue([job(f"app.n{n}", priority=n % 3) for n in range(50)])
    ids = store.enqueue([program(priority=5), program(priority=-1), program(queue="other"), program(priority=-1)])
    store.enqueue([job("app.more") for _ in range(50)])
    found = claimer.claim(2, programs=True)
    assert [one.id for one in found] == [ids[1], ids[3]]
    assert [one.id for one in claimer.claim(programs=True)] == [ids[2], ids[0]]
    assert claimer.claim(programs=True) == []
    assert len(claimer.claim(1000)) == 100
    assert {one.class_name for one in found} == {"queued.shell"}
    assert all(one.ties & PROGRAM for one in found)


def test_a_worker_with_an_application_claims_programs_too(store: Store, claimer: Claimer) -> None:
    store.enqueue([program()])
    store.enqueue([job("app.work")])
    assert [one.class_name for one in claimer.claim()] == ["queued.shell", "app.work"]


def test_a_paused_queue_and_an_unregistered_worker_get_none(store: Store, claimer: Claimer) -> None:
    store.enqueue([program(queue="mail"), program(queue="rest")])
    with store.transaction() as session:
        queues.pause(session, "mail")
    assert [one.queue for one in claimer.claim(programs=True)] == ["rest"]
    with store.transaction() as session:
        queues.resume(session, "mail")
    claimer.id = 4711
    assert claimer.claim(programs=True) == []


def test_a_program_stays_one_through_schedule_limit_retry_release_failure_and_an_operator_s_retry(
    store: Store, claimer: Claimer
) -> None:
    limit = (Limit("one", 1, None, "block"),)
    store.enqueue([program(wait=0.001), program(limits=limit), program(limits=limit)])

    def dispatch() -> None:
        with store.transaction() as session:
            scheduled.dispatch(session, 100)

    def claim() -> list[ClaimedJob]:
        dispatch()
        return claimer.claim(programs=True)

    found = claim()
    while len(found) < 2:
        found += claim()
    first, second = sorted(found, key=lambda one: one.id)
    end(store, first, "released")
    (again,) = claim()
    assert again.id == first.id
    end(store, again, "retry", wait=0.0, failure=Failure("E", "m"), policy="p")
    found = claim()
    while not found:
        found = claim()
    assert (found[0].id, found[0].attempt, dict(found[0].counters)) == (first.id, 2, {"p": 1})
    end(store, found[0], "failed", failure=Failure("E", "m"))
    end(store, second, "done")
    (third,) = claim()
    assert third.ties & PROGRAM
    with store.transaction() as session:
        operators.retry(session, [first.id])
    assert [one.id for one in claim()] == [first.id]

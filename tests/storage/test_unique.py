"""Unique jobs: one of a key at a time, whoever enqueues at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from queued.domain.jobs import ClaimedJob, NewJob, Outcome, Stored
from queued.domain.limits import Limit
from queued.domain.unique import Unique
from queued.storage import adopt, claimed, operators, unique
from queued.storage.store import Store, open_store
from storage.conftest import Claimer, job
from storage.limits import BOOM, HERE, check, pass_time, rows


def one(key: str = "k", on_conflict: str = "keep", until: str | None = "finish", **fields: object) -> NewJob:
    period = fields.pop("period", None)
    held = Unique(key, until, period, on_conflict)  # type: ignore[arg-type]
    return NewJob("app.work", unique=held, **fields)  # type: ignore[arg-type]


def finish(store: Store, *outcomes: Outcome) -> None:
    with store.transaction() as session:
        assert claimed.finish(session, outcomes, HERE).stale == []


def ids(store: Store, table: str) -> list[int]:
    return sorted(row["job_id"] for row in rows(store, table))


def keys(store: Store) -> dict[str, int]:
    return {row["key"]: row["job_id"] for row in rows(store, "unique_keys")}


def test_a_second_job_of_a_key_is_not_stored_and_the_first_is_named(store: Store) -> None:
    (first,) = store.enqueue([one()])
    again = store.submit([one(), job(), one("other")])
    assert again.ids[0] == first
    assert again.notes == {0: "existing"}
    assert len(rows(store, "jobs")) == len(rows(store, "ready")) == 3


@pytest.mark.parametrize("kind", ["done", "discarded", "cancelled", "failed"])
def test_the_key_is_free_when_the_job_has_ended_or_failed(store: Store, claimer: Claimer, kind: str) -> None:
    (first,) = store.enqueue([one()])
    (held,) = claimer.claim()
    assert store.submit([one()]).notes == {0: "existing"}
    finish(store, Outcome(first, held.lease, kind, failure=BOOM, ties=held.ties))  # type: ignore[arg-type]
    assert keys(store) == {}
    assert store.submit([one()]).notes == {}


def test_a_retry_and_a_release_keep_the_key(store: Store, claimer: Claimer) -> None:
    (first,) = store.enqueue([one()])
    for kind, wait in (("released", 0.0), ("retry", 0.0), ("retry", 60.0)):
        (held,) = claimer.claim()
        finish(store, Outcome(first, held.lease, kind, failure=BOOM, wait=wait, ties=held.ties))  # type: ignore[arg-type]
        assert store.submit([one()]).notes == {0: "existing"}


def test_until_start_the_key_is_free_once_a_worker_has_the_job(store: Store, claimer: Claimer) -> None:
    (first,) = store.enqueue([one(until="start")])
    (held,) = claimer.claim()
    with store.transaction() as session:
        unique.started(session, [held.id])
    (second,) = store.enqueue([one(until="start")])
    assert second != first
    # The end of the first one does not free the key of the second.
    finish(store, Outcome(first, held.lease, "done", ties=held.ties))
    assert keys(store) == {"k": second}


def test_for_a_period_the_key_is_held_whatever_becomes_of_the_job(store: Store, claimer: Claimer) -> None:
    (first,) = store.enqueue([one(until=None, period=60.0)])
    (held,) = claimer.claim()
    assert held.ties == 0
    finish(store, Outcome(first, held.lease, "done"))
    told = store.submit([one(until=None, period=60.0)])
    assert (told.ids, told.notes) == ([first], {0: "existing"})
    pass_time(store, "unique_keys", "expires_at", 60.0)
    assert store.submit([one(until=None, period=60.0)]).notes == {}
    pass_time(store, "unique_keys", "expires_at", 60.0)
    with store.transaction() as session:
        assert unique.forget_lapsed(session) == 1


@pytest.mark.parametrize("wait", [None, 60.0])
def test_a_waiting_job_is_replaced_with_the_reason(store: Store, wait: float | None) -> None:
    (first,) = store.enqueue([one(wait=wait)])
    second = store.submit([one(on_conflict="replace", wait=wait)])
    assert second.notes == {}
    assert ids(store, "finished") == [first]
    assert [row["error_class"] for row in rows(store, "attempts")] == ["queued.Replaced"]
    assert keys(store) == {"k": second.ids[0]}
    assert [row["job_id"] for row in rows(store, "job_uniques")] == second.ids


def test_a_running_job_is_kept_and_not_replaced(store: Store, claimer: Claimer) -> None:
    (first,) = store.enqueue([one()])
    claimer.claim()
    second = store.submit([one(on_conflict="replace")])
    assert (second.ids, second.notes) == ([first], {0: "existing"})


def test_a_blocked_job_is_replaced_and_a_ready_one_gives_its_slot_on(store: Store) -> None:
    limit = (Limit("l", 1),)
    first, blocked = store.enqueue([one("a", limits=limit), one("b", limits=limit)])
    newer = store.submit([one("b", on_conflict="replace", limits=limit)])
    assert newer.notes == {}
    assert (ids(store, "blocked"), ids(store, "finished")) == (newer.ids, [blocked])
    newest = store.submit([one("a", on_conflict="replace", limits=limit)])
    assert ids(store, "finished") == [first, blocked]
    assert (ids(store, "ready"), ids(store, "blocked")) == (newer.ids, newest.ids)
    check(store, {"l": 1})
    assert keys(store) == {"a": newest.ids[0], "b": newer.ids[0]}


def test_in_one_batch_the_first_is_kept_or_the_last_replaces_the_others(store: Store) -> None:
    kept = store.submit([one(), one(), job()])
    assert kept.ids[0] == kept.ids[1]
    assert kept.notes == {1: "existing"}
    replaced = store.submit([one("r", "replace", queue="a"), one("r", "replace", queue="b")])
    assert replaced.ids[0] == replaced.ids[1]
    assert replaced.notes == {0: "existing"}
    assert {row["queue"] for row in rows(store, "ready")} == {"default", "b"}


def test_a_refused_job_leaves_nothing_behind(store: Store) -> None:
    (first,) = store.enqueue([one()])
    told = store.submit([one(on_conflict="raise", limits=(Limit("l", 1),))])
    assert (told.ids, told.notes) == ([first], {0: "refused"})
    assert [row["id"] for row in rows(store, "jobs")] == [first]
    assert rows(store, "job_limits") == rows(store, "slots") == []


def test_operators_free_the_key_and_a_retried_job_takes_it_again(store: Store, claimer: Claimer) -> None:
    (first,) = store.enqueue([one()])
    with store.transaction() as session:
        operators.discard(session, [first])
    assert keys(store) == {}
    (second,) = store.enqueue([one()])
    (held,) = claimer.claim()
    finish(store, Outcome(second, held.lease, "failed", failure=BOOM, ties=held.ties))
    with store.transaction() as session:
        assert operators.retry(session, [second]).done == [second]
    assert keys(store) == {"k": second}
    assert ids(store, "ready") == [second]


def test_a_job_discarded_by_its_limit_frees_its_key(store: Store) -> None:
    limit = (Limit("l", 1, None, "discard"),)
    store.enqueue([NewJob("app.holder", limits=limit)])
    assert store.submit([one(limits=limit)]).notes == {0: "discarded"}
    assert keys(store) == {}
    assert rows(store, "job_uniques") == []


def test_of_many_that_enqueue_at_the_same_moment_one_is_stored(store: Store, open_another: Callable[[], Store]) -> None:
    for turn in range(10):
        told: list[Stored] = []
        together = threading.Barrier(4)

        def enqueue(own: Store, key: str, told: list[Stored] = told, together: threading.Barrier = together) -> None:
            own.backend.connection()
            together.wait()
            told.append(own.submit([one(key, wait=60.0)]))

        threads = [threading.Thread(target=enqueue, args=(open_another(), f"k{turn}")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(told) == 4
        assert sum(not each.notes for each in told) == 1
        assert len({each.ids[0] for each in told}) == 1
    assert len(rows(store, "jobs")) == len(rows(store, "scheduled")) == 10


def test_in_somebody_elses_transaction_keys_are_taken_and_waiting_jobs_replaced(store: Store) -> None:
    connection = store.backend._open(store.settings.url) if store.dialect == "postgresql" else store.backend._open()  # type: ignore[union-attr,call-arg]
    first, second = store.enqueue([one("a"), one("b", wait=60.0)])
    connection.execute("BEGIN")
    told = adopt.submit(connection, [one("a"), one("b", on_conflict="replace"), one("c")])
    connection.execute("COMMIT")
    connection.close()
    assert told.ids[0] == first
    assert told.notes == {0: "existing"}
    assert ids(store, "finished") == [second]
    assert keys(store) == {"a": first, "b": told.ids[1], "c": told.ids[2]}
    assert ids(store, "ready") == [first, told.ids[1], told.ids[2]]


def started(store: Store, *jobs: ClaimedJob) -> None:
    """What a worker does between its claim and the delivery."""
    with store.transaction() as session:
        unique.started(session, [one.id for one in jobs])


@pytest.mark.parametrize(
    "kind", ["retry at once", "retry later", "released", "crashed", "its worker died", "given back"]
)
def test_a_key_held_while_its_job_waits_is_free_while_it_runs_and_taken_again(
    store: Store, claimer: Claimer, kind: str
) -> None:
    (first,) = store.enqueue([one(until="waiting")])
    assert store.submit([one(until="waiting")]).notes == {0: "existing"}
    (held,) = claimer.claim()
    started(store, held)
    assert keys(store) == {}
    with store.transaction() as session:
        if kind == "crashed":
            claimed.crash(session, [(first, held.lease)], "killed", 9, HERE)
        elif kind == "its worker died":
            claimed.recover(session, claimer.id, {}, "killed", 9, "here", "w")
        elif kind == "given back":
            claimed.release(session, [(first, held.lease)], [])
        else:
            name, wait = ("released", 0.0) if kind == "released" else ("retry", 60.0 * (kind == "retry later"))
            outcome = Outcome(first, held.lease, name, failure=BOOM, wait=wait, ties=held.ties)  # type: ignore[arg-type]
            claimed.finish(session, [outcome], HERE)
    assert keys(store) == {"k": first}
    assert store.submit([one(until="waiting")]).notes == {0: "existing"}
    check(store, {})


def test_a_job_that_waits_again_leaves_the_key_to_whoever_took_it_and_is_not_lost(
    store: Store, claimer: Claimer
) -> None:
    (first,) = store.enqueue([one(until="waiting")])
    (held,) = claimer.claim()
    started(store, held)
    (second,) = store.enqueue([one(until="waiting")])
    finish(store, Outcome(first, held.lease, "retry", failure=BOOM, ties=held.ties))
    assert (keys(store), ids(store, "ready")) == ({"k": second}, [first, second])
    for one_held in claimer.claim():
        started(store, one_held)
        finish(store, Outcome(one_held.id, one_held.lease, "done", ties=one_held.ties))
    assert (keys(store), rows(store, "job_uniques")) == ({}, [])


@pytest.mark.parametrize("kind", ["retry", "released", "crashed", "its worker died"])
def test_a_key_in_a_transaction_that_is_still_open_keeps_no_outcome_waiting(postgresql_url: str, kind: str) -> None:
    with closing(open_store(postgresql_url)) as store, psycopg.connect(postgresql_url) as application:
        store.migrate()
        claimer = Claimer(store)
        first, other, plain = store.enqueue([one("k", until="waiting"), one("other", until="waiting"), job()])
        held = {found.id: found for found in claimer.claim()}
        started(store, *held.values())
        newer = adopt.submit(application, [one("k", until="waiting")]).ids[0]
        back = [held[first], held[other]]
        begun = time.monotonic()
        with store.transaction() as session:
            if kind == "crashed":
                claimed.crash(session, [(found.id, found.lease) for found in back], "killed", 9, HERE)
            elif kind == "its worker died":
                claimed.recover(session, claimer.id, {}, "killed", 9, "here", "w")
            else:
                ends = [Outcome(found.id, found.lease, kind, failure=BOOM, ties=found.ties) for found in back]  # type: ignore[arg-type]
                ends.append(Outcome(plain, held[plain].lease, "done"))
                assert claimed.finish(session, ends, HERE).stale == []
            settings = store.backend.connection().execute("SHOW lock_timeout").fetchone()
        assert time.monotonic() - begun < 2.0
        assert settings == ("10s",), "what follows in the transaction waits as it did before"
        assert keys(store) == {"other": other}
        application.commit()
        assert keys(store) == {"k": newer, "other": other}
        waiting = {*ids(store, "ready"), *ids(store, "scheduled")}
        assert {first, other, newer} <= waiting
        assert ids(store, "finished") == ([plain] if kind in ("retry", "released") else [])


def test_a_failed_job_that_an_operator_runs_again_has_its_key_while_it_waits(store: Store, claimer: Claimer) -> None:
    (first,) = store.enqueue([one(until="waiting", on_conflict="raise")])
    (held,) = claimer.claim()
    started(store, held)
    finish(store, Outcome(first, held.lease, "failed", failure=BOOM, ties=held.ties))
    with store.transaction() as session:
        operators.retry(session, [first])
    assert store.submit([one(until="waiting", on_conflict="raise")]).notes == {0: "refused"}
    assert store.submit([one(until="waiting", on_conflict="replace")]).notes == {}
    assert ids(store, "finished") == [first]


def test_jobs_that_go_back_to_wait_crosswise_never_deadlock(store: Store, open_another: Callable[[], Store]) -> None:
    store.enqueue([one(f"k{n}", until="waiting") for n in range(12)])
    errors: list[Exception] = []

    def work(name: str) -> None:
        worker = Claimer(open_another(), name)
        try:
            for _ in range(30):
                found = worker.claim(6)
                if not found:
                    continue
                started(worker.store, *found)
                worker.store.submit([one(f"k{n}", until="waiting") for n in range(3)])
                back = [Outcome(one.id, one.lease, "released", ties=one.ties) for one in reversed(found)]
                finish(worker.store, *back)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(keys(store).values())) == len(keys(store))
    assert set(ids(store, "ready")) == {row["job_id"] for row in rows(store, "job_uniques")}

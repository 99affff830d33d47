"""Concurrency limits: who is let in, who waits, and that no slot is ever lost or given twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from queued.domain.errors import DatabaseUnavailable
from queued.domain.jobs import NewJob, Outcome
from queued.domain.limits import Candidate, Limit, admit
from queued.storage import adopt, claimed, limits, operators, retention, scheduled
from queued.storage.store import Store
from storage.conftest import Claimer, job
from storage.limits import BOOM, HERE, Chaos, check, limited, rows


def finish(store: Store, *outcomes: Outcome) -> claimed.Report:
    with store.transaction() as session:
        return claimed.finish(session, outcomes, HERE)


def ids(store: Store, table: str) -> list[int]:
    return sorted(row["job_id"] for row in rows(store, table))


def test_no_more_than_the_limit_are_ready_and_the_others_wait(store: Store, claimer: Claimer) -> None:
    stored = store.enqueue([limited("k", 2) for _ in range(5)])
    assert (ids(store, "ready"), ids(store, "blocked")) == (stored[:2], stored[2:])
    assert [found.id for found in claimer.claim()] == stored[:2]
    assert claimer.claim() == []
    check(store, {"k": 2})


@pytest.mark.parametrize("kind", ["done", "discarded", "cancelled", "failed"])
def test_the_end_of_a_holder_lets_the_next_in_with_the_same_transaction(
    store: Store, claimer: Claimer, kind: str
) -> None:
    first, second, _ = store.enqueue([limited("k") for _ in range(3)])
    (held,) = claimer.claim()
    report = finish(store, Outcome(first, held.lease, kind, failure=BOOM, ties=held.ties))  # type: ignore[arg-type]
    assert [arrival.queue for arrival in report.arrivals] == ["default"]
    assert ids(store, "ready") == [second]
    check(store, {"k": 1})


def test_the_line_is_served_by_priority_and_then_by_age(store: Store, claimer: Claimer) -> None:
    holder, late, urgent, later = store.enqueue([limited("k", priority=p) for p in (5, 9, 1, 9)])
    served = []
    for _ in range(4):
        (held,) = claimer.claim()
        served.append(held.id)
        finish(store, Outcome(held.id, held.lease, "done", ties=held.ties))
    # The three came in one batch while nobody held the key: the most urgent of all was let in.
    assert served == [urgent, holder, late, later]


def test_an_operator_s_dispatch_keeps_the_limit(store: Store) -> None:
    first, second, third = store.enqueue([limited("k", wait=600.0) for _ in range(3)])
    with store.transaction() as session:
        acted = operators.dispatch(session, [first, second])
    assert (acted.done, acted.refused) == ([first, second], {})
    assert [arrival.queue for arrival in acted.arrivals] == ["default"]
    assert [ids(store, table) for table in ("ready", "blocked", "scheduled")] == [[first], [second], [third]]
    check(store, {"k": 1})


def test_every_free_slot_is_filled_at_once(store: Store, claimer: Claimer) -> None:
    store.enqueue([limited("k", 3) for _ in range(8)])
    held = claimer.claim()
    finish(store, *[Outcome(one.id, one.lease, "done", ties=one.ties) for one in held])
    assert len(ids(store, "ready")) == 3
    check(store, {"k": 3})


def test_a_newer_limit_holds_for_all(store: Store) -> None:
    store.enqueue([limited("k", 1) for _ in range(4)])
    assert len(ids(store, "ready")) == 1
    store.enqueue([limited("k", 3)])
    assert (len(ids(store, "ready")), len(ids(store, "blocked"))) == (3, 2)
    store.enqueue([limited("k", 2)])
    assert (len(ids(store, "ready")), len(ids(store, "blocked"))) == (3, 3)


def test_a_job_with_several_limits_needs_a_slot_of_each(store: Store, claimer: Claimer) -> None:
    both = NewJob("app.both", limits=(Limit("a", 1), Limit("b", 1)))
    on_a, on_b, waiting, other = store.enqueue([limited("a"), limited("b"), both, limited("a")])
    assert ids(store, "ready") == [on_a, on_b]
    held = {one.id: one for one in claimer.claim()}
    finish(store, Outcome(on_a, held[on_a].lease, "done", ties=1))
    # The older one still lacks b, so the younger one that needs only a goes first.
    assert ids(store, "ready") == [other]
    finish(store, Outcome(on_b, held[on_b].lease, "done", ties=1))
    assert ids(store, "blocked") == [waiting]
    (last,) = claimer.claim()
    finish(store, Outcome(last.id, last.lease, "done", ties=1))
    assert ids(store, "ready") == [waiting]
    check(store, {"a": 1, "b": 1})


def test_a_job_that_waits_for_a_retry_frees_its_slot_and_asks_again(store: Store, claimer: Claimer) -> None:
    first, second = store.enqueue([limited("k") for _ in range(2)])
    (held,) = claimer.claim()
    finish(store, Outcome(first, held.lease, "retry", failure=BOOM, wait=0.001, ties=1))
    assert (ids(store, "scheduled"), ids(store, "ready")) == ([first], [second])
    time.sleep(0.01)
    with store.transaction() as session:
        assert scheduled.dispatch(session, 10) == []
    assert ids(store, "blocked") == [first]
    (held,) = claimer.claim()
    finish(store, Outcome(second, held.lease, "done", ties=1))
    (again,) = claimer.claim()
    assert (again.id, again.attempt) == (first, 2)


@pytest.mark.parametrize("how", ["released", "retry"])
def test_a_job_that_is_ready_again_at_once_keeps_its_slot(store: Store, claimer: Claimer, how: str) -> None:
    first, _ = store.enqueue([limited("k") for _ in range(2)])
    (held,) = claimer.claim()
    finish(store, Outcome(first, held.lease, how, failure=BOOM, ties=1))  # type: ignore[arg-type]
    assert ids(store, "ready") == [first]
    check(store, {"k": 1})


def test_a_job_that_crashed_keeps_its_slot_and_one_that_failed_by_it_does_not(store: Store, claimer: Claimer) -> None:
    first, second = store.enqueue([limited("k") for _ in range(2)])
    for expected in ([first], [second]):
        (held,) = claimer.claim()
        with store.transaction() as session:
            claimed.crash(session, [(held.id, held.lease)], "killed", 2, HERE)
        assert ids(store, "ready") == expected
        check(store, {"k": 1})


def test_a_conflict_may_discard_and_says_so(store: Store, claimer: Claimer) -> None:
    stored = store.submit([limited("k", on_conflict="discard") for _ in range(3)] + [job()])
    assert stored.notes == {1: "discarded", 2: "discarded"}
    assert ids(store, "finished") == stored.ids[1:3]
    assert [row["error_class"] for row in rows(store, "attempts")] == ["queued.LimitReached"] * 2
    (held,) = (one for one in claimer.claim() if one.ties)
    finish(store, Outcome(held.id, held.lease, "retry", failure=BOOM, wait=0.001, ties=1))
    assert store.submit([limited("k", on_conflict="discard")]).notes == {}
    time.sleep(0.01)
    with store.transaction() as session:
        scheduled.dispatch(session, 10)
    # It has run before: a conflict now makes it wait.
    assert ids(store, "blocked") == [held.id]


def test_a_scheduled_job_asks_when_it_is_due(store: Store, claimer: Claimer) -> None:
    later, now = store.enqueue([limited("k", wait=0.001), limited("k")])
    assert (ids(store, "scheduled"), ids(store, "ready")) == ([later], [now])
    time.sleep(0.01)
    with store.transaction() as session:
        scheduled.dispatch(session, 10)
    assert ids(store, "blocked") == [later]
    check(store, {"k": 1})


def test_operators_end_and_retry_limited_jobs_wherever_they_are(store: Store, claimer: Claimer) -> None:
    first, second, third, fourth = store.enqueue([limited("k") for _ in range(4)])
    with store.transaction() as session:
        acted = operators.discard(session, [third, first])
    assert sorted(acted.done) == [first, third]
    assert ids(store, "ready") == [second]
    (held,) = claimer.claim()
    finish(store, Outcome(second, held.lease, "failed", failure=BOOM, ties=1))
    assert ids(store, "ready") == [fourth]
    with store.transaction() as session:
        assert operators.retry(session, [second]).done == [second]
    assert ids(store, "blocked") == [second]
    with store.transaction() as session:
        assert operators.cancel_one(session, fourth).done == [fourth]
    assert ids(store, "ready") == [second]
    (held,) = claimer.claim()
    with store.transaction() as session:
        assert operators.cancel_one(session, second).interrupted == [second]
    check(store, {"k": 1})


def test_a_limit_knows_nothing_of_jobs_without_one(store: Store, claimer: Claimer) -> None:
    store.enqueue([job(), limited("k"), job(), limited("k")])
    assert [found.ties for found in claimer.claim()] == [0, 0, 1]


def test_keys_that_nobody_uses_are_forgotten_and_the_others_are_not(store: Store, claimer: Claimer) -> None:
    store.enqueue([limited("a"), limited("b")])
    for held in claimer.claim(1):
        finish(store, Outcome(held.id, held.lease, "done", ties=1))
    with store.transaction() as session:
        assert limits.forget_idle(session) == 1
    assert [row["key"] for row in rows(store, "limits")] == ["b"]
    assert rows(store, "job_limits") == [row for row in rows(store, "job_limits") if row["key"] == "b"]


def test_the_safety_net_repairs_what_somebody_broke_by_hand(store: Store) -> None:
    first, second = store.enqueue([limited("k") for _ in range(2)])
    prefix = "queued." if store.dialect == "postgresql" else "queued_"
    connection = store.backend.connection()
    connection.execute(f"DELETE FROM {prefix}ready")
    connection.execute(f"DELETE FROM {prefix}jobs WHERE id = {first}")
    with store.transaction() as session:
        found = limits.sweep(session)
    assert (found.evicted, len(found.arrivals)) == (1, 1)
    assert ids(store, "ready") == [second]


def test_a_failed_job_that_is_forgotten_leaves_no_limits_behind(store: Store, claimer: Claimer) -> None:
    from queued.domain.settings import RetentionSettings

    store.enqueue([limited("k")])
    (held,) = claimer.claim()
    finish(store, Outcome(held.id, held.lease, "failed", failure=BOOM, ties=1))
    time.sleep(0.01)
    retention.prune(store, RetentionSettings(failed=0.001))
    assert rows(store, "jobs") == rows(store, "job_limits") == rows(store, "slots") == []


def test_in_somebody_elses_transaction_postgresql_lets_in_after_the_commit(store: Store) -> None:
    connection = store.backend._open(store.settings.url) if store.dialect == "postgresql" else None  # type: ignore[union-attr,call-arg]
    if connection is None:
        pytest.skip("SQLite has one writer: its owner's transaction holds everybody up anyway")
    with connection, connection.transaction():
        adopt.enqueue(connection, [limited("k"), limited("k")])
        # The key is not locked meanwhile: others pass.
        (other,) = store.enqueue([limited("k")])
        assert ids(store, "ready") == [other]
    with store.transaction() as session:
        assert scheduled.dispatch(session, 10) == []
    assert len(ids(store, "blocked")) == 2
    check(store, {"k": 1})


# many at once


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_no_slot_is_lost_and_none_is_given_twice(store: Store, seed: int) -> None:
    chaos = Chaos(store, seed)
    for n in range(60):
        done = chaos.step()
        try:
            check(store, chaos.capacities)
        except AssertionError as error:
            raise AssertionError(f"after step {n}, {done}: {error}") from error
    chaos.rest()


def test_many_claimers_never_hold_a_limit_of_one_together(store: Store, open_another: Callable[[], Store]) -> None:
    ledger: list[tuple[str, int]] = []
    total, errors = 60, []
    store.enqueue([limited("k") for _ in range(total // 2)])
    names = iter(range(100))
    guard = threading.Lock()

    def work(own: Store) -> None:
        try:
            with guard:
                claimer = Claimer(own, f"hammer-{next(names)}")
            deadline = time.monotonic() + 60
            while sum(event == "end" for event, _ in ledger) < total and time.monotonic() < deadline:
                for found in claimer.claim(3):
                    ledger.append(("start", found.id))
                    time.sleep(0.001)
                    ledger.append(("end", found.id))
                    finish(own, Outcome(found.id, found.lease, "done", ties=found.ties))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(open_another(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(total // 2):
        store.enqueue([limited("k")])
    for thread in threads:
        thread.join()
    assert errors == []
    assert [event for event, _ in ledger] == ["start", "end"] * total
    assert sorted({job_id for _, job_id in ledger}) == sorted(job_id for event, job_id in ledger if event == "end")
    check(store, {"k": 1})


def test_holders_that_end_at_the_same_instant_leave_nobody_behind(
    store: Store, claimer: Claimer, open_another: Callable[[], Store]
) -> None:
    stores = [open_another() for _ in range(2)]
    for _ in range(25):
        store.enqueue([limited("k", 2) for _ in range(4)])
        held = claimer.claim()
        assert len(held) == 2
        together = threading.Barrier(2)

        def end(own: Store, one: object, together: threading.Barrier = together) -> None:
            together.wait()
            finish(own, Outcome(one.id, one.lease, "done", ties=1))  # type: ignore[attr-defined]

        threads = [threading.Thread(target=end, args=pair) for pair in zip(stores, held, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids(store, "ready")) == 2
        check(store, {"k": 2})
        finish(store, *[Outcome(one.id, one.lease, "done", ties=1) for one in claimer.claim()])


def test_jobs_with_crossed_keys_do_not_wait_for_each_other(store: Store, open_another: Callable[[], Store]) -> None:
    """Keys are locked in their order, those of the jobs in line too: nothing is refused as a deadlock."""
    errors: list[Exception] = []
    crossed = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "b", "c")]

    def work(own: Store, n: int) -> None:
        try:
            claimer = Claimer(own, f"crossing-{n}")
            for turn in range(25):
                keys = crossed[(n + turn) % 4]
                own.enqueue([NewJob("app.work", limits=tuple(Limit(key, 2) for key in keys)) for _ in range(2)])
                for found in claimer.claim(2):
                    finish(own, Outcome(found.id, found.lease, "done", ties=found.ties))
        except DatabaseUnavailable as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(open_another(), n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    check(store, dict.fromkeys("abc", 2))
    with store.transaction() as session:
        found = limits.sweep(session)
    assert (found.evicted, found.arrivals) == (0, [])


# the decision


def test_a_job_that_lacks_another_key_goes_over_to_its_line() -> None:
    room = {"a": 1, "b": 0}
    line = [Candidate(1, 0, "a", ("a", "b")), Candidate(2, 0, "a", ("a",))]
    found = admit(line, room)
    assert (found.admitted, found.moved, found.unknown) == ([2], [(1, "b")], set())
    assert room == {"a": 0, "b": 0}


def test_a_key_of_which_nothing_is_known_is_asked_for_first() -> None:
    found = admit([Candidate(1, 0, "a", ("a", "z"))], {"a": 1})
    assert (found.admitted, found.unknown) == ([], {"z"})

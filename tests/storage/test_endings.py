"""Every way out of a worker's hands, and the fence that guards it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from queued.domain.errors import DatabaseError
from queued.domain.jobs import CUT, CUTS, EXPIRING, ClaimedJob, Failure, NewJob, Outcome, OutcomeKind
from queued.storage import claimed, processes, ties
from queued.storage.store import Store, open_store
from storage.conftest import Claimer, job

HERE = claimed.Worker("here", "worker-1")
BOOM = Failure("app.Boom", "it broke", ("line 1", "line 2"))


def finish(store: Store, *outcomes: Outcome) -> claimed.Report:
    with store.transaction() as session:
        return claimed.finish(session, outcomes, HERE)


def whereabouts(store: Store, job_id: int) -> list[str]:
    """The tables that hold a row of this job: exactly one, if all is well."""
    tables = ("ready", "scheduled", "claimed", "failed", "finished")
    return [table for table in tables if any(row["job_id"] == job_id for row in rows(store, table))]


def rows(store: Store, table: str) -> list[dict[str, object]]:
    prefix = "queued." if store.dialect == "postgresql" else "queued_"
    cursor = store.backend.connection().execute(f"SELECT * FROM {prefix}{table}")
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def one_claimed(store: Store, claimer: Claimer, **fields: object) -> ClaimedJob:
    store.enqueue([job(**fields)])
    (found,) = claimer.claim()
    return found


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("done", "finished"),
        ("discarded", "finished"),
        ("cancelled", "finished"),
        ("failed", "failed"),
        ("released", "ready"),
        ("retry", "ready"),
    ],
)
def test_an_outcome_moves_the_job_to_exactly_one_place(
    store: Store, claimer: Claimer, kind: OutcomeKind, table: str
) -> None:
    found = one_claimed(store, claimer)
    assert whereabouts(store, found.id) == ["claimed"]
    assert (
        finish(store, Outcome(found.id, found.lease, kind, failure=BOOM if kind in {"failed", "retry"} else None)).stale
        == []
    )
    assert whereabouts(store, found.id) == [table]


@pytest.mark.parametrize("kind", ["done", "discarded", "cancelled", "failed", "released", "retry"])
def test_an_outcome_with_a_stale_lease_touches_nothing(store: Store, claimer: Claimer, kind: OutcomeKind) -> None:
    found = one_claimed(store, claimer)
    late = Outcome(found.id, found.lease + 1, kind, failure=BOOM, enqueue=(NewJob("app.never"),))
    assert finish(store, late).stale == [late]
    assert whereabouts(store, found.id) == ["claimed"]
    assert rows(store, "attempts") == []
    assert len(rows(store, "jobs")) == 1
    finish(store, Outcome(found.id, found.lease, "done"))
    again = Outcome(found.id, found.lease, kind, failure=BOOM)
    assert finish(store, again).stale == [again]
    assert whereabouts(store, found.id) == ["finished"]


def test_of_many_plain_ends_the_stale_ones_alone_are_named_and_untouched(store: Store, claimer: Claimer) -> None:
    store.enqueue([NewJob("app.work") for _ in range(5)])
    found = claimer.claim(limit=5)
    states = ("finished", "discarded", "cancelled", "finished", "finished")
    ends = [(job.id, job.lease, state, 0.5, 0.25) for job, state in zip(found, states, strict=True)]
    late = (ends[4][0], ends[4][1] + 1, *ends[4][2:])
    with store.statement() as session:
        assert claimed.finish_plain(session, [*ends[:4], late, (10**9, 1, "finished", 0.0, 0.0)]) == {
            late[:2],
            (10**9, 1),
        }
    assert [whereabouts(store, job.id) for job in found] == [["finished"]] * 4 + [["claimed"]]
    assert {row["job_id"]: row["state"] for row in rows(store, "finished")} == {
        job.id: state for job, state in zip(found[:4], states, strict=False)
    }
    with store.statement() as session:
        assert claimed.finish_plain(session, ends[3:]) == {ends[3][:2]}
    assert whereabouts(store, found[4].id) == ["finished"]


@pytest.mark.parametrize("state", ["finished", "deleted", None])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_end_that_waits_for_a_cancellation_of_the_same_job_leaves_no_claim(
    store: Store, claimer: Claimer, database_url: str, state: str | None
) -> None:
    found = one_claimed(store, claimer)
    other = psycopg.connect(database_url)
    other.execute("UPDATE queued.claimed SET cancel_at = now()")
    stale: list[Any] = []

    def end() -> None:
        own = open_store(database_url)
        with own.statement() as session:
            if state is not None:
                stale.extend(claimed.finish_plain(session, [(found.id, found.lease, state, 0.5, 0.25)]))
            else:
                report = claimed.Report()
                claimed._end(session, [Outcome(found.id, found.lease, "done")], HERE, report, ties.Moves())
                stale.extend(report.stale)
        own.close()

    thread = threading.Thread(target=end)
    thread.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(database_url, autocommit=True) as look:
        while not look.execute(waiting).fetchone()[0]:  # type: ignore[index]
            assert thread.is_alive()
            time.sleep(0.01)
    other.commit()
    thread.join()
    other.close()
    assert (stale, whereabouts(store, found.id)) == ([], [] if state == "deleted" else ["finished"])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_after_a_commit_that_failed_while_something_else_was_done_the_store_works(
    store: Store, claimer: Claimer, database_url: str
) -> None:
    found = one_claimed(store, claimer)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$no$$; END'"
        )
        other.execute(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON queued.finished DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        ends = [(found.id, found.lease, "finished", 0.5, 0.25)]
        with pytest.raises(DatabaseError), store.statement(meanwhile=lambda: None) as session:
            claimed.finish_plain(session, ends)
        assert whereabouts(store, found.id) == ["claimed"]
        other.execute("DROP TRIGGER refuse ON queued.finished")
    with store.statement(meanwhile=lambda: None) as session:
        assert claimed.finish_plain(session, ends) == set()
    assert whereabouts(store, found.id) == ["finished"]


def test_something_else_can_be_done_while_the_server_stores_ends(store: Store, claimer: Claimer) -> None:
    found, other = one_claimed(store, claimer), one_claimed(store, claimer)
    done: list[str] = []
    with store.statement(meanwhile=lambda: done.append("meanwhile")) as session:
        assert claimed.finish_plain(session, [(found.id, found.lease, "finished", 0.5, 0.25)]) == set()
    assert done == ["meanwhile"]
    assert whereabouts(store, found.id) == ["finished"]

    def fail() -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError), store.statement(meanwhile=fail) as session:
        claimed.finish_plain(session, [(other.id, other.lease, "finished", 0.5, 0.25)])
    assert len(whereabouts(store, other.id)) == 1
    assert store.enqueue([NewJob("app.work")])


def test_the_times_of_a_run_are_the_databases(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    finish(store, Outcome(found.id, found.lease, "done", duration=2.0, ended_ago=3.0))
    (row,) = rows(store, "finished")
    (enqueued,) = rows(store, "jobs")
    second: object = timedelta(seconds=1) if store.dialect == "postgresql" else 1_000_000
    assert (row["finished_at"] - row["started_at"]) / second == pytest.approx(2.0, abs=0.01)  # type: ignore[operator]
    # It ended three seconds before it was told, which was a moment after it was enqueued.
    assert 0 < (enqueued["enqueued_at"] - row["finished_at"]) / second < 3.01  # type: ignore[operator]


def test_a_retry_waits_and_keeps_the_id_and_the_error(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer, queue="mail", priority=4)
    finish(store, Outcome(found.id, found.lease, "retry", duration=0.5, failure=BOOM, wait=60.0, policy="[app.Boom]"))
    (row,) = rows(store, "scheduled")
    assert (row["job_id"], row["queue"], row["priority"], row["attempt"]) == (found.id, "mail", 4, 2)
    (attempt,) = rows(store, "attempts")
    assert (attempt["attempt"], attempt["error_class"], attempt["message"], attempt["backtrace"]) == (
        1,
        "app.Boom",
        "it broke",
        "line 1\nline 2",
    )
    assert (attempt["hostname"], attempt["process_name"], attempt["policy"]) == ("here", "worker-1", "[app.Boom]")


def test_a_retry_may_change_queue_and_priority(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer, queue="mail", priority=4)
    finish(store, Outcome(found.id, found.lease, "retry", failure=BOOM, queue="slow", priority=0))
    (row,) = rows(store, "ready")
    assert (row["queue"], row["priority"], row["attempt"]) == ("slow", 0, 2)


def test_jobs_enqueued_at_the_finish_are_stored_with_it(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    report = finish(
        store, Outcome(found.id, found.lease, "done", enqueue=(NewJob("app.next"), NewJob("app.later", wait=60)))
    )
    assert [arrival.seq > 0 for arrival in report.arrivals] == [True, False]
    assert [found.class_name for found in claimer.claim()] == ["app.next"]
    assert len(rows(store, "scheduled")) == 1


def test_a_discarded_job_keeps_the_error_that_discarded_it(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    finish(store, Outcome(found.id, found.lease, "discarded", failure=BOOM))
    (attempt,) = rows(store, "attempts")
    assert attempt["error_class"] == "app.Boom"


def test_a_batch_of_all_kinds_is_stored_in_one_transaction(store: Store, claimer: Claimer) -> None:
    store.enqueue([job() for _ in range(60)])
    found = claimer.claim()
    kinds: tuple[OutcomeKind, ...] = ("done", "failed", "retry", "discarded", "released", "cancelled")
    finish(store, *[Outcome(one.id, one.lease, kinds[n % 6]) for n, one in enumerate(found)])
    assert {table: len(rows(store, table)) for table in ("finished", "failed", "ready", "claimed")} == {
        "finished": 30,
        "failed": 10,
        "ready": 20,
        "claimed": 0,
    }


def test_a_released_job_keeps_its_attempt_and_a_crashed_one_does_not(store: Store, claimer: Claimer) -> None:
    first, second = (one_claimed(store, claimer), one_claimed(store, claimer))
    finish(store, Outcome(first.id, first.lease, "released"))
    with store.transaction() as session:
        recovered = claimed.crash(session, [(second.id, second.lease)], "killed by signal 9", 3, HERE)
    assert recovered.crashed == [second.id]
    assert {row["job_id"]: row["attempt"] for row in rows(store, "ready")} == {first.id: 1, second.id: 2}


def test_what_is_cut_short_for_the_sake_of_others_is_counted_up_to_three_times(store: Store, claimer: Claimer) -> None:
    tied, plain = store.enqueue([job(expires=3600.0), job()])
    ties_of = []
    for _ in range(4):
        held = {one.id: one for one in claimer.claim()}
        found, other = held[tied], held[plain]
        why = Failure("queued.JobInterrupted", "its runner was killed because job 9 did not end when told to")
        cut = Outcome(found.id, found.lease, "released", 3.1, failure=why, policy=claimed.NEIGHBOUR_POLICY)
        finish(store, cut, Outcome(other.id, other.lease, "released"))
        ties_of.append({row["job_id"]: row["ties"] for row in rows(store, "ready")})
    assert [each[found.id] for each in ties_of] == [
        EXPIRING + CUT,
        EXPIRING + 2 * CUT,
        EXPIRING + CUTS,
        EXPIRING + CUTS,
    ]
    assert [each[other.id] for each in ties_of] == [0] * 4
    (interruption,) = rows(store, "interruptions")
    assert (interruption["job_id"], interruption["times"]) == (found.id, 4)
    assert interruption["reason"] == why.message
    held = {one.id: one for one in claimer.claim()}
    found, other = held[tied], held[plain]
    assert (found.ties, found.attempt, other.ties) == (EXPIRING + CUTS, 1, 0)
    finish(store, Outcome(found.id, found.lease, "retry", failure=BOOM, wait=60.0, ties=found.ties))
    assert [row["ties"] for row in rows(store, "scheduled")] == [EXPIRING + CUTS]


def test_a_late_word_of_a_cut_counts_nothing(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    late = Outcome(found.id, found.lease + 1, "released", failure=BOOM, policy=claimed.NEIGHBOUR_POLICY)
    assert finish(store, late).stale == [late]
    assert rows(store, "interruptions") == []
    assert [row["ties"] for row in rows(store, "claimed")] == [0]


def test_a_job_that_crashes_its_process_fails_at_the_limit_with_the_reason(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    job_id = found.id
    for n in range(3):
        if n:
            (found,) = claimer.claim()
            assert found.counters == {"crash": n}
        with store.transaction() as session:
            recovered = claimed.crash(session, [(found.id, found.lease)], "killed by signal 11 (SIGSEGV)", 3, HERE)
    assert recovered.failed == [job_id]
    (failed,) = rows(store, "failed")
    assert failed["error_class"] == "queued.JobCrashed"
    assert "SIGSEGV" in str(failed["message"])
    assert "crash_limit is 3" in str(failed["message"])
    assert len(rows(store, "attempts")) == 3


def test_recovery_blames_what_was_running_and_nothing_else(store: Store, claimer: Claimer) -> None:
    store.enqueue([job() for _ in range(3)])
    running, waiting, prefetched = claimer.claim()
    with store.transaction() as session:
        recovered = claimed.recover(
            session, claimer.id, {running.id: running.lease}, "its worker was killed", 3, "here", "worker-1"
        )
    assert (recovered.crashed, recovered.released) == ([running.id], [waiting.id, prefetched.id])
    assert {row["job_id"]: row["attempt"] for row in rows(store, "ready")} == {
        running.id: 2,
        waiting.id: 1,
        prefetched.id: 1,
    }
    assert rows(store, "processes") == []


def test_recovery_of_a_lost_host_goes_by_what_it_had_reported_as_started(store: Store, claimer: Claimer) -> None:
    store.enqueue([job() for _ in range(2)])
    started, waiting = claimer.claim()
    with store.transaction() as session:
        claimed.mark_started(session, [(started.id, started.lease, 1.5), (waiting.id, waiting.lease + 99, 1.0)])
    with store.transaction() as session:
        recovered = claimed.recover(session, claimer.id, None, "its host was lost", 3, "there", "worker-1")
    assert (recovered.crashed, recovered.released) == ([started.id], [waiting.id])


def test_recovering_twice_changes_nothing_the_second_time(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    for expected in ([found.id], []):
        with store.transaction() as session:
            assert (
                claimed.recover(session, claimer.id, {found.id: found.lease}, "killed", 3, "here", "w").crashed
                == expected
            )
    assert len(rows(store, "attempts")) == 1


def test_a_worker_declared_dead_cannot_finish_what_was_given_away(
    store: Store, claimer: Claimer, open_another: Callable[[], Store]
) -> None:
    found = one_claimed(store, claimer)
    with store.transaction() as session:
        claimed.recover(session, claimer.id, None, "silent", 3, "here", "worker-1")
    other = Claimer(open_another(), "worker-2")
    (again,) = other.claim()
    assert again.id == found.id
    assert again.lease != found.lease
    late = Outcome(found.id, found.lease, "done")
    assert finish(store, late).stale == [late]
    assert finish(store, Outcome(again.id, again.lease, "done")).stale == []
    with store.transaction() as session:
        assert processes.beat(session, claimer.id) is False


def test_leases_are_never_used_twice(store: Store, claimer: Claimer, open_another: Callable[[], Store]) -> None:
    leases = set()
    others = [claimer, *(Claimer(open_another(), f"worker-{n}") for n in range(2, 5))]
    for n in range(40):
        store.enqueue([job() for _ in range(3)])
        for found in others[n % 4].claim():
            assert found.lease not in leases
            leases.add(found.lease)
            finish(store, Outcome(found.id, found.lease, "released" if n % 3 == 0 else "done"))


def test_a_process_that_is_not_registered_gets_nothing(store: Store, claimer: Claimer) -> None:
    store.enqueue([job()])
    with store.transaction() as session:
        processes.deregister(session, claimer.id)
    assert claimer.claim() == []


def test_claims_that_nobody_would_look_for_are_found_and_settled(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    with store.transaction() as session:
        assert claimed.orphans(session) == []
        processes.deregister(session, claimer.id)
        assert claimed.orphans(session) == [claimer.id]
        assert claimed.recover(session, claimer.id, None, "lost", 3, "here", "dispatcher-1").released == [found.id]
        assert claimed.orphans(session) == []

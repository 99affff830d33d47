"""Jobs that are deleted with their end when they ended well: nothing is left of them, and all that knew of them is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from queued.domain.batches import NewBatch, stored_callback
from queued.domain.errors import DatabaseUnavailable, UnknownId
from queued.domain.jobs import Checkpoint, ClaimedJob, NewJob, Outcome, OutcomeKind
from queued.domain.limits import Limit
from queued.domain.rates import Rate
from queued.domain.settings import RetentionSettings
from queued.domain.unique import Unique
from queued.processes.outbox import Ended, Outbox
from queued.storage import claimed, insights, limits, recurring, retention
from queued.storage.session import Session
from queued.storage.store import Store
from queued.telemetry import subscribe
from storage.conftest import Claimer, job
from storage.limits import BOOM, HERE, rows
from storage.test_recurring import HERE as SCHEDULER
from storage.test_recurring import MOMENT, run_once, sync, task

#: Every table in which a job may be.
TABLES = (
    "jobs", "ready", "scheduled", "blocked", "claimed", "failed", "finished", "attempts", "checkpoints", "interruptions",
    "job_limits", "slots", "job_uniques", "unique_keys", "job_rates", "expiries", "batch_jobs",
)  # fmt: skip


def traces(store: Store, job_id: int) -> list[str]:
    """The tables that know a job."""
    own = {table: "id" if table == "jobs" else "job_id" for table in TABLES}
    return [table for table, column in own.items() if any(row[column] == job_id for row in rows(store, table))]


class Forgetful(Store):
    """A store whose first commit is stored, and the answer to it lost."""

    lost = False

    @contextmanager
    def statement(self, *arguments: Any, **options: Any) -> Iterator[Session]:
        with super().statement(*arguments, **options) as session:
            yield session
        if not self.lost:
            self.lost = True
            raise DatabaseUnavailable("the connection was lost after the commit")


def outbox(store: Store, *queues: str) -> Outbox:
    """That of a worker whose jobs in these queues are deleted."""
    return Outbox(store, HERE, store.ring, deletes=lambda queue: queue in queues)


def end(box: Outbox, *jobs: ClaimedJob, kind: OutcomeKind = "done", **more: Any) -> None:
    """Tell how they ended."""
    for one in jobs:
        failure = BOOM if kind in {"failed", "retry"} else None
        box.add(Ended(one, kind, time.monotonic(), 0.5, failure, **more))
    box.flush()


def one_claimed(store: Store, claimer: Claimer, **fields: Any) -> ClaimedJob:
    store.enqueue([job(**fields)])
    (found,) = claimer.claim()
    return found


def test_of_jobs_that_ended_well_in_such_a_queue_nothing_is_left_and_others_are_kept(
    store: Store, claimer: Claimer
) -> None:
    store.enqueue([job(queue="clicks" if n % 2 else "mail") for n in range(6)])
    found = claimer.claim()
    end(outbox(store, "clicks"), *found)
    assert {one.queue: traces(store, one.id) for one in found} == {"clicks": [], "mail": ["jobs", "finished"]}
    assert rows(store, "claimed") == []
    assert all(row["started_at"] < row["finished_at"] for row in rows(store, "finished"))


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("discarded", ["jobs", "finished"]),
        ("cancelled", ["jobs", "finished"]),
        ("failed", ["jobs", "failed", "attempts"]),
        ("retry", ["jobs", "ready", "attempts"]),
        ("released", ["jobs", "ready"]),
    ],
)
def test_jobs_that_ended_otherwise_are_kept_beside_one_that_is_deleted(
    store: Store, claimer: Claimer, kind: OutcomeKind, left: list[str]
) -> None:
    store.enqueue([job(queue="clicks"), job(queue="clicks")])
    other, done = claimer.claim()
    box = outbox(store, "clicks")
    box.add(Ended(other, kind, time.monotonic(), failure=BOOM if kind in {"failed", "retry"} else None))
    end(box, done)
    assert (traces(store, other.id), traces(store, done.id)) == (left, [])


def test_what_earlier_attempts_left_goes_with_the_job(store: Store, claimer: Claimer) -> None:
    box = outbox(store, "clicks")
    end(box, one_claimed(store, claimer, queue="clicks"), kind="retry")
    (again,) = claimer.claim()
    box.checkpoints.put(Checkpoint(again.id, again.lease, '[["a",1]]', 1.0, 2.0, "half"))
    box.add(Ended(again, "released", time.monotonic(), failure=BOOM))
    box.flush()
    assert traces(store, again.id) == ["jobs", "ready", "attempts", "checkpoints", "interruptions"]
    (last,) = claimer.claim()
    end(box, last)
    assert traces(store, last.id) == []


def test_progress_and_jobs_enqueued_at_the_end_are_stored_in_the_deletion(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer, queue="clicks")
    last = Checkpoint(found.id, found.lease, None, 1.0, 1.0, "done")
    end(outbox(store, "clicks"), found, enqueue=(NewJob("app.next"),), checkpoint=last)
    assert traces(store, found.id) == []
    assert [one.class_name for one in claimer.claim()] == ["app.next"]


@pytest.mark.parametrize("plain", [True, False])
def test_an_end_under_a_stale_lease_deletes_nothing(store: Store, claimer: Claimer, plain: bool) -> None:
    found = one_claimed(store, claimer, queue="clicks")
    late = Outcome(found.id, found.lease + 1, "done", kept=False)
    for before in (True, False):
        with store.transaction() as session:
            if plain:
                ends = [(late.job_id, late.lease, claimed.DELETED, 0.5, 0.25)]
                assert claimed.finish_plain(session, ends) == {(late.job_id, late.lease)}
            else:
                assert claimed.finish(session, [late], HERE).stale == [late]
        assert traces(store, found.id) == (["jobs", "claimed"] if before else [])
        end(outbox(store, "clicks"), found)


def test_an_end_whose_answer_was_lost_is_told_again_and_known_as_doubtful(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer, queue="clicks")
    forgetful = Forgetful(store.backend, store.settings)
    box = Outbox(forgetful, HERE, store.ring, deletes=lambda queue: True)
    with pytest.raises(DatabaseUnavailable):
        end(box, found)
    assert traces(store, found.id) == []
    heard: list[tuple[str, Any]] = []
    silence = subscribe(lambda name, data: heard.append((name, data.get("doubtful"))), "stale_outcome".__eq__)
    box.flush()
    silence()
    assert ("stale_outcome", True) in heard
    assert len(box) == 0


def test_a_worker_that_was_given_up_cannot_delete_what_another_runs(
    store: Store, claimer: Claimer, open_another: Callable[[], Store]
) -> None:
    found = one_claimed(store, claimer, queue="clicks")
    with store.transaction() as session:
        claimed.recover(session, claimer.id, None, "silent", 3, "here", "worker-1")
    (again,) = Claimer(open_another(), "worker-2").claim()
    box = outbox(store, "clicks")
    end(box, found)
    assert traces(store, found.id) == ["jobs", "claimed"]
    end(box, again)
    assert traces(store, found.id) == []


def test_a_batch_counts_members_that_are_deleted_and_its_callbacks_follow(store: Store, claimer: Claimer) -> None:
    batch = NewBatch("May", None, stored_callback(job("app.success")), None, stored_callback(job("app.finish")))
    stored = store.submit([job(queue="clicks", batch=-1), job(queue="clicks", batch=-1)], [batch])
    first, second = claimer.claim()
    box = outbox(store, "clicks")
    end(box, first)
    assert [row["class_name"] for row in rows(store, "jobs")] == ["app.work"]
    end(box, second)
    assert sorted(row["class_name"] for row in rows(store, "jobs")) == ["app.finish", "app.success"]
    (row,) = rows(store, "batches")
    assert (row["id"], row["total"], row["done"], row["failed"]) == (stored.batches[-1], 2, 2, 0)
    assert row["finished_at"] is not None
    assert traces(store, first.id) == traces(store, second.id) == []


def test_limits_let_the_next_in_and_unique_keys_are_free(store: Store, claimer: Claimer) -> None:
    tied: dict[str, Any] = {"limits": (Limit("k", 1),), "rate": Rate("r", 100, 1.0), "expires": 60.0}
    store.enqueue(
        [job(queue="clicks", unique=Unique("u", "finish", None, "keep"), **tied), job(queue="clicks", **tied)]
    )
    (first,) = claimer.claim()
    assert store.submit([job(unique=Unique("u", "finish", None, "keep"))]).notes == {0: "existing"}
    box = outbox(store, "clicks")
    end(box, first)
    assert traces(store, first.id) == []
    assert store.submit([job(queue="other", unique=Unique("u", "finish", None, "keep"))]).notes == {}
    (second,) = claimer.claim(queues=("clicks",))
    end(box, second)
    assert traces(store, second.id) == []
    with store.transaction() as session:
        found = limits.sweep(session)
    assert (found.evicted, found.arrivals) == (0, [])


def test_a_key_that_is_held_for_a_period_is_held_though_its_job_is_gone(store: Store, claimer: Claimer) -> None:
    (first,) = store.enqueue([job(queue="clicks", unique=Unique("u", None, 3600.0, "keep"))])
    end(outbox(store, "clicks"), *claimer.claim())
    assert traces(store, first) == ["unique_keys"]
    again = store.submit([job(unique=Unique("u", None, 3600.0, "keep"))])
    assert (again.ids, again.notes) == ([first], {0: "existing"})


def test_the_run_of_a_recurring_task_keeps_the_end_of_its_job(store: Store, claimer: Claimer) -> None:
    sync(store, SCHEDULER, task())
    job_id = run_once(store, "report", MOMENT)
    (found,) = claimer.claim()
    end(outbox(store, found.queue), found)
    assert traces(store, job_id) == []
    with store.reading() as session:
        last = recurring.listed(session)[0].last
        assert recurring.unfinished(session, "report") is None
    assert last is not None
    assert (last.outcome, last.job_id) == ("finished", job_id)
    assert last.finished_at is not None
    with store.transaction() as session:
        assert recurring.settle(session) == 0


def test_who_asks_for_such_a_job_is_told_that_it_may_have_been_deleted(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer, queue="clicks")
    end(outbox(store, "clicks"), found)
    with store.reading() as session, pytest.raises(UnknownId, match=r"deleted .*`retention` in queue\.yml"):
        insights.job(session, found.id, 25.0)


def test_retention_finds_nothing_of_them(store: Store, claimer: Claimer) -> None:
    store.enqueue([job(queue="clicks") for _ in range(3)])
    end(outbox(store, "clicks"), *claimer.claim())
    assert retention.prune(store, RetentionSettings(finished=0.0)).deleted == {}

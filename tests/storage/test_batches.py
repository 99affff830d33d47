"""Batches: how their members are counted, and that what follows the last of them follows exactly once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from queued.domain.batches import NewBatch, stored_callback
from queued.domain.errors import BatchFinished
from queued.domain.jobs import NewJob, Outcome, OutcomeKind
from queued.domain.limits import Limit
from queued.domain.settings import RetentionSettings
from queued.domain.unique import Unique
from queued.storage import adopt, batches, claimed, operators, retention
from queued.storage.store import Store
from storage.conftest import Claimer, job
from storage.limits import BOOM, HERE, Chaos, check, rows

CALLBACKS = NewBatch(
    "May",
    '{"month":5}',
    stored_callback(job("app.success")),
    stored_callback(job("app.failure")),
    stored_callback(job("app.finish", queue="low")),
)


def opened(store: Store, *members: NewJob, batch: NewBatch = CALLBACKS) -> tuple[int, list[int]]:
    """A batch of these members: its id and theirs."""
    stored = store.submit([replace(member, batch=-1) for member in members], [batch])
    return stored.batches[-1], stored.ids


def end(store: Store, claimer: Claimer, *kinds: OutcomeKind) -> None:
    """Claim as many members as there are kinds, and end each in one way."""
    found = claimer.claim(len(kinds))
    assert len(found) == len(kinds)
    outcomes = [
        Outcome(one.id, one.lease, kind, failure=BOOM if kind in {"failed", "retry"} else None, ties=one.ties)
        for one, kind in zip(found, kinds, strict=True)
    ]
    with store.transaction() as session:
        assert claimed.finish(session, outcomes, HERE).stale == []


def shown(store: Store, batch_id: int) -> batches.BatchSummary:
    with store.reading() as session:
        found = batches.find(session, batch_id)
    assert found is not None
    return found


def followers(store: Store) -> list[str]:
    """The callbacks that are stored, in their order."""
    names = [row["class_name"] for row in sorted(rows(store, "jobs"), key=lambda row: row["id"])]
    return [name for name in names if name in {"app.success", "app.failure", "app.finish"}]


def test_the_end_of_the_last_member_is_followed_by_the_callbacks(store: Store, claimer: Claimer) -> None:
    batch_id, members = opened(store, job(), job(), job())
    end(store, claimer, "done", "done")
    found = shown(store, batch_id)
    assert (found.counts.total, found.counts.done, found.outstanding) == (3, 2, (members[2],))
    assert (found.finished_at, followers(store)) == (None, [])
    end(store, claimer, "done")
    found = shown(store, batch_id)
    assert found.finished_at is not None
    assert found.counts.complete
    assert followers(store) == ["app.success", "app.finish"]
    assert {one.class_name: one.queue for one in claimer.claim()} == {"app.success": "default", "app.finish": "low"}
    assert rows(store, "batch_jobs") == []


@pytest.mark.parametrize(
    ("kinds", "first"),
    [
        (("done", "failed"), "app.failure"),
        (("failed", "failed"), "app.failure"),
        (("discarded", "cancelled"), "app.success"),
        (("failed", "done"), "app.failure"),
    ],
)
def test_what_failed_decides_which_callback_follows(
    store: Store, claimer: Claimer, kinds: tuple[OutcomeKind, ...], first: str
) -> None:
    batch_id, members = opened(store, job(), job())
    end(store, claimer, *kinds)
    assert followers(store) == [first, "app.finish"]
    counts = shown(store, batch_id).counts
    assert counts.failed == kinds.count("failed")
    assert counts.done == kinds.count("done")
    assert counts.discarded == 2 - counts.failed - counts.done
    failed = [member for member, kind in zip(members, kinds, strict=True) if kind == "failed"]
    assert list(shown(store, batch_id).failures) == failed


def test_a_callback_knows_how_its_batch_went(store: Store, claimer: Claimer) -> None:
    batch_id, _ = opened(store, job(), job())
    end(store, claimer, "done", "failed")
    callback = next(one for one in claimer.claim() if one.class_name == "app.failure")
    assert json.loads(callback.options or "")["batch"] == {
        "id": batch_id,
        "description": "May",
        "metadata": {"month": 5},
        "total": 2,
        "done": 1,
        "failed": 1,
        "discarded": 0,
    }


def test_a_member_knows_its_batch_beside_its_other_options(store: Store, claimer: Claimer) -> None:
    batch_id, _ = opened(store, job(options='{"timeout":3}'))
    (member,) = claimer.claim()
    facts = {"id": batch_id, "description": "May", "metadata": {"month": 5}}
    assert json.loads(member.options or "") == {"timeout": 3, "batch": facts}


def test_a_batch_without_members_finishes_at_once(store: Store) -> None:
    batch_id, _ = opened(store)
    assert shown(store, batch_id).finished_at is not None
    assert followers(store) == ["app.success", "app.finish"]


def test_a_retry_and_a_crash_keep_a_member_a_member(store: Store, claimer: Claimer) -> None:
    batch_id, members = opened(store, job())
    end(store, claimer, "retry")
    (again,) = claimer.claim()
    with store.transaction() as session:
        claimed.crash(session, [(again.id, again.lease)], "killed", 3, HERE)
    assert shown(store, batch_id).outstanding == tuple(members)
    (again,) = claimer.claim()
    with store.transaction() as session:
        claimed.recover(session, claimer.id, {again.id: again.lease}, "killed", 1, "here", "w")
    assert (shown(store, batch_id).counts.failed, followers(store)) == (1, ["app.failure", "app.finish"])


def test_what_an_operator_ends_is_counted_and_a_retried_member_runs_outside(store: Store, claimer: Claimer) -> None:
    batch_id, (failing, discarded, cancelled, last) = opened(store, job(), job(), job(), job())
    end(store, claimer, "failed")
    with store.transaction() as session:
        operators.discard(session, [discarded])
        operators.retry(session, [failing])
    with store.transaction() as session:
        operators.cancel_one(session, cancelled)
    counts = shown(store, batch_id).counts
    assert (counts.total, counts.done, counts.failed, counts.discarded) == (4, 0, 1, 2)
    end(store, claimer, "done", "done")  # the retried one and the last
    assert shown(store, batch_id).counts.done == 1
    assert followers(store) == ["app.failure", "app.finish"]
    assert last not in shown(store, batch_id).outstanding


def test_members_join_while_it_has_not_finished_and_not_afterwards(store: Store, claimer: Claimer) -> None:
    batch_id, _ = opened(store, job())
    store.enqueue([job(batch=batch_id), job(batch=batch_id, wait=60.0)])
    assert shown(store, batch_id).counts.total == 3
    end(store, claimer, "done", "done")
    with store.transaction() as session:
        operators.discard(session, [row["job_id"] for row in rows(store, "scheduled")])
    assert shown(store, batch_id).finished_at is not None
    for number in (batch_id, 999):
        with pytest.raises(BatchFinished):
            store.enqueue([job("app.late", batch=number)])
    assert "app.late" not in {row["class_name"] for row in rows(store, "jobs")}


def test_members_that_are_discarded_on_arrival_are_counted(store: Store) -> None:
    alone = Limit("k", 1, None, "discard")
    store.enqueue([job(limits=(alone,))])
    batch_id, _ = opened(store, job(limits=(alone,)), job(limits=(alone,)))
    assert shown(store, batch_id).counts.discarded == 2
    assert followers(store) == ["app.success", "app.finish"]


def test_a_job_that_is_not_stored_is_no_member_and_a_replaced_one_has_ended(store: Store) -> None:
    batch_id, (waiting,) = opened(store, job(unique=Unique("k"), wait=60.0))
    empty, (existing,) = opened(store, job(unique=Unique("k")), batch=NewBatch())
    assert (existing, shown(store, empty).counts.total) == (waiting, 0)
    assert shown(store, empty).finished_at is not None
    store.enqueue([job(unique=Unique("k", on_conflict="replace"))])
    assert shown(store, batch_id).counts.discarded == 1
    assert followers(store) == ["app.success", "app.finish"]


def test_limited_members_wait_and_limited_callbacks_too(store: Store, claimer: Claimer) -> None:
    one = Limit("k", 1)
    batch_id, _ = opened(
        store,
        *[job(limits=(one,)) for _ in range(3)],
        batch=NewBatch(on_finish=stored_callback(job("app.finish", limits=(one,)))),
    )
    for _ in range(3):
        end(store, claimer, "done")
    assert shown(store, batch_id).finished_at is not None
    assert len(rows(store, "scheduled")) == 1  # a dispatcher lets it in
    assert followers(store) == ["app.finish"]


def test_in_the_callers_transaction_all_or_nothing_is_stored(store: Store, claimer: Claimer) -> None:
    connection = store.backend.connection()
    if store.dialect == "postgresql":
        connection.autocommit = False
    else:
        connection.execute("BEGIN IMMEDIATE")
    stored = adopt.submit(connection, [job(batch=-1), job(batch=-1, limits=(Limit("k", 1),))], batches=[CALLBACKS])
    connection.rollback()
    assert (rows(store, "batches"), rows(store, "jobs"), rows(store, "batch_jobs")) == ([], [], [])
    if store.dialect == "postgresql":
        connection.rollback()
    else:
        connection.execute("BEGIN IMMEDIATE")
    stored = adopt.submit(connection, [job(batch=-1)], batches=[CALLBACKS])
    adopt.submit(connection, [], batches=[CALLBACKS])
    connection.commit()
    if store.dialect == "postgresql":
        connection.autocommit = True
    end(store, claimer, "done")
    assert shown(store, stored.batches[-1]).finished_at is not None
    assert sorted(followers(store)) == ["app.finish", "app.finish", "app.success", "app.success"]


def test_the_last_two_members_may_end_at_the_same_instant(store: Store, open_another: Callable[[], Store]) -> None:
    workers = [Claimer(open_another(), f"host-{n}") for n in range(2)]
    barrier = threading.Barrier(2)
    rounds, errors = 60, []

    def ends(worker: Claimer) -> None:
        try:
            for _ in range(rounds):
                barrier.wait(60)
                (one,) = worker.claim(1, ("members",))
                barrier.wait(60)
                with worker.store.transaction() as session:
                    claimed.finish(session, [Outcome(one.id, one.lease, "done", ties=one.ties)], HERE)
                barrier.wait(60)
                if worker is workers[0]:
                    opened(store, job(queue="members"), job(queue="members"))
        except Exception as error:
            errors.append(error)
            barrier.abort()

    opened(store, job(queue="members"), job(queue="members"))
    threads = [threading.Thread(target=ends, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert followers(store) == ["app.success", "app.finish"] * rounds
    finished = [row for row in rows(store, "batches") if row["finished_at"] is not None]
    assert len(finished) == rounds
    assert all((row["total"], row["done"]) == (2, 2) for row in finished)


def test_many_hosts_that_end_members_of_many_batches_crosswise_never_deadlock(
    store: Store, open_another: Callable[[], Store]
) -> None:
    for _ in range(12):
        opened(store, *[job(queue="members") for _ in range(10)])
    errors: list[Exception] = []

    def work(name: str) -> None:
        worker = Claimer(open_another(), name)
        try:
            while found := worker.claim(7, ("members",)):
                outcomes = [
                    Outcome(one.id, one.lease, "failed" if one.id % 9 == 0 else "done", failure=BOOM, ties=one.ties)
                    for one in reversed(found)
                ]
                with worker.store.transaction() as session:
                    claimed.finish(session, outcomes, HERE)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    ended = rows(store, "batches")
    assert all(row["finished_at"] is not None and row["done"] + row["failed"] == 10 for row in ended)
    assert len(followers(store)) == 24
    assert followers(store).count("app.finish") == 12


def test_adding_races_with_the_end_and_either_joins_or_is_refused(
    store: Store, open_another: Callable[[], Store]
) -> None:
    worker, adder = Claimer(open_another(), "w"), open_another()
    for _ in range(25):
        batch_id, _ = opened(store, job(queue="members"), batch=NewBatch(on_finish=CALLBACKS.on_finish))
        joined: list[int] = []

        def add(batch_id: int = batch_id, joined: list[int] = joined) -> None:
            try:
                joined += adder.enqueue([job("app.more", queue="more", batch=batch_id)])
            except BatchFinished:
                pass

        (one,) = worker.claim(1, ("members",))
        thread = threading.Thread(target=add)
        thread.start()
        with worker.store.transaction() as session:
            claimed.finish(session, [Outcome(one.id, one.lease, "done", ties=one.ties)], HERE)
        thread.join()
        found = shown(store, batch_id)
        assert found.counts.total == 1 + len(joined)
        assert found.outstanding == tuple(joined)
        assert (found.finished_at is None) == bool(joined)
        with store.transaction() as session:
            operators.discard(session, joined)
    assert followers(store) == ["app.finish"] * 25


class BatchChaos(Chaos):
    """Random steps of members of batches, most of them limited too."""

    batch: int | None = None
    kept = frozenset({"app.success", "app.failure", "app.finish"})  # they are counted

    def new_job(self) -> NewJob:
        new = super().new_job()
        open_ones = {row["id"] for row in rows(self.store, "batches") if row["finished_at"] is None}
        if self.random.random() < 0.3:
            return new
        if self.batch not in open_ones or self.random.random() < 0.2:
            limited = tuple(self.random.sample((Limit("a", 1), Limit("b", 2)), self.random.randrange(2)))
            finish = stored_callback(job("app.finish", limits=limited))
            self.batch, _ = opened(self.store, job(wait=0.001), batch=replace(CALLBACKS, on_finish=finish))
        return replace(new, batch=self.batch)

    def enqueue(self) -> None:
        try:
            super().enqueue()
        except BatchFinished:  # a batch that was empty by then
            self.batch = None


def check_batches(store: Store) -> None:
    """Assert what must hold between two transactions."""
    members = Counter(row["batch_id"] for row in rows(store, "batch_jobs"))
    ended = {row["job_id"] for table in ("failed", "finished") for row in rows(store, table)}
    assert not ended & {row["job_id"] for row in rows(store, "batch_jobs")}
    found = rows(store, "batches")
    for row in found:
        assert row["total"] == row["done"] + row["failed"] + row["discarded"] + members[row["id"]], row
        assert (row["finished_at"] is not None) == (members[row["id"]] == 0), row
    finished = [row for row in found if row["finished_at"] is not None]
    told = Counter(followers(store))
    assert told["app.finish"] == len(finished)
    assert told["app.failure"] == sum(row["failed"] > 0 for row in finished)
    assert told["app.success"] == len(finished) - told["app.failure"]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_every_member_is_counted_once_and_every_batch_followed_once(store: Store, seed: int) -> None:
    chaos = BatchChaos(store, seed)
    for _ in range(150):
        step = chaos.step()
        check(store, chaos.capacities)
        check_batches(store)
        assert step
    assert len(rows(store, "batches")) > 1
    chaos.rest()


def test_old_batches_are_forgotten_and_unfinished_ones_never(store: Store, claimer: Claimer) -> None:
    opened(store, job(), batch=NewBatch())
    end(store, claimer, "done")
    failed, _ = opened(store, job(), batch=NewBatch())
    end(store, claimer, "failed")
    waiting, _ = opened(store, job(), batch=NewBatch())
    deleted = retention.prune(store, RetentionSettings(finished=0.0)).deleted
    assert deleted["batches"] == 1
    with store.reading() as session:
        assert [one.id for one in batches.newest(session, 10)] == [waiting, failed]
        assert [one.id for one in batches.newest(session, 10, unfinished=True)] == [waiting]

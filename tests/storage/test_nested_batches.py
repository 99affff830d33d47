"""Batches in batches: the outer one finishes once, after those inside it and what follows them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from queued.domain.batches import NewBatch, stored_callback
from queued.domain.errors import BatchFinished
from queued.domain.jobs import NewJob, Outcome
from queued.domain.limits import Limit
from queued.storage import batches, claimed, operators
from queued.storage.store import Store
from storage.conftest import Claimer, job
from storage.limits import BOOM, HERE, rows
from storage.test_batches import end, shown


def new(number: int, parent: int | None = None, **fields: object) -> NewBatch:
    """A batch that tells its own number when it finishes."""
    callback = stored_callback(job("app.finish", queue="callbacks", arguments=f'{{"args":[{number}],"kwargs":{{}}}}'))
    return NewBatch(f"b{number}", None, on_finish=callback, number=number, parent=parent, **fields)  # type: ignore[arg-type]


def finished(store: Store) -> list[int]:
    """The numbers of the batches whose callback is stored, in the order of these."""
    stored = sorted(rows(store, "jobs"), key=lambda row: row["id"])
    return [json.loads(row["arguments"])["args"][0] for row in stored if row["class_name"] == "app.finish"]


def test_the_outer_batch_finishes_after_the_inner_one_and_what_follows_it(store: Store, claimer: Claimer) -> None:
    stored = store.submit([job(batch=-1), job(batch=-2)], [new(-1), new(-2, -1)])
    outer, inner = stored.batches[-1], stored.batches[-2]
    assert (shown(store, inner).parent, [one.id for one in shown(store, outer).inside]) == (outer, [inner])
    assert (shown(store, outer).counts.total, shown(store, inner).counts.total) == (2, 1)
    end(store, claimer, "done", "failed")
    assert finished(store) == [-2]
    assert shown(store, inner).finished_at is not None
    counts = shown(store, outer).counts
    assert (counts.total, counts.done, counts.failed) == (3, 1, 1)  # what follows the inner one is a member
    assert shown(store, outer).finished_at is None
    (callback,) = claimer.claim()
    facts = json.loads(callback.options or "")["batch"]
    assert (facts["id"], facts["failed"], facts["parent"]) == (inner, 1, {"id": outer, "description": "b-1"})
    with store.transaction() as session:
        claimed.finish(session, [Outcome(callback.id, callback.lease, "done", ties=callback.ties)], HERE)
    assert finished(store) == [-2, -1]
    assert shown(store, outer).failures == shown(store, inner).failures


def test_metadata_is_nested_for_members(store: Store, claimer: Claimer) -> None:
    opened = [NewBatch("year", '{"year":2026}', number=-7), NewBatch("month", '{"month":5}', number=-9, parent=-7)]
    stored = store.submit([job(batch=-9)], opened)
    (member,) = claimer.claim()
    year = {"id": stored.batches[-7], "description": "year", "metadata": {"year": 2026}}
    month = {"id": stored.batches[-9], "description": "month", "metadata": {"month": 5}, "parent": year}
    assert json.loads(member.options or "")["batch"] == month


def test_a_batch_joins_a_stored_one_and_is_its_own_where_that_has_finished(store: Store, claimer: Claimer) -> None:
    outer = store.submit([job(batch=-1)], [new(-1)]).batches[-1]
    inner = store.submit([job(batch=-2)], [new(-2, outer)]).batches[-2]
    assert shown(store, inner).parent == outer
    end(store, claimer, "done", "done")
    end(store, claimer, "done")  # what follows the inner one
    assert shown(store, outer).finished_at is not None
    apart = store.submit([job(batch=-3)], [new(-3, outer)]).batches[-3]
    assert shown(store, apart).parent is None
    with pytest.raises(BatchFinished):
        store.enqueue([job(batch=outer)])


def test_empty_batches_inside_one_are_followed_and_then_that_one(store: Store, claimer: Claimer) -> None:
    outer = store.submit([], [new(-1), new(-2, -1), new(-3, -2), new(-4, -1)]).batches[-1]
    assert sorted(finished(store)) == [-4, -3]
    while claimer_ends(store, claimer):
        pass
    assert sorted(finished(store)) == [-4, -3, -2, -1]
    assert finished(store)[-2:] == [-2, -1]
    assert shown(store, outer).counts.total == 3


def claimer_ends(store: Store, claimer: Claimer) -> bool:
    found = claimer.claim(1)
    with store.transaction() as session:
        claimed.finish(session, [Outcome(one.id, one.lease, "done", ties=one.ties) for one in found], HERE)
    return bool(found)


def test_members_that_a_limit_refuses_finish_the_batches_around_them_too(store: Store) -> None:
    alone = Limit("k", 1, None, "discard")
    store.enqueue([job(limits=(alone,))])
    stored = store.submit([job(batch=-2, limits=(alone,))], [NewBatch(number=-1), NewBatch(number=-2, parent=-1)])
    for batch_id in stored.batches.values():
        assert shown(store, batch_id).finished_at is not None
        assert shown(store, batch_id).counts.discarded == 1


def test_the_list_shows_outermost_batches_and_those_below_them(store: Store) -> None:
    first = store.submit([job(batch=-3)], [new(-1), new(-2, -1), new(-3, -2)]).batches
    second = store.submit([job(batch=-1)], [new(-1)]).batches
    with store.reading() as session:
        assert [one.id for one in batches.newest(session, 10)] == [second[-1], first[-1]]
        assert [one.id for one in batches.below(session, [first[-1], second[-1]])] == [first[-2], first[-3]]
        assert [one.id for one in batches.below(session, [first[-2]])] == [first[-3]]


class Forest:
    """Random trees of batches, and what is known of them from the outside."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.random = Random(seed)
        self.numbers = iter(range(-1, -10_000, -1))
        self.parents: dict[int, int | None] = {}

    def plant(self, within: int | None = None) -> None:
        """Store a tree of batches with some members, all in one transaction."""
        opened: list[NewBatch] = []
        jobs: list[NewJob] = []
        for _ in range(self.random.randrange(1, 6)):
            number = next(self.numbers)
            parent = self.random.choice([None, *[one.number for one in opened]]) if opened else None
            opened.append(new(number, parent if parent is not None else within))
            self.parents[number] = parent
            jobs += [job(queue="members", batch=number) for _ in range(self.random.randrange(4))]
        self.random.shuffle(jobs)
        self.store.submit(jobs, opened)


def check_tree(store: Store) -> None:
    """Assert what must hold when nothing is left to run."""
    found = {row["id"]: row for row in rows(store, "batches")}
    for row in found.values():
        assert row["finished_at"] is not None, row
        assert row["total"] == row["done"] + row["failed"] + row["discarded"], row
        if row["parent_id"] is not None:
            assert row["parent_id"] < row["id"]
            assert found[row["parent_id"]]["finished_at"] >= row["finished_at"]
    told = Counter(finished(store))
    assert set(told.values()) == {1}
    assert len(told) == len(found)
    members = Counter(
        json.loads(row["options"])["batch"]["id"] for row in rows(store, "jobs") if row["class_name"] == "app.work"
    )
    children: dict[int, list[int]] = {}
    for row in found.values():
        children.setdefault(row["parent_id"], []).append(row["id"])
    for batch_id, row in found.items():
        assert row["total"] == total_of(batch_id, members, children)


def total_of(batch_id: int, members: Counter[int], children: dict[int, list[int]]) -> int:
    """The members of a batch, those of the batches in it, and a callback of each of these."""
    return members[batch_id] + sum(total_of(child, members, children) + 1 for child in children.get(batch_id, ()))


@pytest.mark.parametrize("seed", range(2))
def test_whoever_ends_members_of_trees_of_batches_at_once_each_finishes_once_and_in_order(
    store: Store, open_another: Callable[[], Store], seed: int
) -> None:
    forest = Forest(store, seed)
    for _ in range(8):
        forest.plant()
    errors: list[BaseException] = []
    planted = 0

    def work(number: int) -> None:
        nonlocal planted
        random = Random(seed * 100 + number)
        worker = Claimer(open_another(), f"w{number}")
        own = Forest(worker.store, seed * 100 + number + 1)
        own.numbers = iter(range(-10_000 * (number + 1), -10_000 * (number + 2), -1))
        try:
            while found := worker.claim(random.randrange(1, 6), random.choice((("members", "callbacks"), ("*",)))):
                random.shuffle(found)
                if random.random() < 0.3 and planted < 20:  # a member opens batches inside its own
                    planted += 1
                    inside = json.loads(found[0].options or "{}")["batch"]
                    inside = inside if "total" not in inside else inside.get("parent")
                    own.plant(None if inside is None else inside["id"])
                if random.random() < 0.2:
                    inside = json.loads(found[0].options or "{}")["batch"]
                    if "total" not in inside:
                        worker.store.enqueue([job(queue="members", batch=inside["id"])])
                kinds = {one.id: random.choice(("done", "done", "failed", "discarded")) for one in found}
                outcomes = [
                    Outcome(one.id, one.lease, kinds[one.id], failure=BOOM, ties=one.ties)  # type: ignore[arg-type]
                    for one in found
                ]
                with worker.store.transaction() as session:
                    claimed.finish(session, outcomes, HERE)
                waiting = [row["job_id"] for row in rows(worker.store, "ready")[:2]] if random.random() < 0.1 else []
                with worker.store.transaction() as session:
                    operators.discard(session, waiting)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    last = Claimer(store, "last")
    while claimer_ends(store, last):  # what others made ready after the last look of each
        pass
    check_tree(store)

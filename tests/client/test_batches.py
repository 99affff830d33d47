"""Batches as an application opens them: what joins, what is stored when, and what a member sees."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import queued
from client.deliveries import RecordingPort, delivery
from client.rows import stored
from queued.client import guest, route
from queued.domain.errors import ArgumentError
from queued.storage import batches
from queued.storage.store import Store, open_store


@queued.job(name="test.member")
def member(label: object = None) -> None:
    pass


@queued.job(name="test.followed")
def followed(label: object = None) -> None:
    pass


@queued.job(name="test.only", unique=queued.unique())
def only() -> None:
    pass


def found(store: Store, batch_id: int | None) -> batches.BatchSummary:
    assert batch_id is not None
    with store.reading() as session:
        batch = batches.find(session, batch_id)
    assert batch is not None
    return batch


def test_what_is_enqueued_in_the_block_is_stored_at_its_end(store: Store) -> None:
    with queued.batch("May", metadata={"month": (5,)}, on_finish=followed.set(queue="low").bind("end")) as opened:
        first = opened.add(member.bind(1))
        second = member.enqueue(2)
        many = [*opened.add_many([member.bind(3)]), *queued.enqueue_many([member.bind(4), member.bind(5)])]
        assert stored(store) == []
        assert (first.id, second.id) == (None, None)
    outside = member.enqueue(6)
    ids = [row["id"] for row in stored(store)]
    assert [first.id, second.id, *[handle.id for handle in many], outside.id] == ids
    batch = found(store, opened.id)
    assert (batch.description, batch.counts.total, list(batch.outstanding)) == ("May", 5, ids[:5])
    assert batch.callbacks == {"on_finish": "test.followed"}
    assert [row["options"] is None for row in stored(store)] == [False] * 5 + [True]


def test_a_block_that_raises_stores_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), queued.batch() as opened:
        member.enqueue(1)
        1 / 0  # noqa: B018
    assert (stored(store), opened.id) == ([], None)
    with pytest.raises(queued.EnqueueError, match="not stored"):
        opened.add(member.bind(2))


def test_an_argument_that_cannot_be_stored_is_told_where_it_is_given(store: Store) -> None:
    with queued.batch() as opened:
        with pytest.raises(ArgumentError):
            member.enqueue(object())
        bad, good = opened.add_many([member.bind(object()), member.bind(1)])
    assert isinstance(bad.error, ArgumentError)
    assert good.id is not None
    assert found(store, opened.id).counts.total == 1


def test_a_stored_batch_takes_further_members_until_it_has_finished(store: Store) -> None:
    with queued.batch() as opened:
        member.enqueue(1)
    handle = opened.add(member.bind(2))
    assert handle.id is not None
    assert asyncio.run(opened.aadd_many([member.bind(3)]))[0].id is not None
    assert found(store, opened.id).counts.total == 3
    with queued.batch() as empty:
        pass
    with pytest.raises(queued.BatchFinished, match="has finished"):
        empty.add(member.bind(4))
    with pytest.raises(queued.EnqueueError, match="one `with` block"), opened:
        pass


def test_a_block_in_a_block_lies_in_it_and_all_is_stored_together(store: Store) -> None:
    with queued.batch("outer", metadata={"year": 2026}) as outer:
        member.enqueue(1)
        with queued.batch("inner") as inner:
            handle = member.enqueue(2)
        assert (inner.id, handle.id, stored(store)) == (None, None, [])
        inner.add(member.bind("to the inner one"))
        member.enqueue(3)
        with queued.batch("apart", nested=False) as apart:
            member.enqueue(4)
        assert apart.id is not None
    ids = {tuple(json.loads(row["arguments"])["args"]): row["id"] for row in stored(store)}
    assert list(ids) == [(4,), (1,), (2,), ("to the inner one",), (3,)]  # those of the outermost block in their order
    assert handle.id == ids[2,]
    assert (found(store, outer.id).counts.total, found(store, inner.id).counts.total) == (4, 2)
    assert [found(store, one.id).parent for one in (outer, inner, apart)] == [None, outer.id, None]
    known = {row["id"]: json.loads(row["options"])["batch"] for row in stored(store)}
    assert known[ids[2,]]["parent"] == {"id": outer.id, "description": "outer", "metadata": {"year": 2026}}
    assert inner.add(member.bind(5)).id is not None
    assert found(store, outer.id).counts.total == 5


def test_an_inner_block_that_raises_is_left_out_where_the_error_is_caught(store: Store) -> None:
    with queued.batch("outer") as outer:
        member.enqueue(1)
        with pytest.raises(ZeroDivisionError), queued.batch("inner") as inner:
            member.enqueue(2)
            1 / 0  # noqa: B018
        with pytest.raises(queued.EnqueueError, match="not stored"):
            inner.add(member.bind(3))
    assert (inner.id, len(stored(store)), found(store, outer.id).counts.total) == (None, 1, 1)
    with pytest.raises(ZeroDivisionError), queued.batch("outer"):
        with queued.batch("inner") as inner:
            member.enqueue(4)
        1 / 0  # noqa: B018
    assert (inner.id, len(stored(store))) == (None, 1)


def test_batches_lie_in_one_another_ten_deep_at_most() -> None:
    with pytest.raises(queued.EnqueueError, match="10 deep"), ExitStack() as stack:
        for _ in range(11):
            stack.enter_context(queued.batch())


def test_a_batch_that_a_member_opens_lies_in_its_batch() -> None:
    @queued.job(name="test.opens")
    def opens() -> None:
        with queued.batch("inside") as inside, queued.batch("deeper"):
            member.enqueue(1)
        assert inside.id == 5
        with queued.batch("apart", nested=False):
            pass
        with pytest.raises(queued.EnqueueError, match="nested=False"), queued.batch(connection=object()):
            pass

    port = RecordingPort()
    assert guest.perform(delivery(opens, opts=json.dumps({"batch": {"id": 7}})), port) == {"kind": "done"}
    inside, deeper, apart = port.batches
    assert (inside["parent"], deeper["parent"], apart["parent"]) == (7, inside["number"], None)
    assert [frame["batch"] for frame in port.jobs] == [deeper["number"]]


def test_what_follows_a_batch_is_a_member_of_the_one_around_it() -> None:
    seen: list[object] = []

    @queued.job(name="test.follows")
    def follows() -> None:
        batch = queued.current_job().batch  # type: ignore[union-attr]
        assert batch is not None
        assert batch.parent is not None
        seen.append((batch.id, batch.done, batch.parent.id, batch.parent.metadata["year"], batch.parent.parent))
        batch.parent.add(member.bind(1))
        with queued.batch("the next stage"):
            member.enqueue(2)

    port = RecordingPort()
    facts = {
        "id": 7,
        "total": 2,
        "done": 2,
        "failed": 0,
        "discarded": 0,
        "parent": {"id": 3, "metadata": {"year": 2026}},
    }
    assert guest.perform(delivery(follows, opts=json.dumps({"batch": facts})), port) == {"kind": "done"}
    assert seen == [(7, 2, 3, 2026, None)]
    assert port.batches[0]["parent"] == 3
    assert [frame["batch"] for frame in port.jobs] == [3, port.batches[0]["number"]]


def test_asyncio_code_has_the_same(store: Store) -> None:
    async def work() -> queued.Batch:
        async with queued.batch("async") as opened:
            await asyncio.gather(*[member.aenqueue(n) for n in range(3)])
            await opened.aadd(member.bind(4))
        return opened

    assert found(store, asyncio.run(work()).id).counts.total == 4


def test_a_unique_member_that_is_there_already_says_so(store: Store) -> None:
    here = only.enqueue()
    with queued.batch() as opened:
        handle = only.enqueue()
        member.enqueue()
    assert (handle.existing, handle.id) == (True, here.id)
    assert found(store, opened.id).counts.total == 1


def test_the_batch_goes_into_the_callers_transaction(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite3"
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    connection = sqlite3.connect(path)
    with queued.batch(connection=connection, on_success=followed.bind()) as opened:
        member.enqueue(1)
    assert opened.id is not None
    assert stored(store) == []
    connection.rollback()
    with queued.batch(connection=connection) as opened:
        member.enqueue(1)
        with pytest.raises(queued.EnqueueError, match=r"queued\.batch"):
            member.enqueue(2, connection=sqlite3.connect(":memory:"))
    connection.commit()
    connection.close()
    assert found(store, opened.id).counts.total == 1
    store.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_success": followed}, r"f\.bind"),
        ({"on_success": only.bind()}, "unique"),
        ({"on_finish": followed.set(at_finish=True).bind()}, "neither"),
        ({"description": 5}, "text"),
        ({"metadata": {"x": "y" * 70_000}}, "at most"),
    ],
)
def test_what_cannot_be_a_batch_is_refused_before_anything_is_stored(options: dict[str, Any], error: str) -> None:
    with pytest.raises(queued.EnqueueError, match=error):
        queued.batch(**options)


def test_a_member_sees_its_batch_and_adds_to_it_through_the_worker() -> None:
    seen: list[queued.CurrentBatch | None] = []

    @queued.job(name="test.sees")
    def sees() -> None:
        job = queued.current_job()
        assert job is not None
        seen.append(job.batch)
        if job.batch is not None:
            job.batch.add(member.bind(1))

    port = RecordingPort()
    facts = {"id": 7, "metadata": {"month": 5}, "failed": 2}
    assert guest.perform(delivery(sees, opts=json.dumps({"batch": facts})), port) == {"kind": "done"}
    assert guest.perform(delivery(sees), port) == {"kind": "done"}
    assert seen[1] is None
    assert seen[0] is not None
    assert (seen[0].id, seen[0].metadata["month"], seen[0].failed, seen[0].done) == (7, 5, 2, None)
    assert [frame["batch"] for frame in port.jobs] == [7]


def test_a_batch_opened_inside_a_job_goes_through_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    port = RecordingPort()
    monkeypatch.setattr(route, "_port", port)
    with queued.batch("inside", on_finish=followed.bind()) as opened:
        handle = member.enqueue(1)
    assert (opened.id, handle.id) == (5, 1000)
    (told,) = port.batches
    assert told["description"] == "inside"
    assert json.loads(told["on_finish"])["class_name"] == "test.followed"


def test_a_block_that_a_job_never_leaves_does_not_swallow_what_the_next_job_enqueues() -> None:
    @queued.job(name="test.careless")
    def careless() -> None:
        queued.batch().__enter__()
        member.enqueue("lost with its job")

    @queued.job(name="test.next")
    def next_one() -> None:
        member.enqueue("kept")

    port = RecordingPort()
    assert guest.perform(delivery(careless), port) == {"kind": "done"}
    assert guest.perform(delivery(next_one), port) == {"kind": "done"}
    assert [json.loads(frame["arguments"])["args"] for frame in port.jobs] == [["kept"]]


def test_what_waits_for_a_commit_is_not_taken_for_a_member() -> None:
    with pytest.raises(queued.EnqueueError, match="inside a batch"), queued.batch() as opened:
        queued.enqueue_after_commit(None, member.bind(1))
    assert opened.id is None


def test_a_test_collects_members_and_lets_them_see_their_batch() -> None:
    with queued.testing.collect() as jobs, queued.batch("collected") as opened:
        member.enqueue(1)
    assert [job.class_name for job in jobs] == ["test.member"]
    assert opened.id is not None


def test_what_the_block_has_started_cannot_choose_a_transaction_after_its_end(store: Store, sqlite_url: str) -> None:
    import contextvars

    with queued.batch("ended"):
        member.enqueue(1)
        inside = contextvars.copy_context()
    assert inside.run(member.enqueue, 2).id is not None
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        with pytest.raises(queued.EnqueueError, match="is stored at once"):
            inside.run(member.set(connection=connection).enqueue, 3)
        with pytest.raises(queued.EnqueueError, match="is stored at once"):
            inside.run(queued.enqueue_many, [member.bind(4)], connection=connection)
    assert len(stored(store)) == 2
